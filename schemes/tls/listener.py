"""A listener: connections whose handshakes are under way, and those that wait to be accepted.

    tcp's accept ──> handshaking ── done ──> waiting ── accept ──> the user's
                          └── failed: counted, its sentence kept in `status`

Both together are bounded, so that a peer who connects and says nothing fills up tcp's backlog, not our memory; it is
given up after the handshake's time-out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Engine, ListenerEngine, Setting
    from schemefs.timers import Timers
    from schemes.tls.engine import TlsEngine

AT_ONCE: Final = 128


class TlsListener:
    """Satisfies `schemefs.conversation.ListenerEngine`. *wrap* makes the TLS end of a connection that has come."""

    def __init__(self, below: ListenerEngine, wrap: Callable[[Engine, float], TlsEngine], timers: Timers) -> None:
        self.on_changed: Callable[[], None] = _nothing
        self.below = below
        self.handshaking: list[TlsEngine] = []
        self.waiting: deque[TlsEngine] = deque()
        self.accepted = 0
        self.failed = 0
        self.last_failure = ""
        self._wrap = wrap
        self._timer = timers.timer(self._look, f"tls listener {below.local}")
        below.on_changed = self._timer.call_soon

    def _look(self, now: float) -> None:
        while len(self.handshaking) + len(self.waiting) < AT_ONCE:
            stream = self.below.accept(now)
            if stream is None:
                break
            engine = self._wrap(stream, now)
            engine.on_changed = self._timer.call_soon
            self.handshaking.append(engine)
        under_way, self.handshaking = self.handshaking, []
        for engine in under_way:
            if engine.error:
                self.failed += 1
                self.last_failure = engine.error
                engine.on_changed = _nothing
                engine.close(now)
            elif engine.established:
                self.waiting.append(engine)
            else:
                self.handshaking.append(engine)
        if self.waiting:
            self.on_changed()

    @property
    def local(self) -> str:
        """`0.0.0.0:8443`."""
        return self.below.local

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Those of the listener below."""
        return self.below.settings

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state=LISTEN` first."""
        return {
            **self.below.status(now),
            "handshaking": len(self.handshaking),
            "waiting": len(self.waiting),
            "accepted": self.accepted,
            "handshakes_failed": self.failed,
            "last_failure": self.last_failure,
        }

    def pending(self) -> int:
        """How many connections wait."""
        return len(self.waiting)

    def accept(self, now: float) -> TlsEngine | None:
        """Take the oldest connection whose handshake is complete; None: none waits."""
        del now
        if not self.waiting:
            return None
        self._timer.call_soon()  # there is room for another
        self.accepted += 1
        return self.waiting.popleft()

    def close(self, now: float) -> None:
        """Stop listening; connections that wait, or are opening, are reset."""
        self._timer.clear()
        self.below.on_changed = _nothing
        self.below.close(now)
        for engine in (*self.waiting, *self.handshaking):
            engine.on_changed = _nothing
            engine.abort(now)
        self.waiting.clear()
        self.handshaking.clear()


def _nothing() -> None:
    """Nobody looks."""
