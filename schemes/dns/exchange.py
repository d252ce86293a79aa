"""One question put to the name servers until one has answered it: who is asked when, and what counts as an answer.

    server 1 ── 1 s ── server 2 ── 1 s ── server 1 ── 2 s ── server 2 ── 2 s ── … 4 s ──> ETIMEDOUT
       │ truncated ──> the same again over TCP
       │ SERVFAIL, REFUSED, port unreachable ──> the next at once, and never this one again
       └ FORMERR ──> the same again without EDNS (RFC 6891 §7)

Each try has a socket of its own, with a random port and a random id (RFC 5452 §9.2), and stays open until the end: an
answer that comes late is an answer. One that fits nothing is dropped and counted, and the wait goes on, since it may be
forged; so nothing but the server's silence costs time.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.addresses import presentation
from schemes.dns import wire
from schemes.dns.stream import StreamQuestion

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import DeliveryError
    from schemefs.net.transports import DatagramService, DatagramSocket, StreamService
    from schemefs.timers import Timers
    from schemes.dns.counters import Counters
    from schemes.dns.wire import Question, Reply

log = logging.getLogger("schemefs.dns")

PORT: Final = 53
WAITS: Final = (1.0, 2.0, 4.0)  # seconds for a server's answer, round by round
STREAM_WAIT: Final = 5.0  # seconds for a whole exchange over TCP
_ANSWERS: Final = ("NOERROR", "NXDOMAIN")
_NOT_UNDERSTOOD: Final = ("FORMERR", "NOTIMP", "BADVERS")


@dataclass(frozen=True, slots=True)
class Means:
    """What every exchange needs."""

    udp: DatagramService
    tcp: StreamService
    timers: Timers
    random: random.Random
    counters: Counters


Done = Callable[["Reply | SchemeError", bytes, float], None]
"""Is told the answer, who gave it (empty: nobody), and `now`."""


class Exchange:
    """One question under way. *done* is called once, unless it is cancelled; at the earliest in `start`."""

    def __init__(self, means: Means, servers: tuple[bytes, ...], question: Question, done: Done) -> None:
        self._means = means
        self._servers = servers
        self._question = question
        self._done = done
        self._turns: Iterator[tuple[bytes, float]] = ((server, wait) for wait in WAITS for server in servers)
        self._current = b""  # whose turn it is
        self._out: dict[bytes, str] = {}  # servers that are not asked again, and why
        self._without_edns: set[bytes] = set()
        self._sockets: list[DatagramSocket] = []
        self._stream: StreamQuestion | None = None
        self._timer = means.timers.timer(self._silence, f"dns: {question.name} {question.type}")
        self._has_refused = False
        self._is_over = False

    def start(self, now: float) -> None:
        """Ask the first server."""
        self._next_turn(now)

    def cancel(self, now: float) -> None:
        """Nobody wants the answer any more. Harmless when it was given."""
        self._is_over = True
        self._timer.clear()
        for socket in self._sockets:
            socket.close(now)
        self._sockets.clear()
        if self._stream is not None:
            self._stream.close(now)

    # Asking

    def _next_turn(self, now: float) -> None:
        for server, wait in self._turns:
            if server not in self._out and self._ask(server, wait, now):
                return
        self._finish(self._failure(), b"", now)

    def _ask(self, server: bytes, wait: float, now: float) -> bool:
        """Send a query; False: there is no way to the server."""
        means = self._means
        identifier = means.random.randrange(1 << 16)
        octets = wire.query(self._question, identifier, edns=server not in self._without_edns)
        try:
            socket = means.udp.open_socket(
                server, PORT, partial(self._receive, server, identifier), partial(self._receive_error, server)
            )
            self._sockets.append(socket)
            socket.send(octets, now)
        except SchemeError as error:
            self._put_out(server, error.sentence)
            means.counters.not_delivered += 1
            return False
        means.counters.queries_sent += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "%s %s? to %s", self._question.name, self._question.type, presentation(server))
        self._current = server
        self._timer.set(now + wait)
        return True

    def _ask_by_stream(self, server: bytes, now: float) -> None:
        """Ask the same server again, over TCP."""
        if self._stream is not None:
            return  # a second truncated answer, to an earlier try
        means = self._means
        identifier = means.random.randrange(1 << 16)
        octets = wire.query(self._question, identifier, edns=server not in self._without_edns)
        try:
            stream = means.tcp.open_stream(server, PORT, now)
        except SchemeError as error:
            self._put_out(server, error.sentence)
            self._next_turn(now)
            return
        means.counters.queries_by_tcp += 1
        self._current = server
        self._timer.set(now + STREAM_WAIT)
        answered = partial(self._receive_by_stream, server, identifier)
        self._stream = StreamQuestion(stream, octets, means.timers, answered)

    def _silence(self, now: float) -> None:
        self._means.counters.timeouts += 1
        if self._stream is not None:
            self._stream.close(now)
            self._stream = None
        self._next_turn(now)

    # Being answered

    def _receive(self, server: bytes, identifier: int, octets: bytes, now: float) -> None:
        if not self._is_over:
            reply = self._parsed(octets, identifier)
            if reply is not None:
                self._judge(server, reply, now)

    def _receive_by_stream(self, server: bytes, identifier: int, octets: bytes | None, now: float) -> None:
        if self._is_over:
            return
        self._stream = None
        reply = self._parsed(octets, identifier) if octets is not None else None
        if reply is None or reply.truncated:
            self._put_out(server, "its answer over TCP is none")
            self._next_turn(now)
        else:
            self._judge(server, reply, now)

    def _parsed(self, octets: bytes, identifier: int) -> Reply | None:
        reply = wire.parse(octets, self._question, identifier)
        if isinstance(reply, str):
            self._means.counters.dropped[reply] += 1
            return None
        self._means.counters.replies += 1
        return reply

    def _judge(self, server: bytes, reply: Reply, now: float) -> None:
        if reply.truncated:
            self._ask_by_stream(server, now)
        elif reply.rcode in _ANSWERS:
            self._finish(reply, server, now)
        elif reply.rcode in _NOT_UNDERSTOOD and server not in self._without_edns:
            self._without_edns.add(server)
            self._means.counters.retried_without_edns += 1
            if not self._ask(server, WAITS[0], now):
                self._next_turn(now)
        else:
            self._has_refused = True
            self._means.counters.refused += 1
            self._pass_on(server, f"answers {reply.rcode}", now)

    def _receive_error(self, server: bytes, error: DeliveryError, now: float) -> None:
        if not self._is_over and error.errno != errno.EMSGSIZE:
            self._means.counters.not_delivered += 1
            self._pass_on(server, error.sentence, now)

    def _pass_on(self, server: bytes, why: str, now: float) -> None:
        self._put_out(server, why)
        if server == self._current and self._stream is None:
            self._next_turn(now)

    def _put_out(self, server: bytes, why: str) -> None:
        self._out[server] = why

    # The end

    def _finish(self, outcome: Reply | SchemeError, server: bytes, now: float) -> None:
        self.cancel(now)
        self._done(outcome, server, now)

    def _failure(self) -> SchemeError:
        """Say why nobody has answered. Where no server can be reached, there is none, and the name is just unknown."""
        name = self._question.name
        said = [f"{presentation(server)}: {why}" for server, why in self._out.items()]
        silent = [presentation(server) for server in self._servers if server not in self._out]
        if silent:
            said.append(f"no answer from {', '.join(silent)}")
        code = errno.ETIMEDOUT if silent else errno.EREMOTEIO if self._has_refused else errno.ENOENT
        if not said:
            said.append("no name server is known (netcfg/resolv/nameserver)")
        return SchemeError(code, f"no address is known for {name!r}: {'; '.join(said)}")
