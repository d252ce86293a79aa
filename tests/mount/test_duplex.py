"""One open file in both directions at once: by threads, duplicates, a process that inherited it; and time-outs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

RECORD = 16
RECORDS = 1500  # of each writer
DATA = os.urandom(1 << 16) * 48  # 3 MiB the other way, more than the buffers hold
WRITER = """
import os, sys
for number in range(int(sys.argv[2])): os.write(int(sys.argv[1]), b'process %07d\\n' % number)
"""


@pytest.fixture
def ends(module_scheme_mount: SchemeMount, family: Family) -> Iterator[tuple[int, int]]:
    yield from connection(module_scheme_mount.path, family, "")


def connection(path: Path, family: Family, options: str) -> Iterator[tuple[int, int]]:
    listener = os.open(path / "tcp/:0", os.O_RDWR)
    name = os.getxattr(listener, "user.conversation").decode()
    port = (path / name / "local").read_text().strip().rpartition(":")[2]
    client = os.open(path / f"tcp/{family.lo.at(port)}{options}", os.O_RDWR)
    server = os.open(path / "tcp" / os.read(listener, 100).split()[0].decode() / "data", os.O_RDWR)
    yield client, server
    for descriptor in (listener, client, server):
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_all(descriptor: int, size: int, into: list[bytes]) -> None:
    left = size
    while left:
        into.append(os.read(descriptor, min(left, 100_000)))
        assert into[-1]
        left -= len(into[-1])


def test_threads_duplicates_and_a_process_share_one_file_in_both_directions(ends: tuple[int, int]) -> None:
    client, server = ends
    duplicate, joined = os.dup(client), os.open(f"/dev/fd/{client}", os.O_RDWR)
    back: list[bytes] = []
    there: list[bytes] = []

    def write_records(descriptor: int, name: bytes) -> None:
        for number in range(RECORDS):
            os.write(descriptor, b"%-8s%07d\n" % (name, number))

    threads = [
        threading.Thread(target=write_records, args=(client, b"thread")),
        threading.Thread(target=write_records, args=(duplicate, b"dup")),
        threading.Thread(target=write_records, args=(joined, b"joined")),
        threading.Thread(target=read_all, args=(client, len(DATA), back)),
        threading.Thread(target=write_all, args=(server, DATA)),
        threading.Thread(target=read_all, args=(server, 4 * RECORDS * RECORD, there)),
    ]
    for thread in threads:
        thread.start()
    command = [sys.executable, "-S", "-c", WRITER, str(client), str(RECORDS)]
    subprocess.run(command, pass_fds=[client], check=True, timeout=60)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    os.close(duplicate)
    os.close(joined)
    assert hashlib.sha256(b"".join(back)).digest() == hashlib.sha256(DATA).digest()
    lines = b"".join(there).splitlines()
    assert Counter(line.split()[0] for line in lines) == dict.fromkeys(
        (b"thread", b"dup", b"joined", b"process"), RECORDS
    )
    for name in (b"thread", b"dup", b"joined", b"process"):  # each writer's in its order, none torn, none twice
        assert [int(line.split()[1]) for line in lines if line.split()[0] == name] == list(range(RECORDS))


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_write_that_waited_long_enough_says_what_was_taken_and_then_eagain(
    module_scheme_mount: SchemeMount, how: str, family: Family
) -> None:
    """As SO_SNDTIMEO."""
    path = module_scheme_mount.path
    for client, _ in connection(path, family, ",write_timeout=0.3" if how == "option" else ""):
        if how == "setting":
            name = os.getxattr(client, "user.conversation").decode()
            (path / name / "settings/write_timeout").write_text("0.3")
        taken = os.write(client, bytes(256 << 20))
        assert 0 < taken < 256 << 20
        deadline = time.monotonic() + 20
        with pytest.raises(BlockingIOError):  # what was on its way may have made a little room
            while time.monotonic() < deadline:
                began = time.monotonic()
                os.write(client, bytes(1 << 20))
        assert 0.3 <= time.monotonic() - began < 5


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_read_that_waited_long_enough_is_eagain_and_loses_nothing(
    module_scheme_mount: SchemeMount, how: str, family: Family
) -> None:
    """As SO_RCVTIMEO."""
    path = module_scheme_mount.path
    for client, server in connection(path, family, ",read_timeout=0.3" if how == "option" else ""):
        if how == "setting":
            name = os.getxattr(client, "user.conversation").decode()
            (path / name / "settings/read_timeout").write_text("0.3")
        began = time.monotonic()
        with pytest.raises(BlockingIOError):
            os.read(client, 10)
        assert 0.3 <= time.monotonic() - began < 5
        os.write(server, b"late")
        assert os.read(client, 10) == b"late"
