"""A name server for programs that ask by DNS: those under `schemefs run`, whose libc reads resolv.conf (RFC 1035 §4.2).

    dns/responder open ── UDP and TCP port 53 of 127.0.0.53 ──> parse_query ─> Search ─> reply
    the last file closed ── the ports are free again

It exists only while `dns/responder` is open, and only on an address of lo: a datagram from a link to 127.0.0.0/8 is
dropped by ip. It answers as the files of `dns/` do: the hosts file, the cache, then the name servers.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.buffer import joined
from schemefs.no_callback import no_callback
from schemefs.scheme import Event
from schemefs.shared import Shared, SharedHandle
from schemes.dns import wire
from schemes.dns.cname_chain import NegativeAnswer

if TYPE_CHECKING:
    from schemefs.names import Names
    from schemefs.net.transports import StreamSocket
    from schemes.dns.search import Search
    from schemes.dns.stub_resolver import Outcome, StubResolver

ADDRESS: Final = bytes((127, 0, 0, 53))
PORT: Final = 53
PLACE: Final = "127.0.0.53:53"
HOSTS_TTL: Final = 0  # seconds: the hosts file changes at any time
MAX_CLIENTS: Final = 32  # connections; a further one is reset
IDLE: Final = 10.0  # seconds until a connection without a query is closed (RFC 7766 §6.2.3)
OCTETS: Final = {"A": 4, "AAAA": 16}  # of an address of the type
_LARGEST: Final = 0xFFFF
_CHUNK: Final = 65536

Answered = Callable[[bytes, float], None]
"""Gets the reply once, and `now`."""


class Responder(Shared):
    """The ports, and the queries under way. Look-ups are counted for the *uid* that opened it first."""

    def __init__(
        self, resolver: StubResolver, search: Search, names: Names, uid: int, ended: Callable[[], None]
    ) -> None:
        super().__init__()
        self.resolver = resolver
        self.timers = resolver.services.timers
        self.clients: set[_Client] = set()
        self._search = search
        self._names = names
        self._uid = uid
        self._ended = ended
        self._datagrams = resolver.services.udp.open_local(ADDRESS, PORT, self._asked)
        try:
            self._listener = resolver.services.tcp.listen(ADDRESS, PORT, uid=uid)
        except SchemeError:
            self._datagrams.close(0.0)
            raise
        self._accepting = self.timers.timer(self._accept, "dns: responder")
        self._listener.on_changed = self._accepting.call_soon

    def end(self, now: float) -> None:
        """Close the ports and all connections."""
        self._accepting.end()
        self._datagrams.close(now)
        self._listener.on_changed = no_callback
        self._listener.close(now)
        for client in tuple(self.clients):
            client.close(now)
        self._ended()

    def _asked(self, octets: bytes, source: bytes, port: int, now: float) -> None:
        def answered(reply: bytes, now: float) -> None:
            self._datagrams.send_to(reply, source, port, now)

        self.answer(octets, 0, answered, now)

    def _accept(self, now: float) -> None:
        while (stream := self._listener.accept(now)) is not None:
            if len(self.clients) < MAX_CLIENTS:
                self.clients.add(_Client(self, stream, now))
            else:
                stream.abort(now)

    def answer(self, octets: bytes, limit: int, answered: Answered, now: float) -> bool:
        """Answer the query in *octets* by *answered*, perhaps at once. *limit* 0: what the query allows.

        False: it is no query, and nothing follows.
        """
        query = wire.parse_query(octets)
        if query is None:
            return False
        limit = limit or query.largest
        if query.refused:
            answered(wire.reply(query, limit, query.refused), now)
            return True

        def found(outcome: Outcome, now: float) -> None:
            answered(self._reply(query, limit, outcome, now), now)

        try:
            self._find(query.question, found, now)
        except ValueError as error:
            found(SchemeError(errno.EINVAL, str(error)), now)
        except SchemeError as error:
            never_queried = error.errno == errno.ENOENT  # RFC 6761
            found(NegativeAnswer(error.errno, error.sentence) if never_queried else error, now)
        return True

    def _find(self, question: wire.Question, found: Callable[[Outcome, float], None], now: float) -> None:
        known = self._names.known(question.name) if question.type in OCTETS else ()
        if known and not any(len(address) == OCTETS[question.type] for address in known):
            raise NegativeAnswer(errno.ENODATA, f"{question.name} has no {question.type} record in the hosts file")
        # The final dot: programs try the domains of their own search list.
        self._search.find(f"{question.name}.", (question.type,), found, now, self._uid)

    def _reply(self, query: wire.Query, limit: int, outcome: Outcome, now: float) -> bytes:
        if isinstance(outcome, SchemeError):
            return wire.reply(query, limit, _rcode(outcome))
        ttl = int(self.resolver.cache.seconds_left(query.question, now)) or HOSTS_TTL
        try:
            return wire.reply(query, limit, texts=outcome, ttl=ttl)
        except ValueError:
            return wire.reply(query, limit, "SERVFAIL")


def _rcode(failure: SchemeError) -> str:
    """Return NXDOMAIN or NOERROR for what is known not to exist; SERVFAIL where it is not known."""
    is_known = isinstance(failure, NegativeAnswer) or failure.errno == errno.EINVAL
    if failure.errno == errno.ENODATA:
        return "NOERROR"
    return "NXDOMAIN" if is_known else "SERVFAIL"


class _Client:
    """A connection to the responder: queries and replies, each after its length in two octets (RFC 7766 §8)."""

    def __init__(self, responder: Responder, stream: StreamSocket, now: float) -> None:
        self._responder = responder
        self._stream = stream
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._under_way = 0
        self._at_end = False
        self._timer = responder.timers.timer(self._advance, "dns: responder's connection")
        self._idle = responder.timers.timer(self.close, "dns: responder's idle connection")
        stream.on_changed = self._timer.call_soon
        self._idle.set(now + IDLE)
        self._timer.call_soon()

    def close(self, now: float) -> None:
        """Abort, or do nothing the second time."""
        if self in self._responder.clients:
            self._end()
            self._stream.abort(now)

    def _end(self) -> None:
        self._responder.clients.discard(self)
        self._timer.end()
        self._idle.end()
        self._stream.on_changed = no_callback

    def _advance(self, now: float) -> None:
        try:
            self._send(now)
            while not (self._unsent or self._at_end) and (octets := self._stream.read(_CHUNK, now)) is not None:
                self._at_end = not octets
                self._received += joined(octets)
                self._take(now)
        except SchemeError:
            self.close(now)
            return
        if self._at_end and not (self._unsent or self._under_way):
            self._end()
            self._stream.close_lingering(now)

    def _take(self, now: float) -> None:
        """Answer every complete query."""
        received = self._received
        while len(received) >= 2 and len(received) >= (end := 2 + int.from_bytes(received[:2], "big")):
            octets = bytes(received[2:end])
            del received[:end]
            self._under_way += 1
            self._idle.set(now + IDLE)
            if not self._responder.answer(octets, _LARGEST, self._answered, now):
                raise SchemeError(errno.EPROTO, "not a query")

    def _answered(self, reply: bytes, now: float) -> None:
        del now
        self._under_way -= 1
        self._unsent = memoryview(bytes(self._unsent) + len(reply).to_bytes(2, "big") + reply)
        if self in self._responder.clients:
            self._timer.call_soon()

    def _send(self, now: float) -> None:
        while self._unsent:
            taken = self._stream.write(self._unsent, now)
            if not taken:
                return
            self._unsent = self._unsent[taken:]


class ResponderHandle(SharedHandle[Responder]):
    """An open file of the responder: it reads as the address, and keeps the responder."""

    def __init__(self, shared: Responder) -> None:
        super().__init__(shared)
        self._unread = f"{PLACE}\n".encode()

    def read(self, size: int, now: float) -> bytes:
        """Return the address once, then end of file."""
        del now
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def fevent(self, interest: int) -> int:
        """IN always."""
        return Event.IN & interest
