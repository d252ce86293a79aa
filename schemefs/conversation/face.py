"""What shows a conversation and is notified of its changes."""

from __future__ import annotations

from typing import Protocol


class Face(Protocol):
    """The directory of a conversation, as the conversation sees it."""

    def state_changed(self) -> None:
        """`status` or `err` may have another text now."""

    def begun(self) -> None:
        """It has an engine or a listener now, so every file may have another text."""

    def was_set(self, name: str) -> None:
        """The setting *name* has a new value; empty: any of them may have."""

    def ended(self) -> None:
        """The conversation has ended: no change follows."""
