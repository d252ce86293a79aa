"""One question, sent to the name servers until one of them answers: order, time-outs, and which responses count.

    server 1 ── 1 s ── server 2 ── 1 s ── server 1 ── 2 s ── server 2 ── 2 s ── … 4 s ──> ETIMEDOUT
       │ truncated ──> the same query to the same server over TCP
       │ SERVFAIL ──> the next server at once; the failure may pass, so this server gets one more query, and at once
       │              if it was the last one
       │ REFUSED, a referral, port unreachable ──> the next server at once; this server gets no further query
       └ FORMERR ──> the same query without EDNS (RFC 6891 §7)

Each query has a socket of its own, with a random port and a random id (RFC 5452 §9.2). All sockets stay open until the
exchange ends, so a late response still counts. A message that does not fit the query may be forged: it is dropped and
counted, and the time-out keeps running.
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
from schemes.dns.tcp_query import TcpQuery

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import DeliveryError
    from schemefs.net.transports import DatagramService, DatagramSocket, StreamService
    from schemefs.timers import Timers
    from schemes.dns.counters import DnsCounters
    from schemes.dns.wire import Question, Response

log = logging.getLogger("schemefs.dns")

PORT: Final = 53
TIMEOUTS: Final = (1.0, 2.0, 4.0)  # seconds to wait for each server, round by round
TCP_TIMEOUT: Final = 5.0  # seconds for connect, query and response over TCP
_ANSWERS: Final = ("NOERROR", "NXDOMAIN")
_NOT_UNDERSTOOD: Final = ("FORMERR", "NOTIMP", "BADVERS")


@dataclass(frozen=True, slots=True)
class Services:
    """The transports and the daemon's services that all exchanges use."""

    udp: DatagramService
    tcp: StreamService
    timers: Timers
    random: random.Random
    counters: DnsCounters


Done = Callable[["Response | SchemeError", bytes, float], None]
"""Gets the response, the address of its server (empty: no server answered), and `now`."""


