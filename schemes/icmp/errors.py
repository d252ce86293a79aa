"""`icmp/errors` and `icmp/udp/PORT`: ICMP errors received since the open, one line each.

    10.0.2.2 Destination Port Unreachable udp 10.0.2.15:49152 -> 10.0.2.2:9

Errors that this machine has detected itself (a neighbor does not answer) are not shown: no message reported them.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.network_layer import UDP
from schemes.icmp.error_meaning import describe, describe_datagram, reporter_of
from schemes.icmp.text_stream import TextStream

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError
    from schemefs.shares import Share
    from schemes.icmp.icmp import Icmp

_PORTS: Final = Struct(">HH")


class Errors(TextStream):
    """All errors, or those about one local UDP port. A line gives the number of errors that a slow reader missed."""

    def __init__(self, icmp: Icmp, share: Share, uid: int, udp_port: int | None = None) -> None:
        """EMFILE: *uid* has as many of them as *share* allows."""
        super().__init__()
        share.take(uid)
        self._share = share
        self._uid = uid
        self._icmp = icmp
        self._udp_port = udp_port
        self._missed = 0
        icmp.error_observers.append(self._observe)

    def _observe(self, error: DeliveryError, now: float) -> None:
        del now
        if self._udp_port is not None and (error.protocol, _local_port(error)) != (UDP, self._udp_port):
            return
        if self.is_full:
            self._missed += 1
            return
        if self._missed:
            self.add_line(f"{self._missed} errors were not read in time")
            self._missed = 0
        datagram = describe_datagram(error.protocol, error.source, error.destination, error.transport)
        self.add_line(f"{reporter_of(error)} {describe(error)} {datagram}")

    def end(self, now: float) -> None:
        """Stop observing errors."""
        del now
        self._icmp.error_observers.remove(self._observe)
        self._share.give_back(self._uid)


def _local_port(error: DeliveryError) -> int:
    return int(_PORTS.unpack_from(error.transport)[0])
