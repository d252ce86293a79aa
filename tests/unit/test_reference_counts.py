"""Reference counts alone free a conversation: no cycle is left for Python's collector, whatever it went through.

The collector is off while conversations live and end. At the end it finds nothing: `DEBUG_SAVEALL` would keep it.
"""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from schemefs import readme
from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.buffer import joined
from schemefs.scheme import Caller, Directory, Event, Handle, Node, SchemeContext, StreamFile, TextFile
from schemes.event import EventScheme
from schemes.icmp import IcmpScheme
from schemes.tcp import TcpScheme
from schemes.tls import TlsScheme
from schemes.udp import UdpScheme
from tests.support.ip_host import IpHost
from tests.support.tls_certificates import AllFiles, Authority

ROOT = Caller(0, files=AllFiles())
LONG = 120.0  # seconds: beyond TIME-WAIT, and beyond what an accepted connection waits to be opened


class Machine(IpHost):
    """One host with programs that communicate through lo."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        names = Names("127.0.0.1 here\n127.0.0.1 several\n127.0.0.2 several\n")
        context = SchemeContext(self.timers, random.Random(1), Config(), names, LogRings(lambda: 0.0))
        self.schemes = schemes = context.tree.schemes
        context.services["ip"] = self.network
        for scheme in (TcpScheme, UdpScheme, IcmpScheme, TlsScheme, EventScheme):
            schemes[scheme.name] = scheme(context)

    def open(self, path: str, flags: int = os.O_RDWR) -> Handle:
        scheme, _, rest = path.partition("/")
        handle = self.schemes[scheme].open(rest, flags, ROOT, self.now)
        self.settle()
        return handle

    def close(self, *handles: Handle) -> None:
        for handle in handles:
            handle.close(self.now)
            self.settle()

    def read(self, handle: Handle) -> str:
        return bytes(joined(handle.read(1000, self.now) or b"")).decode()

    def write(self, handle: Handle, text: str) -> None:
        handle.write(memoryview(text.encode()), self.now)
        self.settle()

    def look(self, name: str) -> None:
        """Look up, list and read all that the directory *name* has."""
        scheme, _, rest = name.partition("/")
        self._look(self.schemes[scheme].lookup(rest, ROOT))

    def _look(self, node: Node) -> None:
        if isinstance(node, Directory):
            for child, _ in readme.listing(node, ROOT):
                self._look(readme.lookup(node, child, ROOT))
        elif isinstance(node, TextFile):
            node.read(ROOT, self.now)
        elif isinstance(node, StreamFile):
            with suppress(SchemeError):
                self.close(node.open(os.O_RDONLY, ROOT, self.now))

    def settle(self) -> None:
        """Let everything that is on its way through lo arrive."""
        while self.lo.queued or self.timers.next_deadline() <= self.now:
            self.pump(self.now)
            self.until(self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.settle()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Authority(tmp_path_factory.mktemp("tls")).certificate("here", "here")


def connected(machine: Machine) -> None:
    """Connect, accept, exchange a line, and close both."""
    listener = machine.open("tcp/:8080")
    client = machine.open("tcp/127.0.0.1:8080")
    server = machine.open(f"tcp/{machine.read(listener).split()[0]}/data")
    machine.write(client, "hello\n")
    machine.read(server)
    machine.close(client, server, listener)


def looked_at(machine: Machine) -> None:
    listener = machine.open("tcp/:8080,events")
    client = machine.open("tcp/127.0.0.1:8080,events")
    machine.look(client.name)
    machine.look(listener.name)
    machine.close(client, listener)


def refused(machine: Machine) -> None:
    """Find no listener: at an address, and at all addresses of a name."""
    for host in ("127.0.0.1", "several"):
        client = machine.open(f"tcp/{host}:8081,events")
        machine.pass_time(1.0)
        with suppress(SchemeError):
            client.opening(machine.now)
        with suppress(SchemeError):
            client.write(memoryview(b"x"), machine.now)
        machine.look(client.name)
        machine.close(client)


def unknown(machine: Machine) -> None:
    with suppress(SchemeError):
        machine.close(machine.open("tcp/nowhere:8080"))


def controlled(machine: Machine) -> None:
    """Use clone, ctl, listen and settings; end one of them by a reset."""
    listener, client = machine.open("tcp/clone"), machine.open("tcp/clone")
    machine.write(listener, "announce :8082\n")
    for address in ("127.0.0.1:8081", "several:8082"):
        with suppress(SchemeError):
            machine.write(client, f"connect {address}\n")
            machine.write(client, f"connect {address}\n")
    accepted = machine.open(f"tcp/{machine.read(listener).strip()}/listen")
    assert not accepted.opening(machine.now)
    machine.write(client, "nodelay 1\n")
    machine.look(accepted.name)
    machine.write(client, "hangup\n")
    machine.close(accepted, client, listener)


def never_opened(machine: Machine) -> None:
    """Accept connections that no file is opened of, and leave some that are not accepted."""
    listener = machine.open("tcp/:8083")
    clients = [machine.open("tcp/127.0.0.1:8083", os.O_WRONLY) for _ in range(3)]
    machine.read(listener)
    machine.close(*clients, listener)


def accepting(machine: Machine) -> None:
    waits = machine.open("tcp/:8084,accept")
    assert waits.opening(machine.now)
    client = machine.open("tcp/127.0.0.1:8084")
    assert not waits.opening(machine.now)
    machine.close(waits, client)


def datagrams(machine: Machine) -> None:
    server = machine.open("udp/:5300,listen")
    client = machine.open("udp/127.0.0.1:5300,events")
    machine.write(client, "hello")
    accepted = machine.open(f"udp/{machine.read(server).split()[0]}/data")
    machine.read(accepted)
    machine.look(client.name)
    machine.close(client, accepted, server)
    unreachable = machine.open("udp/127.0.0.1:5301")
    machine.write(unreachable, "hello")
    with suppress(SchemeError):
        unreachable.read(10, machine.now)
    machine.close(unreachable)


def echoes(machine: Machine) -> None:
    echo = machine.open("icmp/echo/127.0.0.1")
    machine.write(echo, "\x00\x01hello")
    machine.look(echo.name)
    ping = machine.open("icmp/ping/here,count=1")
    machine.read(ping)
    trace = machine.open("icmp/trace/here")
    machine.read(trace)
    machine.close(echo, ping, trace)


def watched(machine: Machine) -> None:
    """Watch conversations and a text in a queue that outlives them, and in one that ends before."""
    short, queue = machine.open("event/queue"), machine.open("event/queue")
    listener = machine.open("tcp/:8085")
    client = machine.open("tcp/127.0.0.1:8085")
    for watching in (short, queue):
        for name in (listener.name, client.name):
            machine.write(watching, f"{name} read write\n")
        machine.write(watching, f"{client.name}/status read\n")
    assert queue.fevent(Event.IN)
    machine.close(short, client, listener)
    machine.read(queue)
    machine.close(queue)


def encrypted(machine: Machine, certificate: Path) -> None:
    cert = str(certificate).replace("/", "%2F")
    listener = machine.open(f"tls/:8443,cert={cert}")
    for verify in ("yes", "no"):
        client = machine.open(f"tls/here:8443,verify={verify},events")
        for _ in range(20):
            machine.pass_time(0.01)
        with suppress(SchemeError):
            client.opening(machine.now)
            machine.write(client, "hello\n")
        machine.look(client.name)
        machine.read(listener)
        machine.close(client)
    machine.close(listener)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def cycles() -> Counter[str]:
    """Return what only the collector would free, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return Counter(f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize(
    "life",
    [
        connected,
        looked_at,
        refused,
        unknown,
        controlled,
        never_opened,
        accepting,
        datagrams,
        echoes,
        watched,
    ],
)
@pytest.mark.usefixtures("_no_collector")
def test_what_has_ended_is_freed_at_once(machine: Machine, life: Callable[[Machine], None]) -> None:
    life(machine)  # what is made once: patterns, caches
    gc.collect()
    for _ in range(3):
        life(machine)
        machine.pass_time(LONG)
    assert not cycles()


@pytest.mark.usefixtures("_no_collector")
def test_tls_is_freed_at_once(machine: Machine, certificate: Path) -> None:
    encrypted(machine, certificate)
    gc.collect()
    for _ in range(3):
        encrypted(machine, certificate)
        machine.pass_time(LONG)
    assert not cycles()


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.full)])
@pytest.mark.usefixtures("_no_collector")
def test_many_conversations_leave_nothing(machine: Machine, count: int) -> None:
    listener = machine.open("tcp/:8080")
    for number in range(100 + count):
        if number == 100:
            machine.pass_time(LONG)
            gc.collect()
            before = len(gc.get_objects())
        if not number % 10_000:
            machine.pass_time(LONG)  # or no port would be left beside those in TIME-WAIT
        client = machine.open("tcp/127.0.0.1:8080")
        if not number % 10:
            machine.look(client.name)
        machine.close(client, machine.open(f"tcp/{machine.read(listener).split()[0]}/data"))
    machine.pass_time(LONG)
    assert len(gc.get_objects()) < before + 1000
    assert not cycles()
