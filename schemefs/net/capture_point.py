"""What an impairment shows of its frames to the captures of a link, between the rules and the layers.

    layers ── sent ──> rules ──> link            a frame that leaves is shown before the rules, with what they did
    layers <── received ── rules <── link        one that arrives, after them; if they drop it, `lost`

So the numbers and times of a capture are those that the layers had, and a dropped frame is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.offload import Offload


class CapturePoint(Protocol):
    """The captures of one link. *notes* are comments; more may be appended until the call of the layers has ended."""

    def sent(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that the layers send."""

    def received(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that the layers receive next."""

    def lost(self, frame: Buffer, offload: Offload, notes: list[str], now: float) -> None:
        """Show a frame that has arrived, and that the layers never receive."""


def dropped(reason: str, rule: int) -> str:
    """Return the comment of a frame that rule number *rule* of the `impair` file (0: none) has dropped."""
    return f"dropped: impaired, {reason}{f' (rule {rule})' if rule else ''}"


def delayed(seconds: float, rule: int, word: str = "delayed") -> str:
    """Return the comment of a frame that is passed on later."""
    return f"impaired: {word} {seconds * 1000:.6g} ms by rule {rule}"


def changed(word: str, rule: int) -> str:
    """Return the comment of a frame that a rule has changed, doubled or put behind others."""
    return f"impaired: {word} by rule {rule}"
