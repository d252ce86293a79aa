"""One neighbor: the resolution of its address to a hardware address, with the states of RFC 4861 §7.3.2 for ARP.

    INCOMPLETE --reply--> REACHABLE --30 s--> STALE --used--> DELAY --5 s--> PROBE --reply--> REACHABLE
        | 3 requests          |                 ^ unsolicited message         ^ | 3 requests
        v                     `--------------- suspected, or replaceable -----' v
      FAILED                                                                  FAILED

A replaceable neighbor, which is a gateway beside another one, is probed sooner: its death costs at most eight seconds
(RFC 1122 §3.3.1.4). A neighbor that a transport suspects, because answers through it are overdue, is probed at once.

Datagrams wait in a queue of the entry, so a dead neighbor holds up no other, and none is lost during resolution: a full
queue refuses, as a full link does.

An ARP message with another hardware address starts a dispute and changes nothing by itself. The known owner is asked;
if it does not answer, all stations are asked, and the first reply is believed. So another host can't take over the
address of a neighbor that is there, not even while a flood displaces some of its replies. Datagrams wait during a
dispute, so none is lost when the new address is true: a peer with a new network card is reached within a second.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from schemefs.log import TRACE
from schemefs.net.addresses import mac_text, presentation
from schemefs.net.buffer import Chunks, total_length
from schemefs.net.network_layer import EventData, Sink

if TYPE_CHECKING:
    import logging
    import random
    from collections.abc import Callable

    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

NEW: Final = "NONE"  # no request sent yet
INCOMPLETE: Final = "INCOMPLETE"
REACHABLE: Final = "REACHABLE"
STALE: Final = "STALE"
DELAY: Final = "DELAY"
PROBE: Final = "PROBE"
FAILED: Final = "FAILED"
PERMANENT: Final = "PERMANENT"

# RFC 4861 §10, seconds
RETRANSMIT: Final = 1.0
REACHABLE_TIME: Final = 30.0
REPLACEABLE_TIME: Final = 3.0  # the same for a replaceable gateway: at most 4.5 s until three requests begin
DELAY_FIRST_PROBE: Final = 5.0
ATTEMPTS: Final = 3  # so a queued datagram fails after three seconds
DISPUTE_RETRANSMIT: Final = 0.25  # between requests during a dispute, seconds
DISPUTE_PAUSE: Final = 5.0  # from a reply of the known owner to the next dispute, seconds

QUEUE_DATAGRAMS: Final = 512
QUEUE_OCTETS: Final = 512 << 10
ALL_OCTETS: Final = 16 << 20  # in the queues of an interface; an empty queue takes a datagram in any case


class Queued(NamedTuple):
    """A datagram in a queue: chunks and offload as for a frame without link header."""

    chunks: Chunks
    offload: Offload
    protocol: int


class NeighborLink(Protocol):
    """What a neighbor needs of its interface."""

    timers: Timers
    random: random.Random
    waiting_octets: int  # in the queues of all neighbors of the interface
    protocol: str  # ARP or ND, for the records of conversations
    log: logging.Logger  # of that protocol
    reachable_time: float  # mean seconds for which a confirmed neighbor is REACHABLE
    retransmit_time: float  # seconds between requests

    @property
    def solicit(self) -> Callable[[bytes, bytes, int, float], None]:
        """Sends a request for an address to a hardware address (empty: to all); then the number of the try, and now."""

    def send_to(self, mac: bytes, queued: Queued, now: float) -> bool:
        """Send a queued datagram; False: the link is full, and `flush` is called when it has room."""

    def neighbor_failed(self, address: bytes, queue: deque[Queued], now: float) -> None:
        """Report the datagrams of *queue* as undeliverable."""

    def queue_space(self, protocols: set[int], now: float) -> None:
        """Call `transmit_space` of the transports whose datagrams the queue refused."""

    def is_replaceable(self, address: bytes) -> bool:
        """Return whether the neighbor is a gateway, and another gateway leads to the same networks."""

    def neighbor_unreachable(self, address: bytes, now: float) -> None:
        """Avoid the neighbor, which did not answer; `neighbor_failed` follows."""

    def neighbor_reachable(self, address: bytes) -> None:
        """Stop avoiding the neighbor: its hardware address became known."""

    def neighbor_changed(self) -> None:
        """Notify readers of the neighbor list of a new state or hardware address."""

    def cached_mac_expired(self) -> None:
        """Make every Path that has copied a hardware address ask again before it uses that."""


class Neighbor:
    """One entry of a neighbor table."""

    __slots__ = (
        "address",  # packed
        "attempts",  # requests sent in the current state
        "cached",  # whether a Path has copied `mac`
        "confirmed_at",  # when the last reply to a request came, seconds
        "dispute_mac",  # hardware address that another host claims; empty: no dispute
        "link",  # the interface
        "mac",  # hardware address; empty: unknown
        "next_dispute_at",  # other claims are ignored until then, seconds
        "octets",  # of the datagrams in `queue`
        "queue",  # datagrams that wait for the hardware address
        "refused",  # protocols whose datagrams found the queue full
        "sinks",  # records of the conversations that wait for a reply
        "state",  # one of the constants above
        "timer",  # end of the state, or next request
    )

    def __init__(self, address: bytes, link: NeighborLink) -> None:
        self.address = address
        self.link = link
        self.mac = b""
        self.state = NEW
        self.attempts = 0
        self.cached = False
        self.dispute_mac = b""
        self.confirmed_at = -math.inf
        self.next_dispute_at = 0.0
        self.queue: deque[Queued] = deque()
        self.octets = 0
        self.refused: set[int] = set()
        self.sinks: list[Sink] = []
        self.timer = link.timers.timer(self._on_timer, f"neighbor {presentation(address)}")

    def usable_mac(self, now: float) -> bytes:
        """Return the hardware address, to be kept until `cached_mac_expired`; empty: the caller must `enqueue`."""
        if self.queue or self.dispute_mac:
            return b""  # queued datagrams go first
        if self.state == STALE:
            if self.link.is_replaceable(self.address):
                self._probe(now)
            else:
                self._enter(DELAY)
                self.timer.set(now + DELAY_FIRST_PROBE)
        if self.mac:
            self.cached = True
        return self.mac

    def enqueue(self, queued: Queued, now: float, sink: Sink | None = None) -> bool:
        """Queue a datagram until the hardware address is known; send a request if none is under way. False: full."""
        size = total_length(queued.chunks)
        is_full = len(self.queue) >= QUEUE_DATAGRAMS or self.octets + size > QUEUE_OCTETS
        if is_full or (self.queue and self.link.waiting_octets + size > ALL_OCTETS):
            self.refused.add(queued.protocol)
            return False
        self.queue.append(queued)
        self._count(size)
        self._record_to(sink)
        if self.state in (NEW, FAILED):
            self._enter(INCOMPLETE)
            self.attempts = 0
            self._request(now)
        return True

    def flush(self, now: float) -> None:
        """Send queued datagrams until the link refuses; none while the hardware address is unknown or disputed."""
        while self.queue and self.mac and not self.dispute_mac:
            if not self.link.send_to(self.mac, self.queue[0], now):
                return
            self._count(-total_length(self.queue.popleft().chunks))
            self.link.log.log(
                TRACE, "queued datagram for %s sent, %d left", presentation(self.address), len(self.queue)
            )
        if self.refused and not self.queue:
            protocols, self.refused = self.refused, set()
            self.link.queue_space(protocols, now)

    def learn(self, mac: bytes, now: float, *, solicited: bool) -> None:
        """Take the hardware address of an ARP message; *solicited*: of a reply to a request of this host."""
        if self.state == PERMANENT:
            return
        if self.state in (NEW, INCOMPLETE, FAILED):
            if solicited or not self.dispute_mac:
                self._adopt(mac, now, confirmed=solicited and self.state == INCOMPLETE)
        elif mac != self.mac:
            self._dispute(mac, now)
        elif solicited and self.state == PROBE:
            if self.dispute_mac:
                self.link.log.warning("%s stays at %s", presentation(self.address), mac_text(mac))
                self.next_dispute_at = now + DISPUTE_PAUSE
            self._record(
                now,
                f"{presentation(self.address)} is still at {mac_text(mac)}",
                "neighbor:confirmed",
                {"mac": mac_text(mac)},
            )
            self._confirm(now)

    def suspect(self, now: float, sink: Sink | None = None) -> None:
        """Probe the neighbor, because answers through it are overdue, unless it has just replied."""
        if self.state in (REACHABLE, STALE, DELAY) and now - self.confirmed_at >= self.link.retransmit_time:
            self.link.log.log(TRACE, "%s is suspected to be dead: probing", presentation(self.address))
            self._record_to(sink)
            self._probe(now)

    def make_permanent(self, mac: bytes, now: float) -> None:
        """Set the hardware address by configuration: no request, no expiry, no change by ARP messages."""
        self.timer.clear()
        self.dispute_mac = b""
        self._record(
            now,
            f"{presentation(self.address)} is at {mac_text(mac)}, set by hand",
            "neighbor:set",
            {"mac": mac_text(mac)},
        )
        self.sinks.clear()
        if not self.mac:
            self.link.neighbor_reachable(self.address)
        self._enter(PERMANENT)
        self._set_mac(mac)
        self.flush(now)

    def forget(self, now: float) -> None:
        """Prepare for removal: the queued datagrams are reported as undeliverable."""
        self.timer.clear()
        self._fail(now)

    def _adopt(self, mac: bytes, now: float, *, confirmed: bool) -> None:
        self.link.log.log(TRACE, "%s is at %s", presentation(self.address), mac_text(mac))
        self._record(
            now, f"{presentation(self.address)} is-at {mac_text(mac)}", "neighbor:resolved", {"mac": mac_text(mac)}
        )
        self.dispute_mac = b""
        if not self.mac:
            self.link.neighbor_reachable(self.address)
        self._set_mac(mac)
        if confirmed:
            self._confirm(now)
        else:
            self._enter(STALE)
            self.sinks.clear()
            self.timer.clear()
            self.flush(now)

    def _confirm(self, now: float) -> None:
        self._enter(REACHABLE)
        self.dispute_mac = b""
        self.confirmed_at = now
        base = REPLACEABLE_TIME if self.link.is_replaceable(self.address) else self.link.reachable_time
        self.sinks.clear()
        # RFC 4861 §6.3.2: uniform from half to one and a half, so that entries don't expire together.
        self.timer.set(now + self.link.random.uniform(0.5, 1.5) * base)
        self.flush(now)

    def _dispute(self, mac: bytes, now: float) -> None:
        if self.dispute_mac or now < self.next_dispute_at:
            return  # a dispute is under way, or the owner has just replied
        self.link.log.warning(
            "%s claims %s, which is at %s: asking that station",
            mac_text(mac),
            presentation(self.address),
            mac_text(self.mac),
        )
        self.dispute_mac = mac
        self._invalidate()
        self._probe(now)

    def _probe(self, now: float) -> None:
        self._enter(PROBE)
        self.attempts = 0
        self._request(now)

    def _request(self, now: float) -> None:
        self.attempts += 1
        asked = f"who-has {presentation(self.address)} (try {self.attempts})"
        self._record(now, asked, "neighbor:request_sent", {"try": self.attempts})
        self.timer.set(now + (DISPUTE_RETRANSMIT if self.dispute_mac else self.link.retransmit_time))
        self.link.solicit(self.address, self.mac, self.attempts, now)

    def _on_timer(self, now: float) -> None:
        if self.state == REACHABLE:
            self._enter(STALE)
            self._invalidate()
        elif self.state == DELAY:
            self._probe(now)
        elif self.attempts < ATTEMPTS:
            self._request(now)
        elif self.dispute_mac and self.state == PROBE:
            self._set_mac(b"")
            self._enter(INCOMPLETE)
            self.attempts = 0
            self._request(now)
        else:
            self.link.log.info("%s does not answer", presentation(self.address))
            self.link.neighbor_unreachable(self.address, now)
            self._fail(now)

    def _record_to(self, sink: Sink | None) -> None:
        if sink is not None and sink not in self.sinks:
            self.sinks.append(sink)

    def _record(self, now: float, text: str, name: str, data: EventData) -> None:
        """Add an event to the records of the conversations that wait for a reply."""
        data = {"protocol": self.link.protocol, "address": presentation(self.address), **data}
        for sink in self.sinks:
            sink(now, f"{self.link.protocol} {text}", name, data)

    def _fail(self, now: float) -> None:
        self._record(
            now,
            f"{presentation(self.address)} does not answer ({self.attempts} tries)",
            "neighbor:failed",
            {"tries": self.attempts},
        )
        self.sinks.clear()
        self._enter(FAILED)
        self.dispute_mac = b""
        self._set_mac(b"")
        queue, self.queue = self.queue, deque()
        self._count(-self.octets)
        protocols, self.refused = self.refused, set()
        if queue:
            self.link.neighbor_failed(self.address, queue, now)
        if protocols:
            self.link.queue_space(protocols, now)

    def _count(self, octets: int) -> None:
        self.octets += octets
        self.link.waiting_octets += octets

    def _enter(self, state: str) -> None:
        self.state = state
        self.link.neighbor_changed()

    def _set_mac(self, mac: bytes) -> None:
        if mac != self.mac:
            self.mac = mac
            self._invalidate()

    def _invalidate(self) -> None:
        if self.cached:
            self.cached = False
            self.link.cached_mac_expired()
