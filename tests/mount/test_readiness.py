"""O_NONBLOCK, also when it is set later; select, poll and epoll: the truth, through the real mount."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import selectors
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

IN, OUT, ERR, HUP, RDHUP = select.POLLIN, select.POLLOUT, select.POLLERR, select.POLLHUP, select.POLLRDHUP
PROMPT = 5000  # milliseconds: what is to come, comes; a machine under load needs more than a moment


@pytest.fixture
def tcp(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path / "tcp"


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    with ExitStack() as stack:
        held: set[int] = set()

        def open_(path: Path | str, flags: int = os.O_RDWR) -> int:
            descriptor = os.open(path, flags)
            held.add(descriptor)
            stack.callback(lambda: descriptor in held and os.close(descriptor))
            return descriptor

        open_.close = lambda descriptor: (held.remove(descriptor), os.close(descriptor))
        yield open_


def poll(descriptor: int, events: int, timeout: int = 0) -> int:
    poller = select.poll()
    poller.register(descriptor, events)
    return dict(poller.poll(timeout)).get(descriptor, 0)


class Connection:
    """Both ends of a TCP connection over lo."""

    def __init__(self, tcp: Path, family: Family, opened: Callable[..., int], port: int) -> None:
        listener = opened(tcp / f":{port}")
        self.client = opened(tcp / family.lo.at(port))
        number = os.read(listener, 100).split()[0].decode()
        self.server = opened(tcp / number / "data")
        self.close = opened.close  # type: ignore[attr-defined]


@pytest.fixture
def connection(tcp: Path, family: Family, opened: Callable[..., int]) -> Connection:
    return Connection(tcp, family, opened, 6001)


def would_block(call: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(BlockingIOError):
        call(*arguments)


def set_nonblock(descriptor: int, on: bool = True) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK if on else flags & ~os.O_NONBLOCK)


@pytest.mark.parametrize("path", ["udp/:6002", "udp/{lo.host}:6003", "tcp/:6004", "icmp/echo/{lo}"])
def test_opened_nonblocking(
    module_scheme_mount: SchemeMount, family: Family, opened: Callable[..., int], path: str
) -> None:
    would_block(os.read, opened(module_scheme_mount.path / path.format(lo=family.lo), os.O_RDWR | os.O_NONBLOCK), 100)


def test_one_shot_accept_is_eagain_at_open(tcp: Path, opened: Callable[..., int]) -> None:
    would_block(os.open, tcp / ":6005,accept", os.O_RDWR | os.O_NONBLOCK)


def test_set_later_by_fcntl_and_taken_back(connection: Connection) -> None:
    set_nonblock(connection.client)
    would_block(os.read, connection.client, 100)
    os.write(connection.server, b"here")
    assert poll(connection.client, IN, PROMPT) == IN
    assert os.read(connection.client, 100) == b"here"
    would_block(os.read, connection.client, 100)
    set_nonblock(connection.client, on=False)
    os.write(connection.server, b"again")
    assert os.read(connection.client, 100) == b"again"


def test_a_full_connection_takes_what_fits_and_then_would_block(connection: Connection) -> None:
    set_nonblock(connection.client)
    block = bytes(1 << 20)
    sent = 0
    with pytest.raises(BlockingIOError):
        while sent < 1 << 28:
            sent += os.write(connection.client, block)
    assert 0 < sent < 1 << 28
    # Writable only when the peer has read: what "full" means moves until then, so drain all of it.
    set_nonblock(connection.server)
    received = 0
    while received < sent:
        assert poll(connection.server, IN, PROMPT) & IN
        received += len(os.read(connection.server, 1 << 20))
    assert poll(connection.client, OUT, PROMPT) == OUT
    assert os.write(connection.client, b"more") == 4


def test_poll_tells_the_life_of_a_connection(connection: Connection) -> None:
    both = IN | OUT | RDHUP
    assert poll(connection.client, both) == OUT
    os.write(connection.server, b"x")
    assert poll(connection.client, IN, PROMPT) == IN
    assert poll(connection.client, both) == IN | OUT
    os.read(connection.client, 1)
    assert poll(connection.client, both) == OUT
    connection.close(connection.server)
    assert poll(connection.client, RDHUP, PROMPT) & RDHUP
    assert poll(connection.client, both) & (IN | RDHUP) == IN | RDHUP
    assert os.read(connection.client, 1) == b""


def test_a_reset_is_an_error_once(connection: Connection) -> None:
    os.write(connection.client, b"unread by the server, so that its close resets")
    assert poll(connection.server, IN, PROMPT) == IN
    connection.close(connection.server)
    assert poll(connection.client, IN, PROMPT) & (ERR | IN)
    with pytest.raises(ConnectionResetError):
        os.read(connection.client, 1)


def test_a_listener_is_readable_when_one_waits(tcp: Path, opened: Callable[..., int], family: Family) -> None:
    listener = opened(tcp / ":6006", os.O_RDWR | os.O_NONBLOCK)
    assert poll(listener, IN) == 0
    opened(tcp / family.lo.at(6006))
    assert poll(listener, IN, PROMPT) == IN
    number, remote, local = os.read(listener, 100).decode().split()
    assert number.isdecimal()
    assert remote.startswith(f"{family.lo.host}:")
    assert local == family.lo.at(6006)
    assert poll(listener, IN) == 0


def test_a_nonblocking_connect_says_when_it_is_done(tcp: Path, opened: Callable[..., int], family: Family) -> None:
    opened(tcp / ":6007")
    client = opened(tcp / family.lo.at(6007), os.O_RDWR | os.O_NONBLOCK)
    assert poll(client, OUT, PROMPT) == OUT
    assert os.write(client, b"through") == 7


def test_a_refused_nonblocking_connect_is_an_error_once(tcp: Path, opened: Callable[..., int], family: Family) -> None:
    client = opened(tcp / family.lo.at(6008), os.O_RDWR | os.O_NONBLOCK)
    assert poll(client, OUT, PROMPT) & ERR
    with pytest.raises(ConnectionRefusedError):
        os.write(client, b"x")


def test_select(connection: Connection) -> None:
    ends = [connection.client, connection.server]
    assert select.select(ends, ends, [], 0) == ([], ends, [])
    os.write(connection.client, b"x")
    assert select.select(ends, [], [], PROMPT / 1000) == ([connection.server], [], [])


def test_epoll_level(connection: Connection) -> None:
    with select.epoll() as epoll:
        epoll.register(connection.client, select.EPOLLIN)
        assert epoll.poll(0) == []
        os.write(connection.server, b"xy")
        for _ in range(3):
            assert epoll.poll(PROMPT / 1000) == [(connection.client, select.EPOLLIN)]
        os.read(connection.client, 1)
        assert epoll.poll(PROMPT / 1000) == [(connection.client, select.EPOLLIN)]
        os.read(connection.client, 1)
        assert epoll.poll(0.05) == []


def test_epoll_edge(connection: Connection) -> None:
    """An edge for each arrival, none in between; what a reader drains until EAGAIN is everything."""
    set_nonblock(connection.client)
    with select.epoll() as epoll:
        epoll.register(connection.client, select.EPOLLIN | select.EPOLLET)
        for payload in (b"first", b"second", b"third"):
            os.write(connection.server, payload)
            assert epoll.poll(PROMPT / 1000) == [(connection.client, select.EPOLLIN)]
            assert os.read(connection.client, 100) == payload
            would_block(os.read, connection.client, 100)
            assert epoll.poll(0.05) == []


def test_epoll_wakes_a_sleeper_in_another_process(connection: Connection) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with select.epoll() as epoll:
            epoll.register(connection.client, select.EPOLLIN)
            os.write(told, b"!")
            os._exit(0 if epoll.poll(10) else 1)
    os.read(ready, 1)
    os.write(connection.server, b"wake up")
    assert os.waitpid(child, 0)[1] == 0
    os.close(ready)
    os.close(told)


def test_selectors_serve_many_at_once(tcp: Path, opened: Callable[..., int], family: Family) -> None:
    connections = [Connection(tcp, family, opened, 6100 + n) for n in range(8)]
    with selectors.DefaultSelector() as selector:
        for n, connection in enumerate(connections):
            selector.register(connection.server, selectors.EVENT_READ, n)
        for n in (3, 7, 0):
            os.write(connections[n].client, b"%d" % n)
        seen: dict[int, bytes] = {}
        while len(seen) < 3:
            for key, _ in selector.select(10):
                seen[key.data] = os.read(key.fd, 10)
        assert seen == {3: b"3", 7: b"7", 0: b"0"}


def test_text_files_are_always_ready(module_scheme_mount: SchemeMount, opened: Callable[..., int]) -> None:
    routes = opened(module_scheme_mount.path / "netcfg/routes", os.O_RDONLY)
    assert poll(routes, IN | OUT) & IN == IN


def test_datagrams(module_scheme_mount: SchemeMount, opened: Callable[..., int], family: Family) -> None:
    server = opened(module_scheme_mount.path / "udp/:6009")
    client = opened(module_scheme_mount.path / f"udp/{family.lo.at(6009)}")
    assert poll(server, IN) == 0
    os.write(client, b"one")
    os.write(client, b"two")
    assert poll(server, IN, PROMPT) == IN
    assert os.read(server, 100) == b"one"
    assert poll(server, IN, PROMPT) == IN
    assert os.read(server, 2) == b"tw"  # the rest of it is gone, as on Linux
    assert poll(server, IN) == 0


def test_an_unreachable_port_is_refused_at_the_next_call(
    module_scheme_mount: SchemeMount, opened: Callable[..., int], family: Family
) -> None:
    client = opened(module_scheme_mount.path / f"udp/{family.lo.at(6010)}")
    os.write(client, b"anyone?")
    assert poll(client, IN, PROMPT) & (IN | ERR)
    with pytest.raises(OSError, match="refused") as refused:
        os.read(client, 100)
    assert refused.value.errno == errno.ECONNREFUSED


def test_no_seeking(connection: Connection) -> None:
    with pytest.raises(OSError, match="seek") as refused:
        os.lseek(connection.client, 0, os.SEEK_SET)
    assert refused.value.errno == errno.ESPIPE


@pytest.mark.parametrize(("flags", "found"), [(0, b""), (os.O_DIRECT, b"octets")])
def test_splice_and_sendfile_find_something_with_o_direct_alone(
    tcp: Path, opened: Callable[..., int], flags: int, found: bytes, family: Family
) -> None:
    # The kernel serves them from the page cache, up to st_size, which is 0; O_DIRECT has it ask.
    listener = opened(tcp / ":7131")
    client = opened(tcp / family.lo.at(7131), os.O_RDWR | flags)
    server = opened(tcp / os.read(listener, 100).split()[0].decode() / "data")
    into, out = os.pipe()
    with open(into, "rb", buffering=0) as reader, open(out, "wb", buffering=0):
        for call in (lambda: os.splice(client, out, 100), lambda: os.sendfile(out, client, None, 100)):
            os.write(server, b"octets")
            assert poll(client, IN, PROMPT) == IN
            assert call() == len(found)
            assert found == (reader.read(100) if found else b"")
            if not found:
                assert os.read(client, 100) == b"octets"
