"""A protocol in memory: conversations between two engines of one process, with TCP's way of ending, and nothing else.

For tests of whatever stands above a protocol, and an example of a `ConversationProtocol` that fits on two screens.
A connection is two engines that hold each other; what one writes the other reads; FIN and RST are calls. It is there
as soon as the listener's backlog has room, or, with `hold_connects`, when the test says so.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from schemefs.conversation import (
    ConversationProtocol,
    ConversationScheme,
    Engine,
    ListenerEngine,
    Option,
    Setting,
    Use,
)
from schemefs.errors import PendingError, SchemeError
from schemefs.net.addresses import AddressPath, parse_endpoint, parse_number
from schemefs.no_callback import no_callback
from schemefs.readiness import readiness
from schemefs.scheme import Caller, SchemeContext

ROOM: Final = 65536


class PipeEngine:
    """One end of a connection. Satisfies `Engine`."""

    def __init__(self, local: str, remote: str) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.local = local
        self.remote = remote
        self.peer: PipeEngine | None = None
        self.error = ""
        self.received = bytearray()
        self.hop_limit = 64
        self.calls: list[str] = []  # what ended it, for who asks: close, close_lingering, abort, discard…
        self._state = "CONNECTING"
        self._pending_error = PendingError()
        self._sent_fin = self._got_fin = self._discards = self._shut_read = False

    @property
    def ended(self) -> bool:
        """Both directions were closed, or it was reset."""
        return self._state == "CLOSED"

    @property
    def settings(self) -> Mapping[str, Setting]:
        """One to write, one to read."""

        def set_hop_limit(text: str) -> None:
            self.hop_limit = parse_number(text, 1, 255)

        return {
            "hop_limit": Setting(lambda: str(self.hop_limit), set_hop_limit, "how many routers may pass it on"),
            "room": Setting(lambda: str(ROOM), None, "octets that wait for a reader at most"),
        }

    def establish(self, peer: PipeEngine) -> None:
        """The connection is there."""
        self.peer, self._state = peer, "ESTABLISHED"
        self.on_changed()

    def fail(self, number: int, sentence: str) -> None:
        """Refused or reset: the next call says so, once."""
        self._pending_error.set(number, sentence)
        self.error, self._state = sentence, "CLOSED"
        self.on_changed()

    def opening(self, now: float) -> bool:
        """As Engine says."""
        self._pending_error.raise_once()
        return self._state == "CONNECTING"

    def read(self, size: int, now: float) -> bytes | None:
        """What has arrived, then the failure, then end of file."""
        if self.received and not self._shut_read:
            taken = bytes(self.received[:size])
            del self.received[:size]
            self._tell_peer()
            return taken
        self._pending_error.raise_once()
        return b"" if self._got_fin or self._shut_read or self.ended else None

    def write(self, data: memoryview, now: float) -> int | None:
        """Into the peer's room."""
        self._pending_error.raise_once()
        if self._sent_fin or self.ended:
            raise SchemeError(errno.EPIPE, "this direction is closed")
        if self.peer is None:
            return None
        count = min(ROOM - len(self.peer.received), len(data))
        if count <= 0:
            return None
        self.peer.arrive(bytes(data[:count]))
        return count

    def arrive(self, data: bytes) -> None:
        """Octets from the peer."""
        if not (self._discards or self._shut_read):
            self.received += data
        self.on_changed()

    def fevent(self, interest: int) -> int:
        """What is true now."""
        return readiness(
            interest,
            readable=self.received,
            writable=self.peer is not None and len(self.peer.received) < ROOM,
            read_ended=self._got_fin or self._shut_read or self.ended,
            write_ended=self._sent_fin or self.ended,
            failed=self._pending_error.error is not None,
        )

    def queued(self) -> int | None:
        """Octets to read."""
        return len(self.received)

    def synced(self, now: float) -> bool:
        """Whether the peer has read everything."""
        return self.peer is None or not self.peer.received

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions."""
        self._shut_read |= read
        if write and not self._sent_fin and not self.ended:
            self._sent_fin = True
            if self.peer is not None:
                self.peer.receive_fin()
            self._end_when_both_are_closed()
        self.on_changed()

    def receive_fin(self) -> None:
        """The peer will send nothing more."""
        self._got_fin = True
        self._end_when_both_are_closed()
        self.on_changed()

    def _end_when_both_are_closed(self) -> None:
        if self._sent_fin and (self._got_fin or self.peer is None):  # without a peer there is nobody to wait for
            self._state = "CLOSED"

    def discard_input(self, discard: bool, now: float) -> None:
        """Drop what arrives and what waits."""
        self.calls.append(f"discard {discard}")
        self._discards = discard
        if discard and self.received:
            self.received.clear()
            self._tell_peer()

    def close(self, now: float) -> None:
        """As a socket."""
        self.calls.append("close")
        if self.received:
            self._reset()
        else:
            self.shutdown(read=True, write=True, now=now)

    def close_lingering(self, now: float) -> None:
        """FIN, and drop what still comes."""
        self.calls.append("close_lingering")
        self.received.clear()
        self.shutdown(read=True, write=True, now=now)

    def abort(self, now: float) -> None:
        """RST."""
        self.calls.append("abort")
        self._reset()

    def _reset(self) -> None:
        self._state = "CLOSED"
        self.error = self.error or "aborted"
        if self.peer is not None and not self.peer.ended:
            self.peer.fail(errno.ECONNRESET, f"RST from {self.local}")
        self.on_changed()

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """What it is doing."""
        return {"state": self._state, "received": len(self.received), "age": now}

    def _tell_peer(self) -> None:
        if self.peer is not None:
            self.peer.on_changed()


class PipeListener:
    """Satisfies `ListenerEngine`."""

    def __init__(self, protocol: PipeProtocol, local: str) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.local = local
        self.settings: Mapping[str, Setting] = {}
        self.waiting: deque[PipeEngine] = deque()
        self._protocol = protocol

    def pending(self) -> int:
        """How many wait."""
        return len(self.waiting)

    def accept(self, now: float) -> Engine | None:
        """The oldest."""
        return self.waiting.popleft() if self.waiting else None

    def close(self, now: float) -> None:
        """Reset who waits."""
        self._protocol.listeners.pop(self.local.rpartition(":")[2], None)
        while self.waiting:
            self.waiting.popleft().abort(now)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """LISTEN."""
        return {"state": "LISTEN", "pending": len(self.waiting)}


class PipeProtocol(ConversationProtocol):
    """Connections by port, whatever the host is called."""

    name = "pipe"
    options: Mapping[str, Option] = {"from": Option(parse_endpoint, "the local end", Use.CONNECT)}

    def __init__(self) -> None:
        self.listeners: dict[str, PipeListener] = {}
        self.engines: list[PipeEngine] = []  # every client's, in order of connecting
        self.hold_connects = False
        self._last_port = 49151

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Reach the listener of that port; EHOSTUNREACH at once for the host `unreachable`."""
        if address.endpoint.host == "192.0.2.1":
            raise SchemeError(errno.EHOSTUNREACH, "no route to 192.0.2.1")
        self._last_port += 1
        remote = f"{address.endpoint.host}:{address.endpoint.port}"
        engine = PipeEngine(address.options.get("from") or f"127.0.0.1:{self._last_port}", remote)
        self.engines.append(engine)
        if not self.hold_connects:
            self.answer(engine)
        return engine

    def answer(self, engine: PipeEngine) -> None:
        """Let the connect succeed, or be refused."""
        listener = self.listeners.get(engine.remote.rpartition(":")[2])
        if listener is None:
            engine.fail(errno.ECONNREFUSED, f"RST from {engine.remote} in answer to SYN")
            return
        accepted = PipeEngine(engine.remote, engine.local)
        accepted.establish(engine)
        engine.establish(accepted)
        listener.waiting.append(accepted)
        listener.on_changed()

    def announce(self, address: AddressPath, caller: Caller, now: float) -> ListenerEngine | Engine:
        """Listen. EADDRINUSE: somebody does."""
        port = address.endpoint.port
        if port == "0":
            self._last_port += 1
            port = str(self._last_port)
        if port in self.listeners:
            raise SchemeError(errno.EADDRINUSE, f"port {port} is taken")
        listener = self.listeners[port] = PipeListener(self, f"0.0.0.0:{port}")
        return listener

    def stats(self) -> Mapping[str, int | float | str]:
        """What was counted."""
        return {"connects": len(self.engines), "listeners": len(self.listeners)}


class PipeScheme(ConversationScheme):
    """pipes: connections inside one process"""

    name = "pipe"

    def __init__(self, context: SchemeContext) -> None:
        self.pipes = PipeProtocol()
        super().__init__(context, self.pipes)
