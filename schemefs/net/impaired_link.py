"""A link with bad weather: what an `Impairment` says, done to real frames. Sans-IO: an Timers's timers, a seed.

    ip ──send──> ImpairedLink ── lose, delay, cut, turn… ──> link ──> wire
    ip <─receive── ImpairedLink <── the same, the other way ─ link <── wire

It is put around a link while there is weather and taken away afterwards, so a fine day costs nothing. Super-segments
are cut first, so that loss strikes single segments, as on a wire.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from schemefs.driver import Link, Medium
from schemefs.net.impairment import IN, OUT, Impairment
from schemefs.net.offload import NO_OFFLOAD, split
from schemefs.net.splitmix64 import SplitMix64

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.drop_samples import Samples
    from schemefs.net.offload import Offload
    from schemefs.timers import Timers

HELD_OCTETS: Final = 64 << 20  # what one direction keeps at most, whatever the delay
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
    """Stands for *inner* from construction until `remove`."""

    def __init__(self, inner: Link, impairments: tuple[Impairment, ...], timers: Timers) -> None:
        """Take the place of *inner* before whoever receives from it. Every impairment must have its seed."""
        super().__init__()
        self.inner = inner
        self.name = inner.name
        self.device = inner.device
        self.medium = inner.medium
        self.mac = inner.mac
        self.mtu = inner.mtu
        self.impairments = impairments
        self._directions: dict[str, _Weather] = {}
        deliver = {IN: self._deliver_in, OUT: self._deliver_out}
        for impairment in impairments:
            for direction in impairment.directions:
                self._directions[direction] = _Weather(
                    impairment, direction, timers, deliver[direction], inner, self.samples
                )
        self._out = self._directions.get(OUT)
        self.receive = inner.receive
        self.on_space = inner.on_space
        if IN in self._directions:
            inner.receive = self._arrives
        inner.on_space = self._space

    def remove(self, now: float) -> list[bytearray]:
        """Give *inner* its place back. What was still delayed goes on at once; return what there is no room for."""
        refused = [frame for weather in self._directions.values() for frame in weather.release(now)]
        self.inner.receive = self.receive
        self.inner.on_space = self.on_space
        return refused

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Let the frame go into the weather, which refuses nothing: what it has no room for is lost."""
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
        """Return the counters of the link itself; the weather's own are `lines`."""
        return self.inner.statistics()

    def drop_samples(self) -> Mapping[str, str]:
        """Return those of the link itself, and the weather's as `weather_…`."""
        weather = {f"weather_{reason}": words for reason, words in self.samples.summaries().items()}
        return {**self.inner.drop_samples(), **weather}

    def lines(self) -> Iterator[str]:
        """Yield what happened in each direction, as comments to the lines that brought it about."""
        for direction, weather in self._directions.items():
            counts = " ".join(f"{name}={weather.counted[name]}" for name in _COUNTED)
            yield f"# {direction}: {counts} held={weather.held}"

    def drops(self) -> dict[str, int]:
        """Return how many frames were dropped for which reason, both directions together."""
        total = sum((weather.counted for weather in self._directions.values()), Counter[str]())
        return {name: total[name] for name in _COUNTED if name.startswith("dropped_")}

    def _arrives(self, frame: memoryview, offload: Offload, now: float) -> None:
        weather = self._directions[IN]
        for piece in split((frame,), offload, self.network_offset(frame)):
            weather.take(piece, now)

    def _deliver_in(self, frame: bytearray, now: float) -> bool:
        self.receive(memoryview(frame), NO_OFFLOAD, now)
        return True

    def _deliver_out(self, frame: bytearray, now: float) -> bool:
        return self.inner.send((frame,), NO_OFFLOAD, now)

    def _space(self, now: float) -> None:
        if self._out is not None:
            self._out.flush(now)
        self.on_space(now)


