"""A link that impairs its frames as an `Impairment` says. Sans-IO: it needs Timers and a seed.

    ip ──send──> ImpairedLink ── lose, delay, corrupt… ──> link ──> wire
    ip <─receive── ImpairedLink <── the same, other direction ─ link <── wire

It is wrapped around a link only while there are impairments, so an unimpaired link costs nothing. Super-segments are
cut first, so that loss hits single segments, as on a wire.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from schemefs.driver import Link, Medium
from schemefs.net.impairment import IMPAIRED_PREFIX, IN, OUT, Impairment
from schemefs.net.offload import NO_OFFLOAD, split
from schemefs.net.splitmix64 import SplitMix64

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.drop_samples import DropSamples
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

HELD_OCTETS: Final = 64 << 20  # of delayed frames in one direction; more are dropped
_TYPE_IPV4: Final = b"\x08\0"
_ICMP: Final = 1
_COUNTED: Final = (
    "frames",
    "dropped_lost",
    "dropped_queue_full",
    "dropped_larger_than_mtu",
    "dropped_blackholed",
    "corrupted",
    "duplicated",
    "reordered",
)


class ImpairedLink(Link):
    """Takes the place of *inner* from construction until `remove`."""

    def __init__(self, inner: Link, impairments: tuple[Impairment, ...], timers: Timers) -> None:
        """Receive from *inner* instead of its present receiver. Every impairment must have its seed."""
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.device = inner.device
        self.medium = inner.medium
        self.mac = inner.mac
        self.mtu = inner.mtu
        self.impairments = impairments
        self._directions: dict[str, _ImpairedDirection] = {}
        deliver = {IN: self._deliver_in, OUT: self._deliver_out}
        for impairment in impairments:
            for direction in impairment.directions:
                self._directions[direction] = _ImpairedDirection(
                    impairment, direction, timers, deliver[direction], inner, self.samples
                )
        self._out = self._directions.get(OUT)
        self.receive = inner.receive
        self.on_space = inner.on_space
        self.on_fault = inner.on_fault
        self.fault = inner.fault
        inner.on_fault = self._fault
        if IN in self._directions:
            inner.receive = self._arrives
        inner.on_space = self._space

    def remove(self, now: float) -> list[bytearray]:
        """Give *inner* its place back, with the delayed frames; return those that its link has no room for."""
        refused = [frame for direction in self._directions.values() for frame in direction.release(now)]
        self.inner.receive = self.receive
        self.inner.on_space = self.on_space
        self.inner.on_fault = self.on_fault
        return refused

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Impair the frame. An impaired direction never refuses: a frame that it has no room for is lost."""
        if self._out is None:
            return self.inner.send(chunks, offload, now)
        for frame in split(chunks, offload, self.network_offset(chunks[0])):
            self._out.take(frame, now)
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
        """Yield the counters of each direction, as comments to the lines of its impairment."""
        for name, direction in self._directions.items():
            counts = " ".join(f"{counter}={direction.counted[counter]}" for counter in _COUNTED)
            yield f"# {name}: {counts} held={direction.held}"

    def drops(self) -> dict[str, int]:
        """Return how many frames were dropped for each reason, both directions added."""
        total = sum((direction.counted for direction in self._directions.values()), Counter[str]())
        return {name: total[name] for name in _COUNTED if name.startswith("dropped_")}

    def _arrives(self, frame: memoryview, offload: Offload, now: float) -> None:
        direction = self._directions[IN]
        for piece in split((frame,), offload, self.network_offset(frame)):
            direction.take(piece, now)

    def _deliver_in(self, frame: bytearray, now: float) -> bool:
        self.receive(memoryview(frame), NO_OFFLOAD, now)
        return True

    def _deliver_out(self, frame: bytearray, now: float) -> bool:
        return self.inner.send((frame,), NO_OFFLOAD, now)

    def _fault(self, now: float) -> None:
        self.set_fault(self.inner.fault, now)

    def _space(self, now: float) -> None:
        if self._out is not None:
            self._out.flush(now)
        self.on_space(now)


