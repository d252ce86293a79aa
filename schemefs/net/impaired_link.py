"""A link that impairs its frames as its `impair` text says. Sans-IO: it needs Timers and a seed.

    ip ──send──> ImpairedLink ── lose, delay, corrupt… ──> link ──> wire
    ip <─receive── ImpairedLink <── the same, other direction ─ link <── wire

It is wrapped around a link only while there are impairments, so an unimpaired link costs nothing. Super-segments are
cut first where an impairment is about single segments, so that loss hits those, and the third one is the third, as on
a wire.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.driver import Link
from schemefs.errors import SchemeError
from schemefs.net.direction import IN, OUT, directions_of
from schemefs.net.flow_table import FlowTable
from schemefs.net.impaired_direction import COUNTED, ImpairedDirection
from schemefs.net.impairment import IMPAIRED_PREFIX, AnyImpairment, Impairment
from schemefs.net.offload import GSO_NONE, split
from schemefs.net.recent_drops import DroppedFrame
from schemefs.net.rule_counts import NEVER_MATCHED, RuleCounts

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

INSTANT: Final = 0.05  # seconds

log = logging.getLogger("schemefs.ip")


class Randomness(Protocol):
    """The part of `random.Random` that seeds need."""

    def getrandbits(self, k: int, /) -> int:
        """Return 0..2**k - 1."""


def seeded(impairments: Iterable[AnyImpairment], random: Randomness) -> tuple[AnyImpairment, ...]:
    """Return *impairments*, with a seed chosen for each that has none."""
    return tuple(
        replace(one, seed=random.getrandbits(32)) if isinstance(one, Impairment) and one.seed is None else one
        for one in impairments
    )


def check_impairable(link: Link, impairments: Sequence[AnyImpairment]) -> None:
    """Raise EOPNOTSUPP if *impairments* are some, and the other end of *link* can't bear them."""
    if impairments and link.impair_refusal:
        raise SchemeError(errno.EOPNOTSUPP, f"{link.name} takes no impairments: {link.impair_refusal}")


