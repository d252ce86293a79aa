"""The end of a conversation: what reads and writes get after it, beside what a Linux socket gets.

Each case runs twice, with sockets over the kernel's own lo and with the files of a mount, and must end alike. What has
no counterpart on Linux (reopening /dev/fd/3 of a socket is ENXIO there) is tried on the mount alone.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

PORTS = itertools.count(9500)


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def outcomes(descriptor: int, calls: Sequence[str]) -> list[object]:
    os.set_blocking(descriptor, False)
    does = {"read": lambda: os.read(descriptor, 100), "write": lambda: os.write(descriptor, b"x")}
    return [outcome(does[call]) for call in calls]


def happens(descriptor: int, event: int) -> None:
    poller = select.poll()
    poller.register(descriptor, event)
    assert poller.poll(10_000)


class Linux:
    """Sockets."""

    def __init__(self, stack: ExitStack, family: Family) -> None:
        self.stack = stack
        self.family = getattr(socket, family.socket)
        self.any_port = (family.lo, 0)

    def accepted_after_reset(self, data: bytes) -> int:
        """Return what accept(2) gives of a connection whose peer has sent *data* and a reset."""
        listener = self.stack.enter_context(socket.create_server(self.any_port, family=self.family))
        client = socket.create_connection(listener.getsockname()[:2])
        if data:
            client.send(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        accepted = self.stack.enter_context(listener.accept()[0])
        happens(accepted.fileno(), select.POLLERR)
        return accepted.fileno()

    def refused_after(self, datagram: bytes) -> int:
        """Return a UDP socket whose peer has sent *datagram* and is gone: what it has sent since was refused."""
        ours, peer = (self.stack.enter_context(socket.socket(self.family, socket.SOCK_DGRAM)) for _ in range(2))
        for each in (ours, peer):
            each.bind(self.any_port)
        ours.connect(peer.getsockname())
        peer.sendto(datagram, ours.getsockname())
        peer.close()
        ours.send(b"anybody?")
        happens(ours.fileno(), select.POLLERR)
        return ours.fileno()

    def aborted_from_this_side(self) -> int:
        """Return an established socket that the administrator has reset."""
        listener = self.stack.enter_context(socket.create_server(self.any_port, family=self.family))
        ours = self.stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        self.stack.enter_context(listener.accept()[0])
        local, remote = (name[1] for name in (ours.getsockname(), ours.getpeername()))
        if shutil.which("ss") is None or os.geteuid() != 0:
            pytest.skip("ss -K of iproute2 as root")
        subprocess.run(["ss", "-K", "-t", "sport", "=", str(local), "and", "dport", "=", str(remote)], check=False)
        poller = select.poll()
        poller.register(ours, select.POLLERR)
        if not poller.poll(2000):
            pytest.skip("a kernel without CONFIG_INET_DIAG_DESTROY")
        return ours.fileno()


class Ours:
    """Files of a mount. *opened*: by which file an accepted connection is read."""

    def __init__(self, stack: ExitStack, tree: Path, family: Family, opened: str = "data") -> None:
        self.stack = stack
        self.tree = tree
        self.family = family
        self.opened = opened

    def open(self, path: str, flags: int = os.O_RDWR) -> int:
        descriptor = os.open(self.tree / self.family.fill(path), flags)
        self.stack.callback(os.close, descriptor)
        return descriptor

    def directory(self, descriptor: int) -> Path:
        return self.tree / os.getxattr(descriptor, "user.conversation").decode()

    def ctl(self, descriptor: int, command: str) -> None:
        (self.directory(descriptor) / "ctl").write_text(f"{command}\n")

    def listen(self) -> tuple[int, str]:
        port = next(PORTS)
        return self.open(f"tcp/:{port}"), f"tcp/{self.family.lo.at(port)}"

    def accept(self, listener: int) -> str:
        return "tcp/" + os.read(listener, 100).split()[0].decode()

    def pair(self) -> tuple[int, int]:
        """Return both ends of a connection."""
        listener, address = self.listen()
        client = self.open(address)
        return client, self.open(f"{self.accept(listener)}/data")

    def accepted_after_reset(self, data: bytes) -> int:
        listener, address = self.listen()
        client = os.open(self.tree / address, os.O_RDWR)
        try:
            if data:
                os.write(client, data)
            self.ctl(client, "hangup")
        finally:
            os.close(client)
        if self.opened == "accept":
            return self.open(f"tcp/:{address.rpartition(':')[2]},accept")
        name = self.accept(listener)
        wait_until(lambda: "state=CLOSED" in (self.tree / name / "status").read_text(), "no reset has come")
        return self.open(f"{name}/{self.opened}", os.O_RDONLY if self.opened == "rx" else os.O_RDWR)

    def refused_after(self, datagram: bytes) -> int:
        here, there = (self.family.lo.at(next(PORTS)) for _ in range(2))
        ours = self.open(f"udp/{there},from={here}")
        peer = os.open(self.tree / f"udp/{here},from={there}", os.O_RDWR)
        os.write(peer, datagram)
        os.close(peer)
        os.write(ours, b"anybody?")
        happens(ours, select.POLLERR)
        return ours

    def aborted_from_this_side(self) -> int:
        ours, _ = self.pair()
        self.ctl(ours, "hangup")
        return ours


@pytest.fixture
def linux(family: Family) -> Iterator[Linux]:
    with ExitStack() as stack:
        yield Linux(stack, family.of_kernel())


@pytest.fixture
def ours(module_scheme_mount: SchemeMount, family: Family) -> Iterator[Ours]:
    with ExitStack() as stack:
        yield Ours(stack, module_scheme_mount.path, family)


READS = ["read"] * 3
WRITE_FIRST = ["write", "read", "read"]


@pytest.mark.parametrize("data", [b"data", b""])
@pytest.mark.parametrize(
    ("opened", "calls"),
    [("data", READS), ("rx", READS), ("accept", READS), ("data", WRITE_FIRST), ("accept", WRITE_FIRST)],
)
def test_data_before_a_reset_is_read_after_accept(
    linux: Linux, ours: Ours, opened: str, data: bytes, calls: list[str]
) -> None:
    ours.opened = opened
    expected = outcomes(linux.accepted_after_reset(data), calls)
    assert "ECONNRESET" in expected
    assert outcomes(ours.accepted_after_reset(data), calls) == expected


@pytest.mark.parametrize("calls", [READS, WRITE_FIRST])
def test_an_icmp_error_comes_before_the_datagrams(linux: Linux, ours: Ours, calls: list[str]) -> None:
    expected = outcomes(linux.refused_after(b"one"), calls)
    assert expected == ["ECONNREFUSED", b"one", "EAGAIN"]
    assert outcomes(ours.refused_after(b"one"), calls) == expected


def test_a_reset_from_this_side_is_no_end_of_file(linux: Linux, ours: Ours) -> None:
    assert outcomes(linux.aborted_from_this_side(), ["read"]) == ["ECONNABORTED"]
    assert outcomes(linux.aborted_from_this_side(), ["write"]) == ["ECONNABORTED"]
    assert outcomes(ours.aborted_from_this_side(), ["write"]) == ["ECONNABORTED"]
    # Linux says it once. Here each reader hears of it, whichever call was first: the conversation may have several.
    assert outcomes(ours.aborted_from_this_side(), READS) == ["ECONNABORTED"] * 3
    assert outcomes(ours.aborted_from_this_side(), WRITE_FIRST) == ["ECONNABORTED"] * 3


def test_a_parked_reader_and_one_with_unread_data(ours: Ours) -> None:
    client, server = ours.pair()
    with subprocess.Popen(
        ["cat", ours.directory(client) / "rx"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as cat:
        os.write(server, b"half of a tran")
        assert cat.stdout is not None
        assert cat.stdout.read(14) == "half of a tran"
        ours.ctl(client, "hangup")
        _, complaint = cat.communicate(timeout=10)
    assert cat.returncode == 1
    assert "Software caused connection abort" in complaint
    assert (ours.directory(client) / "err").read_text() == "reset from this side\n"

    client, server = ours.pair()
    os.write(server, b"never read")
    happens(client, select.POLLIN)
    ours.ctl(server, "shutdown write")  # the whole transfer has arrived, but it is dropped
    ours.ctl(client, "hangup")
    assert outcomes(client, ["read"]) == ["ECONNABORTED"]


def test_what_was_read_to_its_end_stays_complete(ours: Ours) -> None:
    client, server = ours.pair()
    for end in (client, server):
        ours.ctl(end, "shutdown write")
    assert outcomes_until_end(client) == b""
    ours.ctl(client, "hangup")
    assert outcomes(client, ["read"]) == [b""]


@pytest.mark.parametrize("path", ["udp/[LO]:9", "udp/:0", "udp/:0,bytes", "icmp/echo/LO"])
def test_a_reader_of_datagrams_sees_a_hangup(ours: Ours, path: str) -> None:
    """End of file would be a datagram without octets, or with `bytes` the end of them all."""
    file = ours.open(path)
    with subprocess.Popen(["cat"], stdin=file, stderr=subprocess.PIPE, text=True) as cat:
        wait_until(lambda: observing.stats(ours.tree / "stats")["parked"] == 1, "cat does not wait")
        ours.ctl(file, "hangup")
        _, complaint = cat.communicate(timeout=10)
    assert "Software caused connection abort" in complaint
    assert outcomes(file, READS) == ["ECONNABORTED"] * 3
    assert "ended by hangup" in (ours.tree / path.partition("/")[0] / "err").read_text()
    other = ours.open(path)
    ours.ctl(other, "close")
    assert outcomes(other, ["read"]) == [b""]


def outcomes_until_end(descriptor: int) -> bytes:
    os.set_blocking(descriptor, True)
    return b"".join(iter(lambda: os.read(descriptor, 100), b""))


# /dev/fd/3 of an ended conversation


def reopened(descriptor: int) -> object:
    """Return what a new open of the same file reads, or the errno of the open."""
    try:
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        return outcome(lambda: os.read(again, 100))
    finally:
        os.close(again)


@pytest.mark.parametrize("verb", ["hangup", "close"])
def test_reopening_what_a_ctl_has_ended_is_enotconn(ours: Ours, verb: str) -> None:
    client, server = ours.pair()
    ours.ctl(client, verb)
    if verb == "close":
        ours.ctl(server, "close")
        assert outcomes_until_end(client) == b""
    assert reopened(client) == "ENOTCONN"
    assert " has ended" in (ours.tree / "tcp/err").read_text()


def test_reopening_after_the_peers_reset(ours: Ours) -> None:
    client, server = ours.pair()
    os.write(server, b"before")
    ours.ctl(server, "hangup")
    happens(client, select.POLLERR)
    assert reopened(client) == b"before"  # it has not ended for a reader
    assert reopened(client) == "ENOTCONN"  # and the first reader is still told why
    assert outcomes(client, ["read"]) == ["ECONNRESET"]
    assert reopened(client) == "ENOTCONN"


def test_reopening_after_both_ends_have_closed(ours: Ours) -> None:
    client, server = ours.pair()
    for end in (server, client):
        ours.ctl(end, "shutdown write")
    assert outcomes_until_end(server) == b""
    assert reopened(client) == b""  # the end of file was not read yet
    assert reopened(client) == "ENOTCONN"
    assert outcomes(client, ["read"]) == [b""]  # what is open stays as it was


@pytest.mark.parametrize("path", ["udp/[LO]:9", "udp/:0", "icmp/echo/LO"])
def test_reopening_datagrams(ours: Ours, path: str) -> None:
    file = ours.open(path)
    assert reopened(file) == "EAGAIN"
    ours.ctl(file, "hangup")
    assert reopened(file) == "ENOTCONN"


def test_reopening_a_ctl_and_a_listener(ours: Ours) -> None:
    _, address = ours.listen()
    ctl = ours.open("tcp/clone")
    os.write(ctl, f"connect {address.partition('/')[2]}\n".encode())
    assert reopened(ctl) == os.read(ctl, 100)
    os.write(ctl, b"hangup\n")
    assert reopened(ctl) == "ENOTCONN"
    other = ours.open("tcp/clone")
    assert outcome(lambda: os.write(other, f"connect {ours.family.lo.at(9)}\n".encode())) == "ECONNREFUSED"
    assert reopened(other) == os.read(other, 100)  # it may connect again
    listener, _ = ours.listen()
    assert reopened(listener) == "EAGAIN"
    ours.ctl(listener, "close")
    assert reopened(listener) == "ENOTCONN"


def test_a_shell_sees_the_sentence(ours: Ours) -> None:
    _, address = ours.listen()
    script = f"exec 3<>{address}; n=$(schemefs which 3); echo hangup >$n/ctl; cat /dev/fd/3; cat tcp/err"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ours.tree,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == "cat: /dev/fd/3: Transport endpoint is not connected\n"
    assert done.stdout.endswith("has ended: reset from this side\n")
