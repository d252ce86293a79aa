"""dns on two complete stacks in virtual time: the schemes on the left, scripted name servers on the right.

The servers build their messages with dnspython, so that a test can make them late, wrong, forged or malformed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.addresses import packed
from schemefs.scheme import Caller, Handle, SchemeContext
from schemefs.shares import Shares
from schemefs.testing.wire import SimulatedWire, WireImpairment, WireLink, run
from schemefs.timers import Timers
from schemes.dns import DnsScheme
from schemes.icmp import IcmpScheme
from schemes.ip.network import Network
from schemes.tcp import TcpScheme
from schemes.tcp.connection import Connection
from schemes.udp import UdpScheme

ROOT = Caller(0)
SERVER = "10.0.2.3"
SECOND = "10.0.2.4"
ADDRESS = "example.com 60 IN A 10.0.2.80"
SOA = "example.com 300 IN SOA ns.example.com. root.example.com. 1 2 3 4 90"

Query = dns.message.Message
Answers = Callable[["Server", Query], None]


def address(text: str) -> bytes:
    found = packed(text)
    assert found is not None
    return found


def reply(query: Query, *records: str, rcode: str = "NOERROR", authority: str = "") -> Query:
    """Return a response to *query*; a record is `example.com 60 IN A 10.0.2.80`."""
    message = dns.message.make_response(query, recursion_available=True)
    message.set_rcode(dns.rcode.from_text(rcode))
    for section, lines in ((message.answer, records), (message.authority, (authority,) if authority else ())):
        for line in lines:
            name, ttl, _, type_, data = line.split(" ", 4)
            section.append(dns.rrset.from_text(name + ".", int(ttl), "IN", type_, data))
    return message


class Server:
    """One name server. It calls *answers* with each query."""

    def __init__(self, host: DnsHost, text: str, answers: Answers) -> None:
        self.host = host
        self.answers = answers
        self.queries: list[Query] = []
        self.by_tcp = 0
        self.ports: list[str] = []
        ctl = host.right_udp.open("clone", os.O_RDWR, ROOT, 0.0)
        number = bytes(ctl.read(10, 0.0) or b"").decode().strip()  # type: ignore[arg-type]
        ctl.write(memoryview(f"announce {text}:53,headers".encode()), 0.0)
        self.handle = host.right_udp.open(f"{number}/data", os.O_RDWR, ROOT, 0.0)
        self.handle.on_changed = host.woken.append_soon(self._look)
        self.listener = host.right_tcp.tcp.listen(address(text), 53)
        self.listener.on_changed = host.woken.append_soon(self._accept)
        self._sender = ""

    def _look(self) -> None:
        while (taken := self.handle.read(65536, self.host.now)) is not None:
            line, _, octets = bytes(taken).partition(b"\n")  # type: ignore[arg-type]
            self._sender = line.split()[0].decode()
            self.ports.append(self._sender)
            query = dns.message.from_wire(octets)
            self.queries.append(query)
            self.answers(self, query)

    def sends(self, message: Query | bytes, to: str = "") -> None:
        """Send a datagram to the sender of the last query, or to *to*."""
        octets = message if isinstance(message, bytes) else message.to_wire()
        self.handle.write(memoryview(f"{to or self._sender}\n".encode() + octets), self.host.now)

    def later(self, seconds: float, message: Query | bytes) -> None:
        """Send *message* after *seconds*, to the sender of the current query."""
        sender = self._sender
        self.host.after(seconds, lambda: self.sends(message, sender))

    def _accept(self) -> None:
        while (connection := self.listener.accept(self.host.now)) is not None:
            self.by_tcp += 1
            connection.on_changed = self.host.woken.append_soon(self._serve(connection, bytearray()))
            connection.on_changed()

    def _serve(self, connection: Connection, asked: bytearray) -> Callable[[], None]:
        def look() -> None:
            octets = connection.read(65536, self.host.now)
            asked.extend(octets or b"")
            if len(asked) > 2 and len(asked) == 2 + int.from_bytes(asked[:2], "big"):
                query = dns.message.from_wire(bytes(asked[2:]))
                asked.clear()
                self.tcp_answers(connection, query)

        return look

    def tcp_answers(self, connection: Connection, query: Query) -> None:
        """Answer over TCP with 300 addresses. A test may replace this method."""
        name = query.question[0].name.to_text(omit_final_dot=True)
        octets = reply(query, *[f"{name} 60 IN A 10.9.{n // 250}.{n % 250 + 1}" for n in range(300)]).to_wire(
            max_size=65535
        )
        connection.write(memoryview(len(octets).to_bytes(2, "big") + octets), self.host.now)


class _Woken:
    """Calls back from a timer, as the mount's tasks do, never while a segment is processed."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers

    def append_soon(self, look: Callable[[], None]) -> Callable[[], None]:
        def guarded(_now: float) -> None:
            try:
                look()
            except SchemeError:
                pass  # a connection that was reset

        return self._timers.timer(guarded, "server").call_soon