class ImpairedLink(Link):
    """Takes the place of *inner* from construction until `remove`."""

    def __init__(self, inner: Link, impairments: Sequence[AnyImpairment], timers: Timers, now: float = 0.0) -> None:
        """Receive from *inner* instead of its present receiver. Every impairment must have its seed."""
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.device = inner.device
        self.medium = inner.medium
        self.mac = inner.mac
        self.mtu = inner.mtu
        self.largest_window = inner.largest_window
        self.is_loopback = inner.is_loopback
        self.capture_points = inner.capture_points
        self.history = inner.history
        self.impairments = tuple(impairments)
        self.rules = RuleCounts(impairments, now, is_loopback=inner.is_loopback)
        self._began_at = now
        self._flows = FlowTable()
        self._directions: dict[str, ImpairedDirection] = {}
        for name, deliver in ((IN, self._deliver_in), (OUT, self._deliver_out)):
            words, number = self._words(name)
            if number or self.rules.of_direction[name]:
                self._directions[name] = ImpairedDirection(
                    words, number, name, timers, deliver, self, self.rules, self._flows
                )
        self._out = self._directions.get(OUT)
        inner.impaired = frozenset(name == OUT for name in self._directions)
        self.receive = inner.receive
        self.on_space = inner.on_space
        self.on_fault = inner.on_fault
        self.fault = inner.fault
        inner.on_fault = self._fault
        if IN in self._directions:
            inner.receive = self._arrives
        inner.on_space = self._space

    def _words(self, direction: str) -> tuple[Impairment, int]:
        """Return the words with values for *direction*, and their place in the text, from 1; 0: there are none."""
        for number, one in enumerate(self.impairments, 1):
            if isinstance(one, Impairment) and direction in directions_of(
                one.direction, is_loopback=self.inner.is_loopback
            ):
                return one, number
        return Impairment(), 0

    def remove(self, now: float) -> list[bytearray]:
        """Give *inner* its place back, with the delayed frames; return those that its link has no room for.

        The log gets what the impairments have done, and the exact rules that never did anything.
        """
        refused = [frame for direction in self._directions.values() for frame in direction.release(now)]
        self.inner.impaired = frozenset()
        self.inner.receive = self.receive
        self.inner.on_space = self.on_space
        self.inner.on_fault = self.on_fault
        # A write whose last line has no newline puts the lines before it in force first, for an instant.
        if now - self._began_at > INSTANT:
            self._log_effects()
        return refused

    def _log_effects(self) -> None:
        for line in (*map(str, self.impairments), *self.lines()):
            log.info("%s: the impairments end: %s", self.name, line)
        for count in self.rules.counts:
            if not count.has_matched:
                log.warning(
                    "%s: the rule '%s' %s: %d frames met its conditions",
                    self.name,
                    count.rule,
                    NEVER_MATCHED,
                    count.seen,
                )

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Impair the frame. An impaired direction never refuses: a frame that it has no room for is lost."""
        if self._out is None:
            return self.inner.send(chunks, offload, now)
        self._take(self._out, chunks, offload, now)
        return True

    def set_mac(self, mac: bytes) -> None:
        """Change the hardware address of the link itself."""
        self.inner.set_mac(mac)
        self.mac = mac

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters of *inner*; those of the impairments are in `lines`."""
        return self.inner.statistics()

    def drop_samples(self) -> Mapping[str, str]:
        """Return those of *inner*, and those of the impairments with IMPAIRED_PREFIX."""
        impaired = {f"{IMPAIRED_PREFIX}{reason}": words for reason, words in self.samples.summaries().items()}
        return {**self.inner.drop_samples(), **impaired}

    def lines(self) -> Iterator[str]:
        """Yield the counters of each direction and of each exact rule, as comments to the text of the impairments."""
        for name, direction in self._directions.items():
            counts = " ".join(f"{counter}={direction.counted[counter]}" for counter in COUNTED)
            yield f"# {name}: {counts} held={direction.held}"
        yield from map(str, self.rules.counts)

    def dropped(self, ends: tuple[bytes, bytes], ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        """Return the frames of a flow that were dropped at *since* or later, those that leave first, newest first."""
        return [
            DroppedFrame(fields, number, self._rule_text(number))
            for name in (OUT, IN)
            if name in self._directions
            for fields, number in self._directions[name].drops.of_flow(ends, ports, since)
        ]

    def _rule_text(self, number: int) -> str:
        """Return rule *number* in words; 0: no single one, such as when too much is held."""
        return f"impair rule {number} of {self.name}, `{self.impairments[number - 1]}`" if number else "impairments"

    def drops(self) -> dict[str, int]:
        """Return how many frames were dropped for each reason, both directions added."""
        total = sum((direction.counted for direction in self._directions.values()), Counter[str]())
        return {name: total[name] for name in COUNTED if name.startswith("dropped_")}

    def _take(self, direction: ImpairedDirection, chunks: Chunks, offload: Offload, now: float) -> None:
        if offload.gso_type != GSO_NONE and not direction.cuts:
            direction.take(bytearray().join(chunks), now, offload)
            return
        for frame in split(chunks, offload, self.network_offset(chunks[0])):
            direction.take(frame, now)

    def _arrives(self, frame: memoryview, offload: Offload, now: float) -> None:
        self._take(self._directions[IN], (frame,), offload, now)

    def _deliver_in(self, frame: bytearray, offload: Offload, now: float) -> bool:
        self.receive(memoryview(frame), offload, now)
        return True

    def _deliver_out(self, frame: bytearray, offload: Offload, now: float) -> bool:
        return self.inner.send((frame,), offload, now)

    def _fault(self, now: float) -> None:
        self.set_fault(self.inner.fault, now)

    def _space(self, now: float) -> None:
        if self._out is not None:
            self._out.flush(now)
        self.on_space(now)
