"""A listener: connections in their handshake, and connections to accept.

    tcp's accept ──> handshaking ── done ──> waiting ── accept ──> the caller
                          ├── failed: counted, its sentence kept in `status`
                          └── displaced by a newer one: the same

A connection without a complete handshake costs its peer nothing, so many of them must not keep others out. At most
MAX_HANDSHAKING are kept, MAX_FROM_ONE of them from one address: the oldest ends for a new one. No more are taken from
tcp while MAX_WAITING wait for the caller. A change of one connection costs nothing for the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.conversation import Engine, ListenerEngine, Setting
    from schemefs.timers import Timers
    from schemes.tls.engine import TlsEngine

MAX_HANDSHAKING: Final = 1024
MAX_FROM_ONE: Final = 64  # handshakes of one remote address
MAX_WAITING: Final = 128

DISPLACED: Final = "newer handshakes have taken its place"


class TlsListener:
    """Satisfies `schemefs.conversation.ListenerEngine`. *wrap* starts TLS on an accepted stream."""

    def __init__(self, below: ListenerEngine, wrap: Callable[[Engine, float], TlsEngine], timers: Timers) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.below = below
        self.handshaking: OrderedDict[TlsEngine, str] = OrderedDict()  # -> remote address; the oldest first
        self.waiting: deque[TlsEngine] = deque()
        self.accepted = 0
        self.failed = 0
        self.last_failure = ""
        self._from_one: dict[str, OrderedDict[TlsEngine, None]] = {}  # the same, by remote address
        self._changed: dict[TlsEngine, None] = {}  # to be looked at
        self._wrap = wrap
        self._timer = timers.timer(self._advance_handshakes, f"tls listener {below.local}")
        below.on_changed = self._timer.call_soon

    def _advance_handshakes(self, now: float) -> None:
        while len(self.waiting) < MAX_WAITING:
            stream = self.below.accept(now)
            if stream is None:
                break
            self._begin(stream, now)
        changed, self._changed = self._changed, {}
        for engine in changed:
            if engine not in self.handshaking:
                continue
            if engine.established:  # also if it was reset since: its data can be read, as with accept(2)
                self._remove(engine)
                self.waiting.append(engine)
            elif engine.error:
                self._remove(engine)
                self.failed += 1
                self.last_failure = engine.error
                engine.close(now)
        if self.waiting:
            self.on_changed()

    def _begin(self, stream: Engine, now: float) -> None:
        source = stream.remote.rpartition(":")[0]
        from_one = self._from_one.setdefault(source, OrderedDict())
        if len(from_one) >= MAX_FROM_ONE:
            self._displace(next(iter(from_one)), now)
        elif len(self.handshaking) >= MAX_HANDSHAKING:
            self._displace(next(iter(self.handshaking)), now)
        engine = self._wrap(stream, now)
        engine.on_changed = partial(self._engine_changed, engine)
        self.handshaking[engine] = source
        self._from_one.setdefault(source, OrderedDict())[engine] = None
        self._changed[engine] = None

    def _engine_changed(self, engine: TlsEngine) -> None:
        self._changed[engine] = None
        self._timer.call_soon()

    def _displace(self, engine: TlsEngine, now: float) -> None:
        self._remove(engine)
        if engine.established:  # complete, and not looked at yet
            self.waiting.append(engine)
            return
        self.failed += 1
        self.last_failure = engine.error or f"{engine.remote}: {DISPLACED}"
        engine.abort(now)

    def _remove(self, engine: TlsEngine) -> None:
        """Take it out of the handshakes."""
        source = self.handshaking.pop(engine)
        from_one = self._from_one[source]
        del from_one[engine]
        if not from_one:
            del self._from_one[source]
        engine.on_changed = no_callback

    @property
    def local(self) -> str:
        """The address of the tcp listener: `*:8443`."""
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
        self._timer.call_soon()  # the bound may allow to take another from tcp now
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
        self._from_one.clear()
        self._changed.clear()
