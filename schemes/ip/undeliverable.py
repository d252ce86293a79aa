"""What becomes of a datagram that an interface could not send: an error to its transport, or to its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import DeliveryError
from schemefs.net.zones import with_zone
from schemes.ip import wire
from schemes.ip.v6 import wire as wire6

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemes.ip.interface import IpInterface
    from schemes.ip.network import Network

_QUOTED: Final = 64  # octets of a transport header in a DeliveryError
_LARGEST_QUOTE: Final = 576  # octets of a datagram that an ICMP error can quote (RFC 1812 §4.3.2.3)


def report_undeliverable(
    network: Network, chunks: Chunks, number: int, sentence: str, now: float, interface: IpInterface
) -> None:
    """Report a datagram (IP header first) that *interface* did not send; *number* is the errno of the failure."""
    datagram = b"".join(chunks)[:_LARGEST_QUOTE]
    if datagram[0] >> 4 == 6:
        _, _, protocol, _, source, destination = wire6.HEADER.unpack_from(datagram)
        source, destination = with_zone(source, interface.zone), with_zone(destination, interface.zone)
        start = wire6.HEADER_LENGTH
        is_rest = protocol == wire6.FRAGMENT  # of this host: the transport hears of it by its own timer
    else:
        _, _, _, _, fragment, _, protocol, _, source, destination = wire.HEADER.unpack_from(datagram)
        start = (datagram[0] & 15) * 4
        is_rest = bool(fragment & wire.OFFSET)  # one error per datagram: the first fragment's
    if not network.is_local(source):
        if network.reporter is not None:
            network.reporter.report_error(ErrorReason.HOST_UNREACHABLE, memoryview(datagram), now)
    elif not is_rest:
        transport = datagram[start : start + _QUOTED]
        network.deliver_error(DeliveryError(number, True, sentence, protocol, source, destination, transport), now)