class QueryExchange:
    """One question, pending from `start` on. *done* is called once, possibly inside `start`, unless it is cancelled."""

    def __init__(
        self,
        services: Services,
        servers: tuple[bytes, ...],
        question: Question,
        done: Done,
        timed_out: Callable[[bytes], None],
    ) -> None:
        """*timed_out* gets each server that has not answered in time."""
        self._services = services
        self._timed_out = timed_out
        self._servers = servers
        self._question = question
        self._done = done
        self._tries: Iterator[tuple[bytes, float]] = ((server, wait) for wait in TIMEOUTS for server in servers)
        self._current = b""  # the server whose time-out is running
        self._excluded: dict[bytes, str] = {}  # servers that get no further query, and why
        self._without_edns: set[bytes] = set()
        self._sockets: list[DatagramSocket] = []
        self._tcp_query: TcpQuery | None = None
        self._timer = services.timers.timer(self._time_out, f"dns: {question.name} {question.type}")
        self._queried: set[bytes] = set()
        self._has_failed: set[bytes] = set()  # servers that have answered SERVFAIL once
        self._has_refused = False
        self._is_over = False

    def start(self, now: float) -> None:
        """Send the first query."""
        self._query_next(now)

    def cancel(self, now: float) -> None:
        """Close all sockets and drop the callback. No effect after the end."""
        self._is_over = True
        self._timer.end()
        for socket in self._sockets:
            socket.close(now)
        self._sockets.clear()
        if self._tcp_query is not None:
            self._tcp_query.close(now)

    # Queries

    def _query_next(self, now: float) -> None:
        for server, wait in self._tries:
            if server not in self._excluded and self._send_query(server, wait, now):
                return
        self._finish(self._failure(), b"", now)

    def _send_query(self, server: bytes, wait: float, now: float) -> bool:
        """Send a query over UDP; False: it could not be sent, and the server is excluded."""
        services = self._services
        identifier = services.random.randrange(1 << 16)
        octets = wire.query(self._question, identifier, edns=server not in self._without_edns)
        try:
            socket = services.udp.open_socket(
                server, PORT, partial(self._receive, server, identifier), partial(self._receive_error, server)
            )
            self._sockets.append(socket)
            socket.send(octets, now)
        except SchemeError as error:
            self._exclude(server, error.sentence)
            services.counters.not_delivered += 1
            return False
        services.counters.queries_sent += 1
        if log.isEnabledFor(TRACE):
            log.log(TRACE, "%s %s? to %s", self._question.name, self._question.type, presentation(server))
        self._current = server
        self._queried.add(server)
        self._timer.set(now + wait)
        return True

    def _send_tcp_query(self, server: bytes, now: float) -> None:
        if self._tcp_query is not None:
            return  # a second truncated response, to an earlier query
        services = self._services
        identifier = services.random.randrange(1 << 16)
        octets = wire.query(self._question, identifier, edns=server not in self._without_edns)
        try:
            stream = services.tcp.open_stream(server, PORT, now)
        except SchemeError as error:
            self._exclude(server, error.sentence)
            self._query_next(now)
            return
        services.counters.queries_by_tcp += 1
        self._current = server
        self._timer.set(now + TCP_TIMEOUT)
        callback = partial(self._receive_by_tcp, server, identifier)
        self._tcp_query = TcpQuery(stream, octets, services.timers, callback)

    def _time_out(self, now: float) -> None:
        self._services.counters.timeouts += 1
        self._timed_out(self._current)
        if self._tcp_query is not None:
            self._tcp_query.close(now)
            self._tcp_query = None
        self._query_next(now)

    # Responses

    def _receive(self, server: bytes, identifier: int, octets: bytes, now: float) -> None:
        if not self._is_over:
            response = self._parsed(octets, identifier)
            if response is not None:
                self._process(server, response, now)

    def _receive_by_tcp(self, server: bytes, identifier: int, octets: bytes | None, now: float) -> None:
        if self._is_over:
            return
        self._tcp_query = None
        response = self._parsed(octets, identifier) if octets is not None else None
        if response is None or response.truncated:
            self._exclude(server, "no complete response over TCP")
            self._query_next(now)
        else:
            self._process(server, response, now)

    def _parsed(self, octets: bytes, identifier: int) -> Response | None:
        response = wire.parse(octets, self._question, identifier)
        if isinstance(response, str):
            self._services.counters.dropped[response] += 1
            return None
        self._services.counters.replies += 1
        return response

    def _process(self, server: bytes, response: Response, now: float) -> None:
        if response.truncated:
            self._send_tcp_query(server, now)
        elif response.is_referral:
            self._refuse(server, "answers with a referral to other servers", now)
        elif response.rcode in _ANSWERS:
            self._finish(response, server, now)
        elif response.rcode in _NOT_UNDERSTOOD and server not in self._without_edns:
            self._without_edns.add(server)
            self._services.counters.retried_without_edns += 1
            self._ask_again(server, now)
        elif response.rcode == "SERVFAIL" and server not in self._has_failed:
            self._has_failed.add(server)
            self._services.counters.refused += 1
            self._try_again(server, now)
        else:
            self._refuse(server, f"answers {response.rcode}", now)

    def _try_again(self, server: bytes, now: float) -> None:
        """Leave it to the other servers, or ask *server* again if all were asked: a silent one costs a time-out."""
        if self._queried.issuperset(self._servers):
            self._ask_again(server, now)
        else:
            self._pass_over(server, now)

    def _ask_again(self, server: bytes, now: float) -> None:
        if not self._send_query(server, TIMEOUTS[0], now):
            self._query_next(now)

    def _refuse(self, server: bytes, why: str, now: float) -> None:
        self._has_refused = True
        self._services.counters.refused += 1
        self._fail_server(server, why, now)

    def _receive_error(self, server: bytes, error: DeliveryError, now: float) -> None:
        if not self._is_over and error.errno != errno.EMSGSIZE:
            self._services.counters.not_delivered += 1
            self._fail_server(server, error.sentence, now)

    def _fail_server(self, server: bytes, why: str, now: float) -> None:
        self._exclude(server, why)
        self._pass_over(server, now)

    def _pass_over(self, server: bytes, now: float) -> None:
        if server == self._current and self._tcp_query is None:
            self._query_next(now)

    def _exclude(self, server: bytes, why: str) -> None:
        self._excluded[server] = why

    # The end

    def _finish(self, outcome: Response | SchemeError, server: bytes, now: float) -> None:
        self.cancel(now)
        self._done(outcome, server, now)

    def _failure(self) -> SchemeError:
        """Return ETIMEDOUT if a server was silent, EREMOTEIO if one refused, else ENOENT: no server can be reached."""
        name = self._question.name
        excluded = [server for server in self._servers if server in self._excluded]
        reasons = [f"{presentation(server)}: {self._excluded[server]}" for server in excluded]
        silent = [presentation(server) for server in self._servers if server not in self._excluded]
        if silent:
            reasons.append(f"no answer from {', '.join(silent)}")
        code = errno.ETIMEDOUT if silent else errno.EREMOTEIO if self._has_refused else errno.ENOENT
        if not reasons:
            reasons.append("no name server is configured (netcfg/resolv/nameserver)")
        return SchemeError(code, f"no address is known for {name!r}: {'; '.join(reasons)}")
