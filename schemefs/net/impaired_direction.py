"""One direction of an impaired link: exact rules first, then the draws of the words with probabilities, then the delay.

    take ── rules ── loss, MTU, black hole ── corrupt, duplicate ── overtaken by others ── rate, delay, jitter ──┐
    flush <── due frames, in the order of their time <───────────────────────────────────────────────────────────┘

A draw depends on the seed, the flow and the frame alone (see flow_table), never on the frames before it. What depends
on time, a rate and its queue, differs from run to run.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from schemefs.driver import Link, Medium
from schemefs.net import exact_rule, frame_fields
from schemefs.net.capture_point import changed, delayed, dropped
from schemefs.net.direction import OUT
from schemefs.net.offload import NO_OFFLOAD, Offload, pieces
from schemefs.net.recent_drops import RecentDrops
from schemefs.net.splitmix64 import SplitMix64

if TYPE_CHECKING:
    from schemefs.net.flow_table import FlowDirection, FlowTable
    from schemefs.net.impairment import Impairment
    from schemefs.net.rule_counts import RuleCount, RuleCounts
    from schemefs.timers import Timers

HELD_OCTETS: Final = 64 << 20  # of delayed frames in one direction; more are dropped
LONGEST_OVERTAKING: Final = 1.0  # seconds that a frame waits for the frames that shall overtake it
COUNTED: Final = (
    "frames",
    "dropped_lost",
    "dropped_by_rule",
    "dropped_queue_full",
    "dropped_larger_than_mtu",
    "dropped_blackholed",
    "corrupted",
    "duplicated",
    "reordered",
    "held_by_rule",
    "octets",
)
_NO_DRAWS: Final = SplitMix64(0)


class _Passing:
    """A frame, and what is left to do with it."""

    __slots__ = (
        "copies",
        "deadline",  # when it is passed on however many frames have overtaken it, seconds
        "delay",  # by rules, seconds
        "draws",
        "frame",
        "is_passed_on",
        "notes",  # for captures; None: nothing captures
        "offload",
        "overtaking",  # frames of its flow and direction that shall still overtake it
    )

    def __init__(self, frame: bytearray, offload: Offload, notes: list[str] | None) -> None:
        self.frame = frame
        self.offload = offload
        self.notes = notes
        self.draws = _NO_DRAWS
        self.copies = 1
        self.delay = 0.0
        self.overtaking = 0
        self.deadline = math.inf
        self.is_passed_on = False

    def note(self, comment: str) -> None:
        """Add a comment for captures, once."""
        if self.notes is not None and comment not in self.notes:
            self.notes.append(comment)


class ImpairedDirection:
    """The frames of *link* in one direction; *deliver* passes one on, and returns False if it has no room."""

    __slots__ = (
        "_deliver",
        "_draws",  # whether a word has a probability
        "_flows",
        "_held",  # heap of (when the frame is passed on, serial number, frame, its offload, its notes)
        "_idle_at",  # when the last frame has left at the rate, seconds
        "_in_order_at",  # when the last frame that was not reordered is passed on, seconds
        "_is_out",
        "_leaving",  # when each frame that waits for the rate has left, seconds
        "_link",
        "_loss_begins",  # probability with each frame that losing begins
        "_name",
        "_number",  # of the words in the text, from 1; 0: there are none
        "_octets",  # of the frames in `_held` and `_overtaken`
        "_overtaken",  # frames that wait to be overtaken, in the order of their deadlines
        "_rules",  # None: none for this direction
        "_seed",
        "_serial",  # of the last held frame: keeps the order of frames with equal times
        "_timer",  # set to the first time in `_held` and `_overtaken`
        "_waiting",  # flow and direction -> its frames in `_overtaken`
        "counted",  # counters by the names in COUNTED
        "cuts",  # whether super-segments must be cut
        "drops",  # the frames dropped last
        "impairment",
    )

    def __init__(
        self,
        impairment: Impairment,
        number: int,
        name: str,
        timers: Timers,
        deliver: Callable[[bytearray, Offload, float], bool],
        link: Link,
        rules: RuleCounts,
        flows: FlowTable,
    ) -> None:
        self.impairment = impairment
        self.drops = RecentDrops()
        self.counted: Counter[str] = Counter()
        self._number = number
        self._name = name
        self._is_out = name == OUT
        self._deliver = deliver
        self._link = link
        self._rules = rules if rules.of_direction[name] else None
        self._flows = flows
        probabilities = (impairment.loss, impairment.corrupt, impairment.duplicate, impairment.jitter)
        self._draws = any((*probabilities, impairment.reorder))
        by_octets = impairment.rate != math.inf or bool(impairment.mtu)
        self.cuts = self._draws or by_octets or any(count.rule.cuts for count in rules.of_direction[name])
        self._seed = SplitMix64.keyed(impairment.seed or 0).randrange(1 << 64)
        self._timer = timers.timer(self.flush, f"impairment {name} {link.name}")
        self._held: list[tuple[float, int, bytearray, Offload, list[str] | None]] = []
        self._overtaken: deque[_Passing] = deque()
        self._waiting: dict[FlowDirection, list[_Passing]] = {}
        self._octets = 0
        self._serial = 0
        self._idle_at = -math.inf
        self._leaving: deque[float] = deque()
        self._in_order_at = -math.inf
        loss = impairment.loss
        # Gilbert's model: losing ends with probability 1/burst, and begins so often that `loss` is lost in all.
        self._loss_begins = min(1.0, loss / (impairment.burst * (1 - loss))) if loss < 1 else 1.0

    @property
    def held(self) -> int:
        """How many frames are delayed now."""
        return len(self._held) + sum(not one.is_passed_on for one in self._overtaken)

    def take(self, frame: bytearray, now: float, offload: Offload = NO_OFFLOAD) -> None:
        """Take over a frame, and drop, change or delay it. One with offload work needs `cuts` to be False."""
        self.counted["frames"] += pieces(len(frame) - offload.header_length, offload)
        self.counted["octets"] += len(frame)
        points = self._link.capture_points
        passing = _Passing(frame, offload, [] if points else None)
        if points and self._is_out and passing.notes is not None:
            points[0].sent(frame, offload, passing.notes, now)
        if self._rules is None and not self._draws:
            if not self._is_dropped(passing, now):
                self._pass_on(passing, now)
            return
        fields = frame_fields.frame_fields(frame, self._link.network_offset(frame))
        flow = self._flows.find(fields, self._name)
        state = flow.directions[self._name]
        identity, is_new = state.identify(fields)
        rules = self._rules.applying(fields, flow, self._name, now) if self._rules is not None else ()
        if rules and rules[-1].rule.action == exact_rule.DROP:
            self._drop("dropped_by_rule", passing, rules[-1].number, now)
            return
        if self._draws:
            passing.draws = SplitMix64.keyed(self._seed ^ state.draw_key ^ identity)
        if self.impairment.loss and self._is_lost(state, passing.draws, is_new=is_new):
            self._drop("dropped_lost", passing, self._number, now)
            return
        if self._is_dropped(passing, now):
            return
        self._follow(rules, passing, fields.end)
        self._draw(passing)
        if passing.overtaking:
            self._wait(passing, state, now)
        else:
            self._pass_on(passing, now)
            if state in self._waiting:
                self._overtake(state, now)

    def flush(self, now: float) -> None:
        """Pass on the due frames until the link refuses; `ImpairedLink._space` calls again when it has room."""
        held, overtaken = self._held, self._overtaken
        is_refused = False
        try:
            while overtaken and (overtaken[0].is_passed_on or overtaken[0].deadline <= now):
                self._end_waiting(overtaken.popleft(), now)
            while held and held[0][0] <= now and not is_refused:
                entry = heappop(held)
                self._octets -= len(entry[2])
                is_refused = not self._hand_over(entry[2], entry[3], entry[4], now)
                if is_refused:
                    self._octets += len(entry[2])
                    heappush(held, entry)
        finally:  # an exception in a layer above must not hold up the following frames
            next_at = held[0][0] if held and not is_refused else math.inf
            self._timer.set(min(next_at, overtaken[0].deadline if overtaken else math.inf))

    def release(self, now: float) -> list[bytearray]:
        """Pass on every delayed frame at once; return those that were refused."""
        self._timer.clear()
        self._held, held = [], self._held
        waiting = [(one.frame, one.offload, one.notes) for one in self._overtaken if not one.is_passed_on]
        self._overtaken.clear()
        self._waiting.clear()
        frames = [one[2:] for one in sorted(held)] + waiting
        return [frame for frame, offload, notes in frames if not self._hand_over(frame, offload, notes, now)]

    def _hand_over(self, frame: bytearray, offload: Offload, notes: list[str] | None, now: float) -> bool:
        points = self._link.capture_points
        if points and not self._is_out:
            points[0].received(frame, offload, notes or [], now)
        return self._deliver(frame, offload, now)

    def _follow(self, rules: Sequence[RuleCount], passing: _Passing, end: int) -> None:
        """Do what *rules* say. *end* is that of the datagram: `corrupt` inverts a bit of the octet before it."""
        for count in rules:
            rule = count.rule
            if rule.action == exact_rule.CORRUPT and passing.frame:
                passing.frame[end - 1] ^= 1
                self.counted["corrupted"] += 1
                passing.note(changed("corrupted", count.number))
            elif rule.action == exact_rule.DUPLICATE:
                passing.copies += 1
                passing.note(changed("duplicated", count.number))
            elif rule.action == exact_rule.HOLD:
                passing.delay += rule.time
                self.counted["held_by_rule"] += 1
                passing.note(delayed(rule.time, count.number, "held"))
            elif rule.action == exact_rule.REORDER:
                passing.overtaking = max(passing.overtaking, rule.by)
                passing.note(changed("put behind others", count.number))

    def _draw(self, passing: _Passing) -> None:
        """Draw whether the frame is changed and doubled."""
        impairment, draws, frame = self.impairment, passing.draws, passing.frame
        if impairment.corrupt and frame and draws.random() < impairment.corrupt:
            frame[draws.randrange(len(frame))] ^= 1 << draws.randrange(8)
            self.counted["corrupted"] += 1
            passing.note(changed("corrupted", self._number))
        if impairment.duplicate and draws.random() < impairment.duplicate:
            passing.copies += 1
            passing.note(changed("duplicated", self._number))

    def _is_dropped(self, passing: _Passing, now: float) -> bool:
        """Drop a frame that is too large, or of a kind that does not pass."""
        impairment, frame = self.impairment, passing.frame
        start = self._link.network_offset(frame) if impairment.mtu or impairment.blackhole else 0
        if impairment.mtu and len(frame) - start > impairment.mtu:
            self._drop("dropped_larger_than_mtu", passing, self._number, now)
        elif impairment.blackhole and frame_fields.frame_fields(frame, start).kinds & frame_fields.ICMP:
            self._drop("dropped_blackholed", passing, self._number, now)
        else:
            return False
        return True

    def _drop(self, counter: str, passing: _Passing, number: int, now: float) -> None:
        """Drop the frame by rule *number* of the text."""
        self.counted[counter] += 1
        fields = frame_fields.frame_fields(passing.frame, self._link.network_offset(passing.frame))
        self.drops.keep(fields, number, now)
        reason = counter.removeprefix("dropped_")
        self._link.samples.keep(reason, passing.frame, is_frame=self._link.medium is Medium.ETHERNET)
        if passing.notes is None:
            return
        if self._is_out:
            passing.notes.insert(0, dropped(reason, number))
            return
        for point in self._link.capture_points:
            point.lost(passing.frame, passing.offload, [dropped(reason, number), *passing.notes], now)

    def _is_lost(self, state: FlowDirection, draws: SplitMix64, *, is_new: bool) -> bool:
        loss, burst, number = self.impairment.loss, self.impairment.burst, draws.random()
        if burst == 1:
            return number < loss
        # Frames that may come at other moments in the next run have a state of their own.
        before = state.is_losing[is_new]
        begins = loss if before is None else self._loss_begins
        lost = number >= 1 / burst if before else number < begins
        state.is_losing[is_new] = lost
        return lost

    def _wait(self, passing: _Passing, state: FlowDirection, now: float) -> None:
        """Keep the frame until others of its flow and direction have passed."""
        if self._octets + len(passing.frame) > HELD_OCTETS:
            self._drop("dropped_queue_full", passing, self._number, now)
            return
        self.counted["reordered"] += 1
        self._octets += len(passing.frame)
        passing.deadline = now + LONGEST_OVERTAKING
        self._overtaken.append(passing)
        self._waiting.setdefault(state, []).append(passing)
        if passing.deadline < self._timer.deadline:
            self._timer.set(passing.deadline)

    def _overtake(self, state: FlowDirection, now: float) -> None:
        """Pass on the frames that enough others have overtaken."""
        waiting = self._waiting.pop(state)
        for passing in waiting:
            passing.overtaking -= 1
        still = [passing for passing in waiting if passing.overtaking and not passing.is_passed_on]
        if still:
            self._waiting[state] = still
        for passing in waiting:
            if not passing.overtaking:
                self._end_waiting(passing, now)

    def _end_waiting(self, passing: _Passing, now: float) -> None:
        if not passing.is_passed_on:
            passing.is_passed_on = True
            self._octets -= len(passing.frame)
            self._pass_on(passing, now)

    def _pass_on(self, passing: _Passing, now: float) -> None:
        for _ in range(passing.copies - 1):
            self.counted["duplicated"] += 1
            self._schedule(passing, bytearray(passing.frame), now)
        self._schedule(passing, passing.frame, now)

    def _schedule(self, passing: _Passing, frame: bytearray, now: float) -> None:
        impairment, random = self.impairment, passing.draws.random
        leaves_at = self._leaves_at(len(frame), now)
        if leaves_at == math.inf or self._octets + len(frame) > HELD_OCTETS:
            self._drop("dropped_queue_full", passing, self._number, now)
            return
        due = leaves_at + impairment.delay
        if impairment.jitter:
            due += (2 * random() - 1) * impairment.jitter
        due = self._in_order_at = max(due, self._in_order_at)
        if impairment.reorder and random() < impairment.reorder:
            due += impairment.detour
            self.counted["reordered"] += 1
        if due > now:
            passing.note(delayed(due - now, self._number))
        due += passing.delay
        self._serial += 1
        heappush(self._held, (due, self._serial, frame, passing.offload, passing.notes))
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
