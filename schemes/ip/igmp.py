"""The multicast groups of this host (RFC 1112), and IGMPv2 (RFC 2236), the part of a host.

join  ──> report at once, and once more within 10 s in case the first was lost
query ──> report after a random time, unless another member reports first
leave ──> leave message to all routers
"""

from __future__ import annotations

import errno
import logging
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.addresses import is_multicast, presentation
from schemefs.net.checksum import checksum, is_valid
from schemes.ip import wire

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError
    from schemefs.net.offload import Offload
    from schemefs.timers import Timer
    from schemes.ip.network import Network

log = logging.getLogger("schemefs.ip")

PROTOCOL: Final = 2
ALL_HOSTS: Final = bytes((224, 0, 0, 1))
ALL_ROUTERS: Final = bytes((224, 0, 0, 2))
GROUPS_OF_ROUTERS: Final = frozenset((ALL_ROUTERS, bytes((224, 0, 0, 22))))  # the second: RFC 3376 §4.2.14
QUERY: Final = 0x11
REPORT: Final = 0x16
REPORT_V1: Final = 0x12
LEAVE: Final = 0x17
UNSOLICITED_INTERVAL: Final = 10.0  # seconds, RFC 2236 §8.10
_MESSAGE: Final = Struct(">BBH4s")  # type, max response time in tenths of a second, checksum, group
_ROUTER_ALERT: Final = bytes((148, 4, 0, 0))  # RFC 2113; RFC 2236 §2 requires it in every message


class _Membership:
    __slots__ = (
        "count",  # joins without a leave
        "interface",  # name of the interface that the group was joined on
        "repeat",  # whether the report of the join is to be sent once more
        "timer",  # when the next report is due
    )

    def __init__(self, interface: str, timer: Timer) -> None:
        self.interface = interface
        self.timer = timer
        self.count = 0
        self.repeat = True


class Igmp:
    """The memberships of this host; satisfies `network_layer.Transport` for IGMP."""

    __slots__ = ("_memberships", "_network")

    def __init__(self, network: Network) -> None:
        self._network = network
        self._memberships: dict[bytes, _Membership] = {}
        network.register_transport(PROTOCOL, self)

    def join(self, group: bytes, now: float) -> None:
        """Join *group* on the interface of the route to it. EINVAL: not a group; ENETUNREACH: no interface."""
        if len(group) != 4 or not is_multicast(group):
            raise SchemeError(errno.EINVAL, f"{presentation(group)} is not a multicast group of IPv4")
        member = self._memberships.get(group)
        if member is None:
            interface = self._network.hop(group, b"").interface
            timers = self._network.timers
            timer = timers.timer(lambda now: self._report(group, now), f"group {presentation(group)}")
            member = self._memberships[group] = _Membership(interface.name, timer)
            self._network.addresses.groups[group] = interface.name
            self._network.invalidate()
            self._report(group, now)
        member.count += 1

    def leave(self, group: bytes, now: float) -> None:
        """Undo one `join`; harmless when the interface is gone."""
        member = self._memberships.get(group)
        if member is None:
            return
        member.count -= 1
        if not member.count:
            self._forget(group, now)

    def report_again(self, name: str, now: float) -> None:
        """Report all groups of an interface that came up: the router there may be another, or have forgotten them."""
        for group, member in self._memberships.items():
            if member.interface == name:
                member.repeat = True
                self._report(group, now)

    def forget_interface(self, name: str, now: float) -> None:
        """End the memberships on an interface."""
        for group, member in tuple(self._memberships.items()):
            if member.interface == name:
                self._forget(group, now)

    def receive_datagram(
        self,
        source: bytes,
        destination: bytes,
        datagram: memoryview,
        start: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        now: float,
    ) -> bool:
        """Take a query, or the report of another host."""
        del destination, traffic_class, hop_limit, offload
        if len(datagram) - start < 8 or not is_valid(datagram[start:]):
            self._network.counters.drop("bad_igmp", datagram)
            return True
        kind, response, _, group = _MESSAGE.unpack_from(datagram, start)
        if kind == QUERY:
            # Zero comes from an IGMPv1 router, and means ten seconds (RFC 2236 §4).
            self._receive_query(group, response / 10 or UNSOLICITED_INTERVAL, now)
        elif kind in (REPORT, REPORT_V1) and group in self._memberships and not self._network.is_local(source):
            self._memberships[group].timer.clear()
        else:
            self._network.counters.drop("ignored_igmp", datagram)
            return True
        self._network.counters.used_igmp += 1
        return True

    def expects(self, error: DeliveryError) -> bool:
        """Return False: reports are smaller than every MTU."""
        del error
        return False

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Count it: no errors are sent about datagrams to groups (RFC 1122 §3.2.2)."""
        del now
        if error.reporter:
            self._network.counters.drop("unmatched_error")

    def transmit_space(self, now: float) -> None:
        """Send nothing: the router queries again after a lost report."""

    def _receive_query(self, group: bytes, within: float, now: float) -> None:
        for joined, member in self._memberships.items():
            if group in (bytes(4), joined) and joined != ALL_HOSTS:
                deadline = now + self._network.random.uniform(0, within)
                if deadline < member.timer.deadline:
                    member.timer.set(deadline)

    def _report(self, group: bytes, now: float) -> None:
        if group == ALL_HOSTS:  # RFC 2236 §6: never reported
            return
        member = self._memberships[group]
        self._send(REPORT, group, group, now)
        if member.repeat:
            member.repeat = False
            member.timer.set(now + self._network.random.uniform(0, UNSOLICITED_INTERVAL))

    def _forget(self, group: bytes, now: float) -> None:
        member = self._memberships.pop(group)
        member.timer.clear()
        if group != ALL_HOSTS:
            self._send(LEAVE, group, ALL_ROUTERS, now)
        self._network.addresses.groups.pop(group, None)
        self._network.invalidate()

    def _send(self, kind: int, group: bytes, destination: bytes, now: float) -> None:
        message = bytearray(_MESSAGE.pack(kind, 0, 0, group))
        message[2:4] = checksum(message).to_bytes(2, "big")
        try:
            path = self._network.path(destination)
            header = wire.header(
                path.source, destination, PROTOCOL, len(message), hop_limit=1, fragment=0, options=_ROUTER_ALERT
            )
            path.send_whole(header + message, PROTOCOL, now)
        except SchemeError as error:
            log.log(TRACE, "group %s: %s", presentation(group), error)
