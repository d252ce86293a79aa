"""Where the time of a conversation went: `time`, one line for each cause, the largest first.

    rto 1.020345 0.782 SYN lost, sent again after the time-out of 1 s
    handshake 0.201220 0.154
    name 0.083012 0.064

Exactly one cause holds at any moment, so the seconds add up to the age. docs/time.md has what each cause means.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, runtime_checkable

LEAST: Final = 1e-6  # seconds of a cause that is shown


class Part(NamedTuple):
    """The time of one cause."""

    cause: str
    seconds: float
    reason: str = ""  # what made it so long, such as which segment was lost; empty: not known


@runtime_checkable
class Timed(Protocol):
    """An engine that knows where its time went."""

    def time_spent(self, now: float) -> list[Part]:
        """Return the parts of its age until *now*, or until it ended."""


def before(replaced: object, engine: object, now: float) -> list[Part]:
    """Return what passed with the engine that is *replaced* before *engine* began."""
    parts = _parts(replaced, now)
    if not parts:
        return []
    later = sum(part.seconds for part in _parts(engine, now))
    *first, last = parts
    return [*first, last._replace(seconds=max(0.0, last.seconds - later))]


def _parts(engine: object, now: float) -> list[Part]:
    return engine.time_spent(now) if isinstance(engine, Timed) else []


def parts_of(earlier: list[Part], engine: object, now: float) -> list[Part]:
    """Return the parts of a conversation's age, the largest first. *earlier*: what passed before its *engine* began."""
    parts = [*earlier, *_parts(engine, now)]
    total: dict[str, Part] = {}
    for part in parts:
        seconds = part.seconds + (total[part.cause].seconds if part.cause in total else 0.0)
        total[part.cause] = Part(part.cause, seconds, part.reason)
    return sorted((part for part in total.values() if part.seconds >= LEAST), key=lambda part: -part.seconds)


def text(earlier: list[Part], engine: object, now: float) -> str:
    """Return the lines: cause, seconds, share of the age, and a reason where one is known."""
    parts = parts_of(earlier, engine, now)
    age = sum(part.seconds for part in parts) or 1.0
    return "".join(
        f"{part.cause} {part.seconds:.6f} {part.seconds / age:.3f} {part.reason}".rstrip() + "\n" for part in parts
    )
