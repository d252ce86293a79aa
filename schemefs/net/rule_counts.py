"""What the exact rules of a link have seen and done, and which of them apply to a frame.

    # rule drop tcp syn 1: in=0 out=2 seen=7
    # rule drop arp: in=0 out=0 seen=0 never matched

`in` and `out` count the frames that the rule acted on, `seen` those that met its conditions, whatever their number in
the flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from schemefs.net.direction import IN, OUT, directions_of
from schemefs.net.exact_rule import DROP, UNBOUNDED, ExactRule

if TYPE_CHECKING:
    from schemefs.net.flow_table import Flow
    from schemefs.net.frame_fields import FrameFields
    from schemefs.net.impairment import AnyImpairment

NEVER_MATCHED: Final = "never matched"


class RuleCount:
    """One rule with its counts. *number*: its place in the text, from 1."""

    __slots__ = ("acted", "flows", "number", "rule", "seen")

    def __init__(self, rule: ExactRule, number: int) -> None:
        self.rule = rule
        self.number = number
        self.acted = {IN: 0, OUT: 0}
        self.flows = 0  # of which a frame has met the conditions
        self.seen = 0

    @property
    def has_matched(self) -> bool:
        """Whether the rule has acted on a frame."""
        return any(self.acted.values())

    def __str__(self) -> str:
        """Return the line of comment."""
        never = "" if self.has_matched else f" {NEVER_MATCHED}"
        return f"# rule {self.rule}: in={self.acted[IN]} out={self.acted[OUT]} seen={self.seen}{never}"


class RuleCounts:
    """The exact rules of a link that began at *now*, in their order."""

    __slots__ = ("_began_at", "counts", "of_direction")

    def __init__(self, impairments: Iterable[AnyImpairment], now: float, *, is_loopback: bool) -> None:
        self._began_at = now
        self.counts = [RuleCount(one, place) for place, one in enumerate(impairments, 1) if isinstance(one, ExactRule)]
        self.of_direction: dict[str, Sequence[RuleCount]] = {
            way: [count for count in self.counts if way in directions_of(count.rule.direction, is_loopback=is_loopback)]
            for way in (IN, OUT)
        }

    def applying(self, fields: FrameFields, flow: Flow, direction: str, now: float) -> list[RuleCount]:
        """Count a frame in every rule. Return those that apply to it, up to the first that drops it."""
        elapsed = now - self._began_at
        applying: list[RuleCount] = []
        is_dropped = False
        for count in self.of_direction[direction]:
            rule = count.rule
            if fields.kinds & rule.kind and _meets(rule, fields, elapsed) and _is_counted(count, flow, direction):
                if not is_dropped:
                    count.acted[direction] += 1
                    applying.append(count)
                is_dropped = is_dropped or rule.action == DROP
        return applying


def _meets(rule: ExactRule, fields: FrameFields, elapsed: float) -> bool:
    """Return whether the frame meets the conditions that do not count."""
    if not rule.begins <= elapsed < rule.begins + rule.lasts:
        return False
    if rule.port and rule.port not in (fields.source_port, fields.destination_port):
        return False
    return not rule.host or rule.host in (fields.source, fields.destination)


def _is_counted(count: RuleCount, flow: Flow, direction: str) -> bool:
    """Count the frame and its flow; return whether the rule is about these numbers."""
    rule = count.rule
    count.seen += 1
    if rule.flow_last != UNBOUNDED or rule.flow_first > 1:
        number = flow.numbers.get(count)
        if number is None:
            count.flows += 1
            number = flow.numbers[count] = count.flows
        if not rule.flow_first <= number <= rule.flow_last:
            return False
    if rule.last == UNBOUNDED and rule.first == 1:
        return True
    counts = flow.directions[direction].counts
    nth = counts[count] = counts.get(count, 0) + 1
    return rule.first <= nth <= rule.last
