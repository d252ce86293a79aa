"""The neighbors of one interface in one family, and what they need of the interface (`neighbor.NeighborLink`)."""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from schemefs.net.addresses import presentation
from schemes.ip import ethernet
from schemes.ip.neighbor import REACHABLE_TIME, RETRANSMIT
from schemes.ip.neighbors import NeighborTable
from schemes.ip.undeliverable import report_undeliverable

if TYPE_CHECKING:
    from schemefs.net.network_layer import Sink
    from schemes.ip.interface import IpInterface
    from schemes.ip.neighbor import Queued

Solicit = Callable[[bytes, bytes, int, float], None]


class LinkNeighbors:
    """Satisfies `neighbor.NeighborLink`."""

    __slots__ = (
        "_changed",  # timer that notifies observers of the neighbor list once per burst
        "_ethertype",  # of the datagrams that wait
        "_interface",
        "_question",  # "ARP requests", for the sentence about a neighbor that does not answer
        "log",
        "protocol",
        "random",
        "reachable_time",
        "retransmit_time",
        "solicit",  # sends a request for an address to a hardware address, or to all
        "stalled",  # whether the link refused a queued datagram
        "table",
        "timers",
        "waiting_octets",
    )

    def __init__(self, interface: IpInterface, solicit: Solicit, ethertype: int, protocol: str, question: str) -> None:
        self._interface = interface
        self._ethertype = ethertype
        self._question = question
        self.protocol = protocol
        self.log = logging.getLogger(f"schemefs.{protocol.lower()}")
        self.solicit = solicit
        self.timers = interface.network.timers
        self.random = interface.network.random
        self.waiting_octets = 0
        self.reachable_time = REACHABLE_TIME
        self.retransmit_time = RETRANSMIT
        self.stalled = False
        self.table = NeighborTable(self)
        key = f"ifaces/{interface.name}/neighbors/list"
        self._changed = self.timers.timer(lambda _now: interface.network.notify(key), key)

    def set_times(self, reachable_time: float, retransmit_time: float) -> None:
        """Use the times that routers advertise, seconds; 0: the default."""
        self.reachable_time = reachable_time or REACHABLE_TIME
        self.retransmit_time = retransmit_time or RETRANSMIT

    def send_to(self, mac: bytes, queued: Queued, now: float) -> bool:
        """Send a queued datagram to *mac*; False: the link is full."""
        header = ethernet.HEADER.pack(mac, self._interface.mac, self._ethertype)
        offload = queued.offload.moved(ethernet.HEADER_LENGTH) if queued.offload.flags else queued.offload
        if self._interface.link.send((header, *queued.chunks), offload, now):
            return True
        self.stalled = True
        return False

    def flush(self, now: float) -> None:
        """Send queued datagrams again, since the link has room."""
        if self.stalled:
            self.stalled = False
            for neighbor in self.table:
                if neighbor.queue and not self.stalled:
                    neighbor.flush(now)

    def neighbor_failed(self, address: bytes, queue: deque[Queued], now: float) -> None:
        """Send the datagrams of *queue* by another route, or report them as undeliverable."""
        network = self._interface.network
        fault = self._interface.link.fault
        down = f", which is down: {fault}" if fault else ""
        sentence = f"{presentation(address)} does not answer {self._question} on {self._interface.name}{down}"
        for queued in queue:
            if network.forwarder_of(address).reroute(queued, address, now):
                continue
            network.counters.drop("unreachable_neighbor", queued.chunks[0])
            report_undeliverable(network, queued.chunks, errno.EHOSTUNREACH, sentence, now, self._interface)

    def queue_space(self, protocols: set[int], now: float) -> None:
        """Call `transmit_space` of the transports whose datagrams the queue refused."""
        self._interface.network.transmit_space(protocols, now)

    def is_replaceable(self, address: bytes) -> bool:
        """Return whether *address* is a gateway, and another gateway leads to the same networks."""
        return (self._interface.name, address) in self._interface.network.routes.replaceable

    def suspect(self, next_hop: bytes, now: float, sink: Sink | None = None) -> None:
        """Probe *next_hop*: answers to datagrams that leave by it are overdue."""
        neighbor = self.table.get(next_hop)
        if neighbor is not None:
            neighbor.suspect(now, sink)

    def neighbor_unreachable(self, address: bytes, now: float) -> None:
        """Prefer routes through other gateways."""
        self._interface.network.dead_gateways.neighbor_unreachable(self._interface.name, address, now)
        if len(address) == 16:
            self._interface.v6.autoconfigured.neighbor_unreachable(address)

    def neighbor_reachable(self, address: bytes) -> None:
        """Use routes through this gateway again."""
        self._interface.network.dead_gateways.neighbor_reachable(self._interface.name, address)

    def neighbor_changed(self) -> None:
        """Notify observers of the neighbor list, once per burst."""
        if self._interface.network.on_change:
            self._changed.call_soon()

    def cached_mac_expired(self) -> None:
        """Make every path look up its link header again."""
        self._interface.network.invalidate()
