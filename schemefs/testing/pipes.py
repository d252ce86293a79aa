"""A protocol in memory: conversations between two engines of one process, which end as TCP connections do.

For tests of the layers above a protocol, and an example of a `ConversationProtocol`. A connection is two engines that
refer to each other: one reads what the other writes, and FIN and RST are method calls. A connect succeeds at once, or,
with `hold_connects`, when the test calls `answer`.
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
from schemefs.net.addresses import ANY_V4, AddressPath, parse_host_port, parse_number, presentation
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
        self.calls: list[str] = []  # close, close_lingering, abort and discard calls, for tests
        self._state = "CONNECTING"
        self._pending_error = PendingError()
        self._sent_fin = self._got_fin = self._discards = self._shut_read = False

    @property
    def ended(self) -> bool:
        """Whether both directions are closed, or the connection was reset."""
        return self._state == "CLOSED"

    @property
    def settings(self) -> Mapping[str, Setting]:
        """One that can be written, one that can only be read."""

        def set_hop_limit(text: str) -> None:
            self.hop_limit = parse_number(text, 1, 255)

        return {
            "hop_limit": Setting(lambda: str(self.hop_limit), set_hop_limit, "routers that may forward it"),
            "room": Setting(lambda: str(ROOM), None, "octets that the receive buffer holds"),
        }

    def establish(self, peer: PipeEngine) -> None:
        """Enter ESTABLISHED, connected to *peer*."""
        self.peer, self._state = peer, "ESTABLISHED"
        self.on_changed()

    def fail(self, number: int, sentence: str) -> None:
        """Enter CLOSED; the next call raises the failure, and only that one."""
        self._pending_error.set(number, sentence)
        self.error, self._state = sentence, "CLOSED"
        self.on_changed()

    def opening(self, now: float) -> bool:
        """Return whether the connect is not answered yet. SchemeError: it has failed, and nothing waits to be read."""
        if not self.received:
            self._pending_error.raise_once()
        return self._state == "CONNECTING"

    def read(self, size: int, now: float) -> bytes | None:
        """Return octets that have arrived; then raise the failure, once; then end of file."""
        if self.received and not self._shut_read:
            taken = bytes(self.received[:size])
            del self.received[:size]
            self._wake_peer()
            return taken
        self._pending_error.raise_once()
        return b"" if self._got_fin or self._shut_read or self.ended else None

    def write(self, data: memoryview, now: float) -> int | None:
        """Append to the peer's receive buffer, as far as it has room."""
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
        """Receive octets from the peer."""
        if not (self._discards or self._shut_read):
            self.received += data
        self.on_changed()

    def fevent(self, interest: int) -> int:
        """Return the events that are true now."""
        return readiness(
            interest,
            readable=self.received,
            writable=self.peer is not None and len(self.peer.received) < ROOM,
            read_ended=self._got_fin or self._shut_read or self.ended,
            write_ended=self._sent_fin or self.ended,
            failed=self._pending_error.error is not None,
        )

    def queued(self) -> int | None:
        """Return the octets in the receive buffer."""
        return len(self.received)

    def synced(self, now: float) -> bool:
        """Return whether the peer has read everything."""
        return self.peer is None or not self.peer.received

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close one direction or both; closing the write direction sends FIN."""
        self._shut_read |= read
        if write and not self._sent_fin and not self.ended:
            self._sent_fin = True
            if self.peer is not None:
                self.peer.receive_fin()
            self._end_when_both_are_closed()
        self.on_changed()

    def receive_fin(self) -> None:
        """Close the peer's direction."""
        self._got_fin = True
        self._end_when_both_are_closed()
        self.on_changed()

    def _end_when_both_are_closed(self) -> None:
        if self._sent_fin and (self._got_fin or self.peer is None):  # without a peer no FIN can come
            self._state = "CLOSED"

    def discard_input(self, discard: bool, now: float) -> None:
        """Drop what is in the receive buffer and what arrives, from now on or no longer."""
        self.calls.append(f"discard {discard}")
        self._discards = discard
        if discard and self.received:
            self.received.clear()
            self._wake_peer()

    def close(self, now: float) -> None:
        """Close as a socket does: with RST if octets are unread, else with FIN."""
        self.calls.append("close")
        if self.received:
            self._reset()
        else:
            self.shutdown(read=True, write=True, now=now)

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """Send FIN, and drop what still arrives."""
        self.calls.append("close_lingering")
        self.received.clear()
        self.shutdown(read=True, write=True, now=now)

    def abort(self, now: float) -> None:
        """Send RST."""
        self.calls.append("abort")
        self._reset()

    def _reset(self) -> None:
        self._state = "CLOSED"
        self.error = self.error or "aborted"
        if self.peer is not None and not self.peer.ended:
            self.peer.fail(errno.ECONNRESET, f"RST from {self.local}")
        self.on_changed()

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return the lines of `status`."""
        return {"state": self._state, "received": len(self.received), "age": now}

    def _wake_peer(self) -> None:
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
        """Return the number of connections that wait for accept."""
        return len(self.waiting)

    def accept(self, now: float) -> Engine | None:
        """Return the oldest connection; None: there is none."""
        return self.waiting.popleft() if self.waiting else None

    def close(self, now: float) -> None:
        """Free the port, and reset the connections that wait."""
        self._protocol.listeners.pop(self.local.rpartition(":")[2], None)
        while self.waiting:
            self.waiting.popleft().abort(now)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return the lines of `status`."""
        return {"state": "LISTEN", "pending": len(self.waiting)}


class PipeProtocol(ConversationProtocol):
    """Connections by port; the host is ignored."""

    name = "pipe"
    options: Mapping[str, Option] = {"from": Option(parse_host_port, "the local end", Use.CONNECT)}

    def __init__(self) -> None:
        self.listeners: dict[str, PipeListener] = {}
        self.engines: list[PipeEngine] = []  # of all clients, in the order of their connects
        self.hold_connects = False
        self._last_port = 49151

    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Connect to the listener of that port. EHOSTUNREACH: the host is 192.0.2.1."""
        if address.host_port.host == "192.0.2.1":
            raise SchemeError(errno.EHOSTUNREACH, "no route to 192.0.2.1")
        self._last_port += 1
        host = address.host_port.host
        remote = f"[{host}]:{address.host_port.port}" if ":" in host else f"{host}:{address.host_port.port}"
        engine = PipeEngine(address.options.get("from") or f"127.0.0.1:{self._last_port}", remote)
        self.engines.append(engine)
        if not self.hold_connects:
            self.answer(engine)
        return engine

    def answer(self, engine: PipeEngine) -> None:
        """Let the connect of *engine* succeed, or refuse it without a listener."""
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
        """Return a listener. EADDRINUSE: the port has one."""
        port = address.host_port.port
        if port == "0":
            self._last_port += 1
            port = str(self._last_port)
        if port in self.listeners:
            raise SchemeError(errno.EADDRINUSE, f"port {port} is taken")
        host = address.host_port.host or presentation(ANY_V4)
        listener = self.listeners[port] = PipeListener(self, f"{host}:{port}")
        return listener

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the lines of `stats`."""
        return {"connects": len(self.engines), "listeners": len(self.listeners)}


class PipeScheme(ConversationScheme):
    """pipes: connections inside one process"""

    name = "pipe"

    def __init__(self, context: SchemeContext) -> None:
        self.pipes = PipeProtocol()
        super().__init__(context, self.pipes)
