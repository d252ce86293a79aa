"""The renderings of texts: one serves the stat, the open and the first read of one caller.

    GETATTR  stat     makes a rendering, whose length is st_size
    OPEN     open     takes it, if no request that can change a text came since
    GETATTR  fstat    shows the length of what was opened
    READ     read     the first one takes it

Only GETATTR has a length to show: programs that copy as many octets as st_size says would copy nothing. A lookup or a
listing would render every text that `ls` passes, so it carries no new length, and the kernel asks with GETATTR.

A rendering serves for `SERVES` seconds and until the text's `version` moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.scheme import FailureFile

if TYPE_CHECKING:
    from schemefs.scheme import Caller, TextFile

SERVES: Final = 0.05  # seconds
KEPT: Final = 64  # renderings


class Rendering:
    """A text as it was at one time for one caller."""

    __slots__ = ("at", "changes", "octets", "opened", "unread", "version")

    def __init__(self, octets: bytes, version: int, at: float, changes: int) -> None:
        self.octets = octets
        self.version = version
        self.at = at
        self.changes = changes  # `Renderings.changes` at that time
        self.opened = False  # an open took it
        self.unread = False  # an open took it, and no read yet


class Renderings:
    """The latest renderings, by text and caller."""

    def __init__(self) -> None:
        self.changes = 0  # requests that can change a text
        self._kept: dict[tuple[TextFile, Caller], Rendering] = {}  # oldest first

    def length(self, node: TextFile, caller: Caller, now: float) -> int:
        """Return the length of the text; 0 if it can't be read."""
        rendering = self._serving(node, caller, now)
        if rendering is None or not (rendering.unread or self._is_current(node, rendering)):
            try:
                rendering = self._render(node, caller, now)
            except SchemeError:
                return 0
        return len(rendering.octets)

    def for_open(self, node: TextFile, caller: Caller, now: float) -> Rendering:
        """Return the rendering of a stat by *caller* just before, or a new one. SchemeError: the text can't be read."""
        rendering = self._serving(node, caller, now)
        if rendering is None or rendering.opened or not self._is_current(node, rendering):
            rendering = self._render(node, caller, now)
        rendering.opened = rendering.unread = True
        return rendering

    def for_first_read(self, node: TextFile, caller: Caller, now: float) -> Rendering | None:
        """Return the rendering of the open, or of a later fstat; None: it no longer serves."""
        rendering = self._serving(node, caller, now)
        if rendering is not None:
            rendering.opened = True
            rendering.unread = False
        return rendering

    def drop(self, node: TextFile, caller: Caller) -> None:
        """Drop the rendering for *caller*, which has written to the text."""
        self._kept.pop((node, caller), None)

    def _serving(self, node: TextFile, caller: Caller, now: float) -> Rendering | None:
        rendering = self._kept.get((node, caller))
        if rendering is None or now - rendering.at > SERVES or rendering.version != node.version:
            return None
        return rendering

    def _is_current(self, node: TextFile, rendering: Rendering) -> bool:
        """Return whether no request has come that can change the text. Any success of its reader can empty `err`."""
        return rendering.changes == self.changes and not isinstance(node, FailureFile)

    def _render(self, node: TextFile, caller: Caller, now: float) -> Rendering:
        kept = self._kept
        version = node.version
        rendering = Rendering(node.read(caller, now), version, now, self.changes)
        kept.pop((node, caller), None)
        while kept and (len(kept) >= KEPT or now - next(iter(kept.values())).at > SERVES):
            del kept[next(iter(kept))]
        kept[node, caller] = rendering
        return rendering
