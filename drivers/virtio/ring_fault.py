"""The rules of `network/<if>/faults` that are about the rings: one fault each, made on purpose.

    withhold completion tx 2 for 500ms      the 2nd completion from now comes late; without `for`, after `clear`
    double completion rx 1                  the 1st completion from now comes twice
    bad id tx 1                             it has an id that no descriptor has
    jump used rx 3                          the used index claims 3 chains more than the driver has given
    reorder completions tx                  the completions of each burst are in random order
    lose interrupt rx 1                     the 1st interrupt from now is not raised
    fill ring tx for 1s                     no descriptor is free
    stop recycling rx                       the driver posts no buffer again
    reset device                            the rings begin again; the frames in flight are lost

`rx` is receiveq1, `tx` is transmitq1 (VIRTIO 1.2 §5.1.2). Times have the units of impairments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from drivers.virtio.device import RECEIVE, TRANSMIT
from schemefs.net.addresses import parse_number
from schemefs.net.quantities import duration_text, parse_duration

MOST: Final = 65535  # completions until a rule takes effect
FILLED: Final = 1.0  # seconds that `fill ring` lasts, without `for`


class Kind(Enum):
    """What goes wrong. The value is how a rule begins."""

    WITHHOLD = "withhold completion"
    DOUBLE = "double completion"
    BAD_ID = "bad id"
    JUMP = "jump used"
    REORDER = "reorder completions"
    LOSE = "lose interrupt"
    FILL = "fill ring"
    STOP = "stop recycling"
    RESET = "reset device"


_QUEUES: Final = {"rx": RECEIVE, "tx": TRANSMIT}
_QUEUE_NAMES: Final = {number: name for name, number in _QUEUES.items()}
_ONE_QUEUE: Final = {Kind.FILL: "tx", Kind.STOP: "rx"}  # the others but RESET take either
_COUNTED: Final = frozenset({Kind.WITHHOLD, Kind.DOUBLE, Kind.BAD_ID, Kind.JUMP, Kind.LOSE})
_TIMED: Final = frozenset({Kind.WITHHOLD, Kind.FILL})

USAGE: Final = (
    "withhold completion rx|tx N [for TIME]; double completion rx|tx N; bad id rx|tx N; jump used rx|tx N; "
    "reorder completions rx|tx; lose interrupt rx|tx N; fill ring tx [for TIME]; stop recycling rx; reset device"
)


@dataclass(slots=True)
class RingFault:
    """One rule in force. It ends after its effect; REORDER and STOP end when the rules are cleared."""

    kind: Kind
    queue: int
    number: int = 0  # which completion or interrupt; of JUMP, how many chains too many
    seconds: float = math.inf  # of WITHHOLD and FILL
    seen: int = 0  # completions or interrupts since the rule is in force
    effects: int = 0

    def __str__(self) -> str:
        """Return the rule as it can be written back."""
        words = [self.kind.value]
        if self.kind is not Kind.RESET:
            words.append(_QUEUE_NAMES[self.queue])
        if self.kind in _COUNTED:
            words.append(str(self.number))
        if self.seconds != math.inf:
            words.append(f"for {duration_text(self.seconds)}")
        return " ".join(words)

    def is_due(self) -> bool:
        """Count one completion or interrupt; return whether it is the one that the rule is about, or comes after it."""
        if self.effects:
            return False
        self.seen += 1
        return self.seen >= (1 if self.kind is Kind.JUMP else self.number)


def parse_ring_fault(words: list[str]) -> RingFault | None:
    """Return the fault that *words* describe; None: they do not begin as one. ValueError: a sentence about the rest."""
    kind = next((kind for kind in Kind if words[:2] == kind.value.split()), None)
    if kind is None:
        return None
    rest = words[2:]
    if kind is Kind.RESET:
        _refuse_rest(rest, kind)
        return RingFault(kind, RECEIVE)
    only = _ONE_QUEUE.get(kind)
    allowed = [only] if only else list(_QUEUES)
    if not rest or rest[0] not in allowed:
        message = f"'{kind.value}' is followed by {' or '.join(allowed)}"
        raise ValueError(message)
    fault = RingFault(kind, _QUEUES[rest.pop(0)])
    if kind in _COUNTED:
        fault.number = parse_number(rest.pop(0) if rest else "", 1, MOST)
    if kind in _TIMED and rest[:1] == ["for"]:
        fault.seconds = parse_duration(rest[1] if len(rest) > 1 else "")
        del rest[:2]
    elif kind is Kind.FILL:
        fault.seconds = FILLED
    _refuse_rest(rest, kind)
    return fault


def _refuse_rest(rest: list[str], kind: Kind) -> None:
    if rest:
        message = f"{' '.join(rest)!r} is too much after '{kind.value}'; the rules are: {USAGE}"
        raise ValueError(message)