class _ImpairedDirection:
    __slots__ = (
        "_deliver",  # passes a frame on; False: no room
        "_held",  # heap of (when the frame is passed on, serial number, frame)
        "_idle_at",  # when the last frame has left at the rate, seconds
        "_in_order_at",  # when the last frame that was not reordered is passed on, seconds
        "_is_losing",  # state of Gilbert's model
        "_leaving",  # when each frame that waits for the rate has left, seconds
        "_link",
        "_loss_begins",  # probability with each frame that losing begins
        "_octets",  # of the frames in `_held`
        "_random",
        "_samples",
        "_serial",  # of the last held frame: keeps the order of frames with equal times
        "_timer",  # set to the first time in `_held`
        "counted",  # counters by the names in _COUNTED
        "impairment",
    )

    def __init__(
        self,
        impairment: Impairment,
        direction: str,
        timers: Timers,
        deliver: Callable[[bytearray, float], bool],
        link: Link,
        samples: DropSamples,
    ) -> None:
        self.impairment = impairment
        self.counted: Counter[str] = Counter()
        self._deliver = deliver
        self._link = link
        self._samples = samples
        # The directions need different numbers: otherwise a frame and its answer are always lost together.
        self._random = SplitMix64((impairment.seed or 0) << 1 | (direction == OUT))
        self._timer = timers.timer(self.flush, f"impairment {direction} {link.name}")
        self._held: list[tuple[float, int, bytearray]] = []
        self._octets = 0
        self._serial = 0
        self._is_losing = False
        self._idle_at = -math.inf
        self._leaving: deque[float] = deque()
        self._in_order_at = -math.inf
        loss = impairment.loss
        # Gilbert's model: losing ends with probability 1/burst, and begins so often that `loss` is lost in all.
        self._loss_begins = min(1.0, loss / (impairment.burst * (1 - loss))) if loss < 1 else 1.0

    @property
    def held(self) -> int:
        """How many frames are delayed now."""
        return len(self._held)

    def take(self, frame: bytearray, now: float) -> None:
        """Take over a frame without offload work, and drop, change or delay it."""
        impairment, counted = self.impairment, self.counted
        counted["frames"] += 1
        reason = self._drop_reason(frame)
        if reason:
            self._drop(reason, frame)
            return
        if impairment.corrupt and self._random.random() < impairment.corrupt:
            frame[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
            counted["corrupted"] += 1
        if impairment.duplicate and self._random.random() < impairment.duplicate:
            counted["duplicated"] += 1
            self._pass_on(bytearray(frame), now)
        self._pass_on(frame, now)

    def flush(self, now: float) -> None:
        """Pass on the due frames until the link refuses; `ImpairedLink._space` calls again when it has room."""
        held = self._held
        is_refused = False
        try:
            while held and held[0][0] <= now and not is_refused:
                entry = heappop(held)
                self._octets -= len(entry[2])
                is_refused = not self._deliver(entry[2], now)
                if is_refused:
                    self._octets += len(entry[2])
                    heappush(held, entry)
        finally:  # an exception in a layer above must not hold up the following frames
            self._timer.set(held[0][0] if held and not is_refused else math.inf)

    def release(self, now: float) -> list[bytearray]:
        """Pass on every delayed frame at once; return those that were refused."""
        self._timer.clear()
        self._held, held = [], self._held
        return [frame for _, _, frame in sorted(held) if not self._deliver(frame, now)]

    def _drop_reason(self, frame: bytearray) -> str:
        """Return the counter of the reason to drop the frame; empty: there is none."""
        impairment = self.impairment
        if impairment.loss and self._is_lost():
            return "dropped_lost"
        start = self._link.network_offset(frame)
        if impairment.mtu and len(frame) - start > impairment.mtu:
            return "dropped_larger_than_mtu"
        if impairment.blackhole and _is_icmp(frame, start):
            return "dropped_blackholed"
        return ""

    def _drop(self, counter: str, frame: bytearray) -> None:
        self.counted[counter] += 1
        self._samples.keep(counter.removeprefix("dropped_"), frame, is_frame=self._link.medium is Medium.ETHERNET)

    def _is_lost(self) -> bool:
        changes = self._random.random() < (1 / self.impairment.burst if self._is_losing else self._loss_begins)
        if self._is_losing:
            # With bursts of one, losses are independent.
            self._is_losing = not changes or (
                self.impairment.burst == 1 and self._random.random() < self.impairment.loss
            )
        else:
            self._is_losing = changes
        return self._is_losing

    def _pass_on(self, frame: bytearray, now: float) -> None:
        impairment, random = self.impairment, self._random.random
        leaves_at = self._leaves_at(len(frame), now)
        if leaves_at == math.inf or self._octets + len(frame) > HELD_OCTETS:
            self._drop("dropped_queue_full", frame)
            return
        due = leaves_at + impairment.delay
        if impairment.jitter:
            due += (2 * random() - 1) * impairment.jitter
        due = self._in_order_at = max(due, self._in_order_at)
        if impairment.reorder and random() < impairment.reorder:
            due += impairment.detour
            self.counted["reordered"] += 1
        self._serial += 1
        heappush(self._held, (due, self._serial, frame))
        self._octets += len(frame)
        if due <= now:
            self.flush(now)
        elif self._held[0][0] < self._timer.deadline:
            self._timer.set(self._held[0][0])

    def _leaves_at(self, octets: int, now: float) -> float:
        """Return when a frame has left at the rate; `math.inf`: the queue is full."""
        impairment = self.impairment
        if impairment.rate == math.inf:
            return now
        waiting = self._leaving
        while waiting and waiting[0] <= now:
            waiting.popleft()
        if len(waiting) >= impairment.queue:
            return math.inf
        self._idle_at = max(self._idle_at, now) + octets * 8 / impairment.rate
        waiting.append(self._idle_at)
        return self._idle_at


def _is_icmp(frame: bytearray, start: int) -> bool:
    """Return whether *frame* is ICMP over IPv4; *start* is the offset of its IP header."""
    is_ipv4 = (
        len(frame) >= start + 20 and bytes(frame[start - 2 : start]) in (b"", _TYPE_IPV4) and frame[start] >> 4 == 4
    )
    return is_ipv4 and frame[start + 9] == _ICMP