class DnsHost:
    """dns, tcp, udp and icmp on the left; `servers` on the right."""

    def __init__(
        self, *answers: Answers, hosts: str = "", seed: int = 1, impairment: WireImpairment | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.timers = Timers()
        self.woken = _Woken(self.timers)
        self.wire = SimulatedWire(self.timers, self.random, impairment)
        self.now = 0.0
        self.names = Names(hosts)
        self.shares = Shares()
        left = self._stack(self.wire.left, ["10.0.2.15"])
        right = self._stack(self.wire.right, ["10.0.2.2", SERVER, SECOND])
        self.network = left
        self.udp = UdpScheme(self._context(left))
        self.tcp = TcpScheme(self._context(left))
        self.icmp = IcmpScheme(self._context(left))
        self.dns = DnsScheme(self._context(left, udp=self.udp.provides, tcp=self.tcp.provides))
        self.right_udp = UdpScheme(self._context(right))
        self.right_tcp = TcpScheme(self._context(right))
        self.right_icmp = IcmpScheme(self._context(right))
        self.names.nameservers = tuple(address(text) for text, _ in zip((SERVER, SECOND), answers, strict=False))
        self.servers = [Server(self, text, each) for text, each in zip((SERVER, SECOND), answers, strict=False)]

    def _stack(self, link: WireLink, addresses: list[str]) -> Network:
        network = Network(self.timers, self.random)
        interface = network.attach(link, 0.0)
        for text in addresses:
            interface.add_address(address(text), 24, 0.0)
        return network

    def _context(self, network: Network, **services: object) -> SchemeContext:
        logs = LogRings(lambda: self.now)
        services = {"ip": network, **services}
        return SchemeContext(
            self.timers, self.random, Config(), self.names, logs, shares=self.shares, services=services
        )

    def open(self, path: str, flags: int = os.O_RDONLY, caller: Caller = ROOT) -> Handle:
        """Open `dns/example.com`, `tcp/…`. The handle may still be opening."""
        scheme, _, rest = path.partition("/")
        return getattr(self, scheme).open(rest, flags, caller, self.now)  # type: ignore[no-any-return]

    def opened(self, handle: Handle, seconds: float = 60.0) -> Handle:
        """Advance the clock until the open is complete. Raises the open's failure."""
        self.until(lambda: not handle.opening(self.now), seconds)
        assert not handle.opening(self.now), f"still opening at {self.now}"
        return handle

    def cat(self, path: str) -> list[str]:
        """Return the lines of a file of dns and close it. Raises the open's failure."""
        handle = self.open(path)
        try:
            self.opened(handle)
            taken = handle.read(65536, self.now)
            assert taken is not None
            assert handle.read(100, self.now) == b""
            return bytes(taken).decode().splitlines()  # type: ignore[arg-type]
        finally:
            handle.close(self.now)

    def fails(self, path: str) -> int:
        """Return the errno of a failing open of *path*, and keep its sentence in `sentence`."""
        try:
            lines = self.cat(path)
        except SchemeError as error:
            self.sentence = error.sentence
            return error.errno
        raise AssertionError(lines)

    def text(self, path: str) -> str:
        """Return a text file of dns."""
        return self.dns.lookup(path, ROOT).read(ROOT, self.now).decode()  # type: ignore[attr-defined,no-any-return]

    def stats(self) -> dict[str, int]:
        """Return the counters that are not 0."""
        rows = (line.split("=") for line in self.dns.statistics().splitlines())
        return {name: int(value) for name, value in rows if int(value)}

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.timers.timer(lambda _now: act(), "test").set(self.now + seconds)

    def until(self, stop: Callable[[], bool], seconds: float) -> None:
        end = self.now + seconds
        while not stop() and self.timers.next_deadline() <= end:
            self.now = max(self.now, self.timers.next_deadline())
            self.timers.on_deadline(self.now)

    def passes(self, seconds: float) -> None:
        self.now = run(self.timers, until=self.now + seconds, now=self.now)


def answers(*records: str, rcode: str = "NOERROR", authority: str = "") -> Answers:
    """Return a server that gives every query this response."""
    return lambda server, query: server.sends(reply(query, *records, rcode=rcode, authority=authority))


def silent(server: Server, query: Query) -> None:
    """Never answer."""


def name_of(query: Query) -> str:
    return query.question[0].name.to_text(omit_final_dot=True)


def only(*names: str) -> Answers:
    """Return a server that has these names only."""

    def answer(server: Server, query: Query) -> None:
        name = name_of(query)
        known = name in names
        records = [f"{name} 60 IN A 10.0.2.80"] if known else []
        server.sends(reply(query, *records, rcode="NOERROR" if known else "NXDOMAIN", authority="" if known else SOA))

    return answer
