"""schemefs.stream under Trio's own checks of streams, over tcp and tls, on loopback and on a TAP."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from schemefs.stream import SchemeStream, open_stream
from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import TapNetwork
from tests.support.families import V4, V6, Family
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse")

Pair = tuple[SchemeStream, SchemeStream]
Maker = Callable[[], Awaitable[Pair]]


class Ends:
    """Two mounts, or one for both ends, and the listener of one test."""

    def __init__(self, client: Path, server: Path, address: str) -> None:
        self.client, self.server, self.address = client, server, address

    def path(self, scheme: str, port: int, authority: Authority) -> tuple[str, str]:
        """Return what the listener opens, and what the client opens."""
        if scheme == "tcp":
            return f"tcp/:{port}", f"tcp/{self.address}:{port}"
        ca, cert = (str(path).replace("/", "%2F") for path in (authority.ca, authority.folder / "here.pem"))
        return f"tls/:{port},cert={cert}", f"tls/{self.address}:{port},ca={ca}"

    def accepted(self, listener: int) -> SchemeStream:
        """Return the next connection of *listener*."""
        scheme = os.getxattr(listener, "user.conversation").decode().partition("/")[0]
        number = os.read(listener, 100).split()[0].decode()
        return SchemeStream(os.open(self.server / scheme / number / "data", os.O_RDWR))

    def maker(self, client: str, listener: int) -> Maker:
        """Return a maker of pairs of streams."""

        async def make() -> Pair:
            connected = await open_stream(self.client / client)
            return connected, self.accepted(listener)

        return make

    def clogged_maker(self, make: Maker) -> Maker:
        """Return a maker of pairs on which neither end can send: the peer's window and the send buffer are full."""

        async def make_clogged() -> Pair:
            pair = await make()
            async with trio.open_nursery() as nursery:
                for root, stream in zip((self.client, self.server), pair, strict=True):
                    nursery.start_soon(clog, root, stream)
            return pair

        return make_clogged


async def clog(scheme: Path, stream: SchemeStream) -> None:
    """Write until the peer's window is 0. A rest smaller than a segment is used after a time-out.

    A probe of the closed window is one octet, and stays in flight until the peer has room for it (RFC 9293 §3.8.6.1).
    """
    is_closed = False
    while True:
        try:
            os.write(stream.fileno(), bytes(1 << 16))
        except BlockingIOError:
            if is_closed:
                return
            name = os.getxattr(stream.fileno(), "user.conversation").decode()
            status = dict(line.split("=", 1) for line in (scheme / name / "status").read_text().splitlines())
            is_closed = status["snd_wnd"] == "0" and int(status["in_flight"]) <= 1
            if not is_closed:  # else write once more: the last acknowledgment may have made room
                with trio.move_on_after(0.05):
                    await trio.lowlevel.wait_writable(stream.fileno())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.certificate("here", V4.lo, V6.lo, "10.9.0.1", "fd00:9::1")
    return made


@pytest.fixture
def loopback(module_scheme_mount: SchemeMount, family: Family) -> Ends:
    return Ends(module_scheme_mount.path, module_scheme_mount.path, family.lo.host)


@pytest.fixture(scope="module")
def taps(module_family: Family) -> Iterator[Ends]:
    """Two stacks on a TAP each, in one namespace; the kernel forwards between them."""
    with TapNetwork() as client:
        client.run_peer(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        options = ("--address", "10.9.0.1/24", "--gateway", "10.9.0.2", "--host-address", "10.9.0.2/24")
        options += ("--address", "fd00:9::1/64", "--gateway", "fd00:9::2", "--host-address6", "fd00:9::2/64")
        module_family.prepare(client)
        prefix = client.namespace.prefix
        with SchemeMount("--driver", "tap", "--tap", "schemefs1", *options, prefix=prefix) as server:
            yield Ends(client.mount.path, server.path, module_family.pick("10.9.0.1", "[fd00:9::1]"))


PORTS = itertools.count(8200)


async def check(ends: Ends, scheme: str, authority: Authority) -> None:
    listening, connecting = ends.path(scheme, next(PORTS), authority)
    listener = os.open(ends.server / listening, os.O_RDWR)
    try:
        make = ends.maker(connecting, listener)
        with trio.fail_after(60):
            await trio.testing.check_half_closeable_stream(make, ends.clogged_maker(make))  # the others are its parts
    finally:
        os.close(listener)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_trios_checks_on_loopback(loopback: Ends, scheme: str, authority: Authority) -> None:
    await check(loopback, scheme, authority)


@pytest.mark.full
@pytest.mark.needs("root", "tap")
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_trios_checks_between_two_taps(taps: Ends, scheme: str, authority: Authority) -> None:
    await check(taps, scheme, authority)


async def test_a_refused_connect_is_the_errno_of_open_stream(module_scheme_mount: SchemeMount, family: Family) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConnectionRefusedError):
        await open_stream(module_scheme_mount.path / f"tcp/{family.lo.at(8199)}")
    assert os.listdir("/proc/self/fd") == before


async def test_a_cancelled_connect_is_given_up(module_scheme_mount: SchemeMount, family: Family) -> None:
    """The listener's backlog is full, so the connect stays open."""
    scheme = module_scheme_mount.path
    with trio.move_on_after(0.05) as scope:
        listener = os.open(scheme / "tcp/:8198,backlog=1", os.O_RDWR)
        held = [await open_stream(scheme / f"tcp/{family.lo.at(8198)}") for _ in range(100)]
        assert not held
    assert scope.cancelled_caught
    os.close(listener)


async def test_a_file_that_is_no_conversation_stays_the_callers(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError) as caught:
        SchemeStream(descriptor)
    assert caught.value.errno in (errno.ENODATA, errno.EOPNOTSUPP)
    assert os.get_blocking(descriptor)
    os.close(descriptor)


@pytest.fixture
def bound(loopback: Ends, tmp_path: Path) -> Iterator[Path]:
    """A bind mount of `tcp` alone."""
    subprocess.run(["mount", "--bind", loopback.client / "tcp", tmp_path], check=True, timeout=10)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True, timeout=10)


@pytest.mark.needs("root")
async def test_send_eof_finds_the_mount_by_any_mount_point(loopback: Ends, bound: Path, family: Family) -> None:
    listener = os.open(loopback.server / "tcp/:8197", os.O_RDWR)
    stream = await open_stream(bound / family.lo.at(8197))
    peer = loopback.accepted(listener)
    await stream.send_all(b"all")
    await stream.send_eof()
    assert [octets async for octets in peer] == [b"all"]
    await peer.aclose()
    await stream.aclose()
    os.close(listener)
