"""`time` of real conversations: tcp and tls over lo with impairments, by address and by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


@contextmanager
def connected(tcp: Path, address: str, port: int) -> Iterator[tuple[Path, int, int]]:
    """Yield the client's directory and descriptor, and the accepted descriptor."""
    listener = os.open(tcp / f":{port}", os.O_RDWR)
    client = os.open(tcp / f"{address}:{port}", os.O_RDWR)
    server = os.open(tcp / os.read(listener, 100).decode().partition(" ")[0] / "data", os.O_RDWR)
    try:
        number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
        yield tcp / number, client, server
    finally:
        for descriptor in (client, server, listener):
            os.close(descriptor)


def parts(directory: Path) -> dict[str, tuple[float, float, str]]:
    """Return, by cause: seconds, share and reason."""
    rows = [line.split(" ", 3) for line in (directory / "time").read_text().splitlines()]
    seconds = [float(row[1]) for row in rows]
    assert seconds == sorted(seconds, reverse=True)
    return {row[0]: (float(row[1]), float(row[2]), "".join(row[3:])) for row in rows}


def age(directory: Path) -> float:
    rows = dict(line.split("=", 1) for line in (directory / "status").read_text().splitlines())
    return float(rows["age"])


@pytest.mark.parametrize(("kind", "lost", "port"), [("syn", "SYN", 7340), ("synack", "SYN-ACK", 7341)])
def test_a_lost_syn_and_the_sum(module_scheme_mount, kind: str, lost: str, port: int, family: Family) -> None:
    root: Path = module_scheme_mount.path
    impair = root / "netcfg" / "ifaces" / "lo" / "impair"
    impair.write_text(f"delay 1ms\ndrop tcp {kind} 1 port {port}\n")
    try:
        with connected(root / "tcp", family.lo.host, port) as (directory, _, _):
            found, now = parts(directory), age(directory)
            seconds, share, reason = found["rto"]
            assert 1.0 <= seconds < now
            assert seconds / sum(row[0] for row in found.values()) == pytest.approx(share, abs=0.001)
            rule = f"impair rule 2 of lo, `drop tcp {kind} 1 port {port}`"
            assert reason == f"{lost} lost ({rule}), sent again after the time-out of 1 s"
    finally:
        impair.write_text("none\n")


def test_the_seconds_add_up_to_the_age(module_scheme_mount, family: Family) -> None:
    with connected(module_scheme_mount.path / "tcp", family.lo.host, 7342) as (directory, client, server):
        os.write(client, b"question")
        assert os.read(server, 100) == b"question"
        os.write(server, b"answer")
        wait_until(lambda: "reader" in parts(directory))
        assert os.read(client, 100) == b"answer"

        def difference() -> float:  # the two files are read one after the other
            before, total, after = age(directory), sum(row[0] for row in parts(directory).values()), age(directory)
            return max(before - total, total - after, 0.0)

        assert difference() < 0.001
        assert {"handshake", "writer", "reader"} <= set(parts(directory))


def test_a_reader_that_does_not_read_is_the_writers_peer_window(module_scheme_mount, family: Family) -> None:
    with connected(module_scheme_mount.path / "tcp", family.lo.host, 7343) as (directory, client, _):
        os.set_blocking(client, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(client, bytes(1 << 16))
        wait_until(lambda: parts(directory).get("peer_window", (0.0,))[0] > 0.05)


def test_the_look_up_of_a_name(module_scheme_mount) -> None:
    with connected(module_scheme_mount.path / "tcp", "localhost", 7344) as (directory, _, _):
        assert set(parts(directory)) & {"name", "handshake", "writer", "idle"}


def test_an_ended_conversation_stands_still(module_scheme_mount, family: Family) -> None:
    with connected(module_scheme_mount.path / "tcp", family.lo.host, 7345) as (directory, client, server):
        (directory / "ctl").write_text("hangup\n")
        first = (directory / "time").read_text()
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.01)
        assert (directory / "time").read_text() == first
        assert "handshake" in first
        del client, server


def test_datagrams_have_none(module_scheme_mount, family: Family) -> None:
    udp = module_scheme_mount.path / "udp"
    descriptor = os.open(udp / family.lo.at(7346), os.O_RDWR)
    try:
        number = os.getxattr(descriptor, "user.conversation").decode().partition("/")[2]
        assert "time" not in os.listdir(udp / number)
    finally:
        os.close(descriptor)
