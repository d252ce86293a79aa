"""The device's end of a queue while a rule of `network/<if>/faults` is about it: it delays, repeats, or lies.

It takes the place of the plain `DeviceQueue`, on the same rings, and gives it back when no rule is left: a link without
rules has no cost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from drivers.virtio.queue import DeviceQueue
from drivers.virtio.ring_fault import Kind, RingFault
from drivers.virtio.rings import INDEX
from schemefs.net.splitmix64 import SplitMix64

_EFFECTS: Final = {
    Kind.WITHHOLD: "the completion of descriptor %d is withheld",
    Kind.DOUBLE: "the completion of descriptor %d comes twice",
    Kind.BAD_ID: "the completion of descriptor %d has a bad id",
    Kind.JUMP: "the used index jumps after the completion of descriptor %d",
}


class FaultyQueue(DeviceQueue):
    """Continues *plain*. *clock* returns now; *on_effect* is called when a rule has ended or has set a deadline."""

    def __init__(
        self,
        plain: DeviceQueue,
        random: SplitMix64,
        clock: Callable[[], float],
        on_effect: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        super().__init__(plain.rings.memory, plain.rings.size, event_idx=plain.event_idx)
        self.continue_from(plain)
        self.rules: list[RingFault] = []
        self.withheld: list[tuple[float, int, int]] = []  # (when it comes, head, length)
        self.random = random  # which of a burst comes first
        self._clock = clock
        self._on_effect = on_effect
        self._log = log
        self._burst: list[tuple[int, int]] = []  # (head, length), while completions are reordered

    def push(self, head: int, length: int) -> None:
        """Return a chain, as the first rule that is due for it says. Another that is due is about the next chain."""
        due = [rule for rule in self.rules if rule.kind in _EFFECTS and rule.is_due()]  # all of them count the chain
        if due:
            self._take_effect(due[0], head)
            self._push_wrongly(due[0], head, length)
        elif any(rule.kind is Kind.REORDER for rule in self.rules):
            self._burst.append((head, length))
        else:
            super().push(head, length)

    def _push_wrongly(self, rule: RingFault, head: int, length: int) -> None:
        if rule.kind is Kind.WITHHOLD:
            self.withheld.append((self._clock() + rule.seconds, head, length))
            return
        super().push(head + self.rings.size if rule.kind is Kind.BAD_ID else head, length)
        if rule.kind is Kind.DOUBLE:
            super().push(head, length)
        elif rule.kind is Kind.JUMP:  # beyond all that the driver has given: a smaller jump looks like completions
            given = self.rings.available[INDEX] - self.used_index & 0xFFFF
            self.used_index = self.rings.used_head[INDEX] = self.used_index + given + rule.number & 0xFFFF

    def needs_interrupt(self) -> bool:
        """Return whether to interrupt the driver, unless a rule loses the interrupt: then the next call asks again."""
        self._push_burst()
        interrupted_index = self._interrupted_index
        if not super().needs_interrupt():
            return False
        due = [rule for rule in self.rules if rule.kind is Kind.LOSE and rule.is_due()]  # as in `push`
        if due:
            self._interrupted_index = interrupted_index
            self.interrupts -= 1
            due[0].effects += 1
            self._log.warning("fault on purpose: an interrupt is lost (%s)", due[0])
            self._on_effect()
        return not due

    def release(self, now: float) -> bool:
        """Push the withheld completions whose time has come. Return whether there were any."""
        due = [one for one in self.withheld if one[0] <= now]
        self.withheld = [one for one in self.withheld if one[0] > now]
        for _, head, length in due:
            super().push(head, length)
        return bool(due)

    def _push_burst(self) -> None:
        burst, self._burst = self._burst, []
        if burst:
            for last in range(len(burst) - 1, 0, -1):  # Fisher and Yates
                other = self.random.randrange(last + 1)
                burst[last], burst[other] = burst[other], burst[last]
            for rule in self.rules:
                if rule.kind is Kind.REORDER:
                    rule.seen += len(burst)
                    rule.effects += len(burst) > 1
            for head, length in burst:
                super().push(head, length)

    def _take_effect(self, rule: RingFault, head: int) -> None:
        rule.effects += 1
        self._log.warning(f"fault on purpose: {_EFFECTS[rule.kind]} (%s)", head, rule)
        self._on_effect()