class _Weather:
    """One direction."""

    def __init__(
        self,
        impairment: Impairment,
        direction: str,
        timers: Timers,
        deliver: Callable[[bytearray, float], bool],
        link: Link,
        samples: Samples,
    ) -> None:
        self.impairment = impairment
        self.counted: Counter[str] = Counter()
        self._deliver = deliver
        self._link = link
        self._samples = samples
        # The directions must not share their luck: a frame and its answer would always be lost together.
        self._luck = SplitMix64((impairment.seed or 0) << 1 | (direction == OUT))
        self._timer = timers.timer(self.flush, f"weather {direction} {link.name}")
        self._held: list[tuple[float, int, bytearray]] = []  # when it goes on, a serial number, the frame
        self._octets = 0
        self._serial = 0
        self._is_losing = False
        self._idle_at = -math.inf  # when the last frame has left, at the rate
        self._leaving: deque[float] = deque()  # when those leave that wait for the rate
        self._latest = -math.inf  # when the last one in order goes on
        loss = impairment.loss
        # Gilbert's model: a bad time ends with probability 1/burst, and begins so often that `loss` is lost in all.
        self._worsens = min(1.0, loss / (impairment.burst * (1 - loss))) if loss < 1 else 1.0

    @property
    def held(self) -> int:
        """How many frames are on their way."""
        return len(self._held)

    def take(self, frame: bytearray, now: float) -> None:
        """Take a finished frame, which is ours now, and decide its fate."""
        impairment, counted = self.impairment, self.counted
        counted["frames"] += 1
        reason = self._swallowed(frame)
        if reason:
            self._drop(reason, frame)
            return
        if impairment.corrupt and self._luck.chance() < impairment.corrupt:
            frame[self._luck.below(len(frame))] ^= 1 << self._luck.below(8)
            counted["corrupted"] += 1
        if impairment.duplicate and self._luck.chance() < impairment.duplicate:
            counted["duplicated"] += 1
            self._send_on(bytearray(frame), now)
        self._send_on(frame, now)

    def flush(self, now: float) -> None:
        """Pass on what is due, as far as the link takes it; `_space` of the link calls again when it takes more."""
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
        finally:  # a fault above, when one frame is delivered, must not hold up all that follow
            self._timer.set(held[0][0] if held and not is_refused else math.inf)

    def release(self, now: float) -> list[bytearray]:
        """The weather ends: pass on everything, and return what was refused."""
        self._timer.clear()
        self._held, held = [], self._held
        return [frame for _, _, frame in sorted(held) if not self._deliver(frame, now)]

    def _swallowed(self, frame: bytearray) -> str:
        """Return why the frame goes no further, as the counter for it; empty: it does."""
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
        changes = self._luck.chance() < (1 / self.impairment.burst if self._is_losing else self._worsens)
        if self._is_losing:
            # With bursts of one, a loss says nothing about the next frame.
            self._is_losing = not changes or (self.impairment.burst == 1 and self._luck.chance() < self.impairment.loss)
        else:
            self._is_losing = changes
        return self._is_losing

    def _send_on(self, frame: bytearray, now: float) -> None:
        impairment, luck = self.impairment, self._luck
        leaves_at = self._leaves_at(len(frame), now)
        if leaves_at == math.inf or self._octets + len(frame) > HELD_OCTETS:
            self._drop("dropped_queue_full", frame)
            return
        due = leaves_at + impairment.delay
        if impairment.jitter:
            due += (2 * luck.chance() - 1) * impairment.jitter
        due = self._latest = max(due, self._latest)
        if impairment.reorder and luck.chance() < impairment.reorder:
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
        """Return when a frame has left, at the rate; `math.inf`: too many wait already."""
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
    """Tell whether *frame* is ICMP over IPv4; *start* is where its IP header would begin."""
    is_ipv4 = (
        len(frame) >= start + 20 and bytes(frame[start - 2 : start]) in (b"", _TYPE_IPV4) and frame[start] >> 4 == 4
    )
    return is_ipv4 and frame[start + 9] == _ICMP
