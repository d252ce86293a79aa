"""One neighbor: how an address becomes a hardware address, with the states of RFC 4861 §7.3.2 for ARP.

    INCOMPLETE --answer--> REACHABLE --30 s--> STALE --used--> DELAY --5 s--> PROBE --answer--> REACHABLE
        | 3 requests           |                 ^ heard, not asked             ^ | 3 requests
        v                      `----------- suspected, or can be done without --' v
      FAILED                                                                    FAILED

Whoever can be done without, a gateway beside another, is asked sooner: its death costs eight seconds at the most
(RFC 1122 §3.3.1.4). One that a transport suspects, because nothing comes back through it, is asked at once.

Datagrams wait in the entry's own queue, so a dead neighbor holds up nobody else, and none is lost while it resolves: a
full queue refuses, as a full link does.

A claim that contradicts what is known changes nothing by itself: the known owner is asked, then, when it is silent,
everybody, and only who answers is believed. So a stranger can't take over the address of a neighbor that is there, not
even while a flood drowns some of its answers. Meanwhile datagrams wait, so that none is lost when the claim was true: a
peer with a new network card is answered within a second.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from schemefs.log import TRACE
from schemefs.net.addresses import mac_text, presentation
from schemefs.net.buffer import Chunks, total_length
from schemefs.net.network_layer import Sink

if TYPE_CHECKING:
    import random

    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

log = logging.getLogger("schemefs.arp")

NEW: Final = "NONE"  # made, nobody has asked yet
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
REPLACEABLE_TIME: Final = 3.0  # the same for a gateway beside which there is another: 4.5 s and three questions at most
DELAY_FIRST_PROBE: Final = 5.0
ATTEMPTS: Final = 3  # so whoever waits knows after three seconds
CHALLENGED_RETRANSMIT: Final = 0.25  # between the questions when somebody else claims a known owner's address
CHALLENGE_PAUSE: Final = 5.0  # after the owner has answered, before another claim is looked into

QUEUE_DATAGRAMS: Final = 512
QUEUE_OCTETS: Final = 512 << 10
ALL_OCTETS: Final = 16 << 20  # of all neighbors of an interface; one that has none waiting may always begin


class Queued(NamedTuple):
    """A datagram that waits: chunks and offload as for a frame without link header."""

    chunks: Chunks
    offload: Offload
    protocol: int


class Attachment(Protocol):
    """What a neighbor needs of its interface."""

    timers: Timers
    random: random.Random
    waiting_octets: int  # in the queues of all its neighbors

    def solicit(self, address: bytes, mac: bytes, attempt: int, now: float) -> None:
        """Ask who has *address*: everybody, or only *mac*."""

    def send_to(self, mac: bytes, queued: Queued, now: float) -> bool:
        """Send a datagram that waited; False: the link is full, `flush` is called when it is not."""

    def neighbor_failed(self, address: bytes, queue: deque[Queued], now: float) -> None:
        """Tell those whose datagrams waited that nobody answers."""

    def neighbor_resolved(self, protocols: set[int], now: float) -> None:
        """Tell those whose datagrams were refused that there is room."""

    def can_do_without(self, address: bytes) -> bool:
        """Tell whether it is a gateway, and another one leads where it does."""

    def neighbor_silent(self, address: bytes, now: float) -> None:
        """It was asked and did not answer; what waits for it is about to fail."""

    def neighbor_heard(self, address: bytes) -> None:
        """Its hardware address is known, after it was not."""

    def neighbor_changed(self) -> None:
        """Its state or its hardware address is another."""

    def neighbor_moved(self) -> None:
        """A hardware address that somebody has cached is not to be used any more without asking."""


class Neighbor:
    """One entry of a neighbor table."""

    __slots__ = (
        "address",
        "attachment",
        "attempts",
        "cached",
        "challenge_at",
        "challenger",
        "confirmed_at",
        "mac",
        "octets",
        "queue",
        "refused",
        "sinks",
        "state",
        "timer",
    )

    def __init__(self, address: bytes, attachment: Attachment) -> None:
        self.address = address
        self.attachment = attachment
        self.mac = b""
        self.state = NEW
        self.attempts = 0
        self.cached = False  # a Path has copied `mac`
        self.challenger = b""
        self.confirmed_at = -math.inf  # when it has answered a question last
        self.challenge_at = 0.0  # a claim that contradicts is not looked into before
        self.queue: deque[Queued] = deque()
        self.octets = 0
        self.refused: set[int] = set()  # protocols
        self.sinks: list[Sink] = []  # whoever wants to know how the question ends
        self.timer = attachment.timers.timer(self._on_timer, f"neighbor {presentation(address)}")

    def usable_mac(self, now: float) -> bytes:
        """Return the hardware address for somebody who sends now and keeps it, or nothing: then `enqueue`.

        The keeper is told by `neighbor_moved` when it has to ask again.
        """
        if self.queue or self.challenger:
            return b""  # what waits goes first
        if self.state == STALE:
            if self.attachment.can_do_without(self.address):
                self._probe(now)
            else:
                self._become(DELAY)
                self.timer.set(now + DELAY_FIRST_PROBE)
        if self.mac:
            self.cached = True
        return self.mac

    def enqueue(self, queued: Queued, now: float, sink: Sink | None = None) -> bool:
        """Keep a datagram until the address is known, asking for it when nobody does; False: the queue is full."""
        size = total_length(queued.chunks)
        is_full = len(self.queue) >= QUEUE_DATAGRAMS or self.octets + size > QUEUE_OCTETS
        if is_full or (self.queue and self.attachment.waiting_octets + size > ALL_OCTETS):
            self.refused.add(queued.protocol)
            return False
        self.queue.append(queued)
        self._count(size)
        self._record_to(sink)
        if self.state in (NEW, FAILED):
            self._become(INCOMPLETE)
            self.attempts = 0
            self._ask(now)
        return True

    def flush(self, now: float) -> None:
        """Send what waits, as far as the link takes it; nothing while the address is unknown or disputed."""
        while self.queue and self.mac and not self.challenger:
            if not self.attachment.send_to(self.mac, self.queue[0], now):
                return
            self._count(-total_length(self.queue.popleft().chunks))
            log.log(TRACE, "queued datagram for %s sent, %d left", presentation(self.address), len(self.queue))
        if self.refused and not self.queue:
            protocols, self.refused = self.refused, set()
            self.attachment.neighbor_resolved(protocols, now)

    def claimed(self, mac: bytes, now: float, *, answer: bool) -> None:
        """Somebody says that it has this address: in *answer* to us, or of its own accord."""
        if self.state == PERMANENT:
            return
        if self.state in (NEW, INCOMPLETE, FAILED):
            if answer or not self.challenger:
                self._adopt(mac, now, confirmed=answer and self.state == INCOMPLETE)
        elif mac != self.mac:
            self._challenge(mac, now)
        elif answer and self.state == PROBE:
            if self.challenger:
                log.warning("%s stays at %s", presentation(self.address), mac_text(mac))
                self.challenge_at = now + CHALLENGE_PAUSE
            self._tell(now, f"ARP {presentation(self.address)} is still at {mac_text(mac)}")
            self._confirm(now)

    def suspect(self, now: float, sink: Sink | None = None) -> None:
        """Somebody's datagrams that leave here get no answer: ask whether it is there, unless it has just said so."""
        if self.state in (REACHABLE, STALE, DELAY) and now - self.confirmed_at >= RETRANSMIT:
            log.log(TRACE, "%s is suspected to be gone: asked", presentation(self.address))
            self._record_to(sink)
            self._probe(now)

    def make_permanent(self, mac: bytes, now: float) -> None:
        """Set by hand: never asked, never forgotten, never changed by what others say."""
        self.timer.clear()
        self.challenger = b""
        self._tell(now, f"ARP {presentation(self.address)} is at {mac_text(mac)}, set by hand")
        self.sinks.clear()
        if not self.mac:
            self.attachment.neighbor_heard(self.address)
        self._become(PERMANENT)
        self._set_mac(mac)
        self.flush(now)

    def forget(self, now: float) -> None:
        """The entry is being removed: what waits is reported as not delivered."""
        self.timer.clear()
        self._fail(now)

    def _adopt(self, mac: bytes, now: float, *, confirmed: bool) -> None:
        log.log(TRACE, "%s is at %s", presentation(self.address), mac_text(mac))
        self._tell(now, f"ARP {presentation(self.address)} is-at {mac_text(mac)}")
        self.challenger = b""
        if not self.mac:
            self.attachment.neighbor_heard(self.address)
        self._set_mac(mac)
        if confirmed:
            self._confirm(now)
        else:
            self._become(STALE)
            self.sinks.clear()
            self.timer.clear()
            self.flush(now)

    def _confirm(self, now: float) -> None:
        self._become(REACHABLE)
        self.challenger = b""
        self.confirmed_at = now
        base = REPLACEABLE_TIME if self.attachment.can_do_without(self.address) else REACHABLE_TIME
        self.sinks.clear()
        # RFC 4861 §6.3.2: uniformly between half and one and a half, so that entries don't expire together.
        self.timer.set(now + self.attachment.random.uniform(0.5, 1.5) * base)
        self.flush(now)

    def _challenge(self, mac: bytes, now: float) -> None:
        if self.challenger or now < self.challenge_at:
            return  # already asking, and the first challenger stands; or the owner has just answered
        log.warning(
            "%s claims %s, which is at %s: asking there", mac_text(mac), presentation(self.address), mac_text(self.mac)
        )
        self.challenger = mac
        self._invalidate()
        self._probe(now)

    def _probe(self, now: float) -> None:
        self._become(PROBE)
        self.attempts = 0
        self._ask(now)

    def _ask(self, now: float) -> None:
        self.attempts += 1
        self._tell(now, f"ARP who-has {presentation(self.address)} (try {self.attempts})")
        self.timer.set(now + (CHALLENGED_RETRANSMIT if self.challenger else RETRANSMIT))
        self.attachment.solicit(self.address, self.mac, self.attempts, now)

    def _on_timer(self, now: float) -> None:
        if self.state == REACHABLE:
            self._become(STALE)
            self._invalidate()
        elif self.state == DELAY:
            self._probe(now)
        elif self.attempts < ATTEMPTS:
            self._ask(now)
        elif self.challenger and self.state == PROBE:
            self._set_mac(b"")
            self._become(INCOMPLETE)
            self.attempts = 0
            self._ask(now)
        else:
            log.info("%s does not answer", presentation(self.address))
            self.attachment.neighbor_silent(self.address, now)
            self._fail(now)

    def _record_to(self, sink: Sink | None) -> None:
        if sink is not None and sink not in self.sinks:
            self.sinks.append(sink)

    def _tell(self, now: float, text: str) -> None:
        for sink in self.sinks:
            sink(now, text)

    def _fail(self, now: float) -> None:
        self._tell(now, f"ARP {presentation(self.address)} does not answer ({self.attempts} tries)")
        self.sinks.clear()
        self._become(FAILED)
        self.challenger = b""
        self._set_mac(b"")
        queue, self.queue = self.queue, deque()
        self._count(-self.octets)
        protocols, self.refused = self.refused, set()
        if queue:
            self.attachment.neighbor_failed(self.address, queue, now)
        if protocols:
            self.attachment.neighbor_resolved(protocols, now)

    def _count(self, octets: int) -> None:
        self.octets += octets
        self.attachment.waiting_octets += octets

    def _become(self, state: str) -> None:
        self.state = state
        self.attachment.neighbor_changed()

    def _set_mac(self, mac: bytes) -> None:
        if mac != self.mac:
            self.mac = mac
            self._invalidate()

    def _invalidate(self) -> None:
        if self.cached:
            self.cached = False
            self.attachment.neighbor_moved()
