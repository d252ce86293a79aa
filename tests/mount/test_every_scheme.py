"""The contract suite against every scheme of ours that has streams, and the names of all of them."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from contract_scheme import ContractScheme
from path_scheme import PathScheme

from schemefs.testing.contract import Opened, SchemeContract, TreeContract, opened
from tests.support.families import V4, V6, Family
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse")


def name_of(descriptor: int) -> str:
    return os.getxattr(descriptor, "user.conversation").decode()


def port_of(mount: Path, descriptor: int) -> str:
    return (mount / name_of(descriptor) / "local").read_text().strip().rpartition(":")[2]


def accepted(mount: Path, listener: int, closing: ExitStack) -> int:
    assert select.select([listener], [], [], 10)[0]
    scheme = name_of(listener).partition("/")[0]
    return opened(mount / scheme / os.read(listener, 100).split()[0].decode() / "data", closing)


def writes_to(descriptor: int) -> Callable[[], bytes]:
    """Return a feed: what is written there is read at the other end."""
    count = iter(range(1000))

    def feed() -> bytes:
        data = b"message %d" % next(count)
        os.write(descriptor, data)
        return data

    return feed


def tcp_connection(family: Family, mount: Path, closing: ExitStack) -> Opened:
    listener = opened(mount / "tcp/:0", closing)
    client = opened(mount / f"tcp/{family.lo.at(port_of(mount, listener))}", closing)
    return Opened(client, writes_to(accepted(mount, listener, closing)), write=b"meanwhile")


def tcp_listener(family: Family, mount: Path, closing: ExitStack) -> Opened:
    listener = opened(mount / "tcp/:0", closing)
    port = port_of(mount, listener)
    return Opened(listener, lambda: opened(mount / f"tcp/{family.lo.at(port)}", closing) and None)


def tcp_rx(family: Family, mount: Path, closing: ExitStack) -> Opened:
    listener = opened(mount / "tcp/:0", closing)
    client = opened(mount / f"tcp/{family.lo.at(port_of(mount, listener))}", closing)
    rx = opened(mount / name_of(client) / "rx", closing, os.O_RDONLY)
    return Opened(rx, writes_to(accepted(mount, listener, closing)))


def tls_connection(family: Family, mount: Path, closing: ExitStack) -> Opened:
    folder = mount.parent
    authority = Authority(folder)
    certificate = str(authority.certificate("server", family.lo)).replace("/", "%2F")
    listener = opened(mount / f"tls/:0,cert={certificate}", closing)
    trust = str(authority.ca).replace("/", "%2F")
    client = opened(mount / f"tls/{family.lo.at(port_of(mount, listener))},ca={trust}", closing)
    return Opened(client, writes_to(accepted(mount, listener, closing)), write=b"meanwhile")


def udp_bound(family: Family, mount: Path, closing: ExitStack) -> Opened:
    receiver = opened(mount / "udp/:0", closing)
    sender = opened(mount / f"udp/{family.lo.at(port_of(mount, receiver))}", closing)
    return Opened(receiver, writes_to(sender))


def udp_connected(family: Family, mount: Path, closing: ExitStack) -> Opened:
    receiver = opened(mount / "udp/:0,headers", closing)
    sender = opened(mount / f"udp/{family.lo.at(port_of(mount, receiver))}", closing)
    where = (mount / name_of(sender) / "local").read_text().encode()
    count = iter(range(1000))

    def feed() -> bytes:
        answer = b"answer %d" % next(count)
        os.write(receiver, where + answer)
        return answer

    return Opened(sender, feed, write=b"a question")


def icmp_echo(family: Family, mount: Path, closing: ExitStack) -> Opened:
    return Opened(echo := opened(mount / f"icmp/echo/{family.lo}", closing), writes_to(echo))


def icmp_errors(family: Family, mount: Path, closing: ExitStack) -> Opened:
    def feed() -> None:
        os.write(opened(mount / f"udp/{family.lo.at(9)}", closing), b"anyone?")

    return Opened(opened(mount / "icmp/errors", closing, os.O_RDONLY), feed)


def ip_raw(family: Family, mount: Path, closing: ExitStack) -> Opened:
    raw = opened(mount / "ip/fd", closing)
    address = socket.inet_pton(getattr(socket, family.socket), family.lo)
    four = struct.pack(">BBHHHBBH", 0x45, 0, 20, 0, 0, 64, 0xFD, 0)
    six = struct.pack(">IHBB", 6 << 28, 0, 0xFD, 64)

    def feed() -> None:
        os.write(raw, family.pick(four, six) + address + address)

    return Opened(raw, feed)


def frames(family: Family, mount: Path, closing: ExitStack) -> Opened:
    ping = opened(mount / f"icmp/echo/{family.lo}", closing)
    return Opened(opened(mount / "network/lo/frames", closing), lambda: writes_to(ping)() and None)


def event_queue(mount: Path, closing: ExitStack) -> Opened:
    queue = opened(mount / "event/queue", closing)

    def feed() -> bytes:
        line = f"{name_of(opened(mount / 'udp/:0', closing))} write\n".encode()
        os.write(queue, line)
        return line

    return Opened(queue, feed)


def event_raw(mount: Path, closing: ExitStack) -> Opened:
    queue = opened(mount / "event/raw", closing)

    def feed() -> bytes:
        record = struct.pack("=QQQ", opened(mount / "udp/:0", closing), 2, 7)
        os.write(queue, record)
        return record

    return Opened(queue, feed)


def streams(family: Family) -> dict[str, Callable[[Path, ExitStack], Opened]]:
    of_family = (
        tcp_connection, tcp_listener, tcp_rx, tls_connection, udp_bound, udp_connected, icmp_echo, icmp_errors, ip_raw,
        frames,
    )  # fmt: skip
    return {one.__name__: partial(one, family) for one in of_family} | {
        one.__name__: one for one in (event_queue, event_raw)
    }


@pytest.mark.needs("root")
class TestOurs(SchemeContract):
    streams = streams(V6)
    fill = ("tcp_connection", "tls_connection")
    waiting_opens = ("tcp/:0,accept", "udp/:0,accept")


@pytest.mark.full
class TestOursByIPv4(TestOurs):
    streams = streams(V4)


def pipe(mount: Path, closing: ExitStack) -> Opened:
    return Opened(file := opened(mount / "pipe/pipe-x", closing), writes_to(file))


class TestAPlugin(SchemeContract):
    """One that is not installed, as a third party's."""

    schemes = (ContractScheme,)
    streams = {"pipe": pipe}
    fill = ("pipe",)
    waiting_opens = ("pipe/opening-x",)


def path_of_a_scheme(mount: Path, closing: ExitStack) -> Opened:
    return Opened(file := opened(mount / "paths/any", closing), writes_to(file))


class TestOnlyOpen(SchemeContract):
    """A scheme that overrides `open` alone."""

    schemes = (PathScheme,)
    streams = {"any": path_of_a_scheme}
    waiting_opens = ("paths/opening:0",)


class TestConfiguration(TreeContract):
    directory = "netcfg"


class TestLogs(TreeContract):
    directory = "logging"
