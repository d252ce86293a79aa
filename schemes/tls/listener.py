"""A listener: connections in their handshake, and connections to accept.

    tcp's accept ──> handshaking ── done ──> waiting ── accept ──> the caller
                          └── failed: counted, its sentence kept in `status`

The two lists together are bounded: silent peers fill tcp's backlog, not this daemon's memory. The handshake's time-out
ends them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Engine, ListenerEngine, Setting
    from schemefs.timers import Timers
    from schemes.tls.engine import TlsEngine

MAX_PENDING: Final = 128  # connections in both lists


class TlsListener:
    """Satisfies `schemefs.conversation.ListenerEngine`. *wrap* starts TLS on an accepted stream."""

    def __init__(self, below: ListenerEngine, wrap: Callable[[Engine, float], TlsEngine], timers: Timers) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.below = below
        self.handshaking: list[TlsEngine] = []
        self.waiting: deque[TlsEngine] = deque()
        self.accepted = 0
        self.failed = 0
        self.last_failure = ""
        self._wrap = wrap
        self._timer = timers.timer(self._advance_handshakes, f"tls listener {below.local}")
        below.on_changed = self._timer.call_soon

    def _advance_handshakes(self, now: float) -> None:
        while len(self.handshaking) + len(self.waiting) < MAX_PENDING:
            stream = self.below.accept(now)
            if stream is None:
                break
            engine = self._wrap(stream, now)
            engine.on_changed = self._timer.call_soon
            self.handshaking.append(engine)
        under_way, self.handshaking = self.handshaking, []
        for engine in under_way:
            if engine.established:  # also if it was reset since: its data can be read, as with accept(2)
                self.waiting.append(engine)
            elif engine.error:
                self.failed += 1
                self.last_failure = engine.error
                engine.on_changed = no_callback
                engine.close(now)
            else:
                self.handshaking.append(engine)
        if self.waiting:
            self.on_changed()

    @property
    def local(self) -> str:
        """The address of the tcp listener: `0.0.0.0:8443`."""
        return self.below.local

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The settings of the tcp listener."""
        return self.below.settings

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return the tcp listener's rows, `state=LISTEN` first, then the rows of TLS."""
        return {
            **self.below.status(now),
            "handshaking": len(self.handshaking),
            "waiting": len(self.waiting),
            "accepted": self.accepted,
            "handshakes_failed": self.failed,
            "last_failure": self.last_failure,
        }

    def pending(self) -> int:
        """Return the number of connections that `accept` can return now."""
        return len(self.waiting)

    def accept(self, now: float) -> TlsEngine | None:
        """Return the oldest connection with a complete handshake; None: there is none."""
        del now
        if not self.waiting:
            return None
        self._timer.call_soon()  # the bound allows another handshake now
        self.accepted += 1
        return self.waiting.popleft()

    def close(self, now: float) -> None:
        """Stop listening, and reset the connections of both lists."""
        self._timer.end()
        self.below.on_changed = no_callback
        self.below.close(now)
        for engine in (*self.waiting, *self.handshaking):
            engine.on_changed = no_callback
            engine.abort(now)
        self.waiting.clear()
        self.handshaking.clear()
