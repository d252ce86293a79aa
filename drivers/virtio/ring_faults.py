"""The rules of `network/<if>/faults` that are in force on a virtio-net link, and what they do to its rings.

A link makes this object at its first rule. The device's ends of the queues are `FaultyQueue`s while a rule is about
them. What takes time (a withheld completion, a filled ring) is a deadline of the link, in `next_deadline`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from drivers.virtio.device import RECEIVE, TRANSMIT
from drivers.virtio.faulty_queue import FaultyQueue
from drivers.virtio.queue import DeviceQueue
from drivers.virtio.ring_fault import USAGE, Kind, RingFault, parse_ring_fault
from schemefs.net.splitmix64 import SplitMix64

if TYPE_CHECKING:
    import logging

    from drivers.virtio.receive import ReceiveQueue
    from drivers.virtio.transmit import TransmitQueue

MOST: Final = 100  # rules in force on a link
REMEMBERED: Final = 20  # rules that have ended, for the reader


class RingLink(Protocol):
    """The link that the rules are about."""

    log: logging.Logger
    receiving: ReceiveQueue
    transmitting: TransmitQueue

    def queues(self) -> list[DeviceQueue]:
        """Return the device's ends of receiveq1 and transmitq1; another may take the place of one."""

    def interrupt(self, queue: int, now: float) -> None:
        """Handle the chains of *queue* that the device has used."""

    def recycle_again(self, now: float) -> None:
        """Post the receive buffers again that `stop_recycling` has kept."""

    def reset(self, now: float) -> None:
        """Reset the device: both rings begin again."""


class RingFaults:
    """The faults of *link*. *clock* returns now; *on_deadline_moved*: `next_deadline` may be earlier."""

    usage = USAGE

    def __init__(
        self, link: RingLink, clock: Callable[[], float], on_deadline_moved: Callable[[], None], seed: int
    ) -> None:
        self.seed = seed
        self._link = link
        self._clock = clock
        self._on_deadline_moved = on_deadline_moved
        self._random = SplitMix64(seed)
        self._rules: list[RingFault] = []
        self._ended: list[RingFault] = []
        self._filled_until = math.inf
        self._has_effects = False  # a rule has had an effect since `look`

    def set_seed(self, seed: int) -> None:
        """Begin the random choices again from *seed*."""
        self.seed = seed
        self._random = SplitMix64(seed)
        for queue in self._link.queues():
            if isinstance(queue, FaultyQueue):
                queue.random = self._random

    def switch_on(self, words: list[str], now: float) -> bool:
        """Put the rule in force. False: *words* do not begin as a rule of the rings. ValueError: a sentence."""
        rule = parse_ring_fault(words)
        if rule is None:
            return False
        if len(self._rules) >= MOST:
            message = f"{MOST} rules are in force; 'clear' removes them"
            raise ValueError(message)
        if rule.kind is Kind.RESET:
            self._end(rule, effects=1)
            self._link.log.warning("fault on purpose: %s", rule)
            self._link.reset(now)
            return True
        self._rules.append(rule)
        if rule.kind is Kind.FILL:
            self._fill(rule, now)
        elif rule.kind is Kind.STOP:
            self._link.receiving.stop_recycling()
            self._link.log.warning("fault on purpose: %s", rule)
        else:
            self._install(rule.queue)
        return True

    def clear(self, now: float) -> None:
        """End every rule; what was held back comes now."""
        for rule in tuple(self._rules):
            self._rules.remove(rule)
            self._end(rule)
        self.look(now, everything=True)
        self._link.recycle_again(now)

    def lines(self) -> Iterator[str]:
        """Yield the rules in force with their counts, then those that have ended, as comments."""
        for rule in self._rules:
            yield f"{rule}  # {_counts(rule)}"
        for rule in self._ended:
            yield f"# ended: {rule}: {_counts(rule)}"

    def next_deadline(self) -> float:
        """Return when to call `look`; `math.inf`: nothing is held back."""
        if self._has_effects:
            return -math.inf
        queues = [queue for queue in self._link.queues() if isinstance(queue, FaultyQueue)]
        return min(self._filled_until, *(one[0] for queue in queues for one in queue.withheld), math.inf)

    def look(self, now: float, *, everything: bool = False) -> None:
        """Release what is due, end the rules that have had their effect, and give plain queues back."""
        self._has_effects = False
        if everything or now >= self._filled_until:
            self._filled_until = math.inf
            self._link.transmitting.give_back(now)
        for rule in tuple(self._rules):
            if rule.effects and rule.kind not in (Kind.REORDER, Kind.STOP) and not self._is_filling(rule):
                self._rules.remove(rule)
                self._end(rule)
        for number in (RECEIVE, TRANSMIT):
            queue = self._link.queues()[number]
            if isinstance(queue, FaultyQueue):
                self._look_at(number, queue, math.inf if everything else now, now)

    def reinstall(self) -> None:
        """Put the rules on the device's new queues, after a reset, which ends a fill."""
        if self._filled_until != math.inf:
            self._filled_until = math.inf
            self._on_effect()
        for number in {rule.queue for rule in self._rules if rule.kind not in (Kind.FILL, Kind.STOP)}:
            self._install(number)

    def _look_at(self, number: int, queue: FaultyQueue, until: float, now: float) -> None:
        queue.rules = [rule for rule in self._rules if rule.queue == number]
        if queue.release(until) and queue.needs_interrupt():
            self._link.interrupt(number, now)
        if not queue.rules and not queue.withheld:
            plain = DeviceQueue(queue.rings.memory, queue.rings.size, event_idx=queue.event_idx)
            plain.continue_from(queue)
            self._link.queues()[number] = plain

    def _install(self, number: int) -> None:
        queue = self._link.queues()[number]
        if not isinstance(queue, FaultyQueue):
            queue = FaultyQueue(queue, self._random, self._clock, self._on_effect, self._link.log)
            self._link.queues()[number] = queue
        queue.rules = [rule for rule in self._rules if rule.queue == number]

    def _fill(self, rule: RingFault, now: float) -> None:
        rule.effects = 1
        self._link.log.warning("fault on purpose: no transmit descriptor is free (%s)", rule)
        self._link.transmitting.seize()
        until = now + rule.seconds
        self._filled_until = until if self._filled_until == math.inf else max(until, self._filled_until)
        self._on_deadline_moved()

    def _is_filling(self, rule: RingFault) -> bool:
        return rule.kind is Kind.FILL and self._filled_until != math.inf

    def _on_effect(self) -> None:
        self._has_effects = True
        self._on_deadline_moved()

    def _end(self, rule: RingFault, effects: int | None = None) -> None:
        if effects is not None:
            rule.effects = effects
        self._ended = [*self._ended, rule][-REMEMBERED:]


def _counts(rule: RingFault) -> str:
    return f"seen {rule.seen}, effects {rule.effects}"
