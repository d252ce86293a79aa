"""The mount under load and at its end: hundreds of parked calls, killed callers, forgotten inodes, ways to unmount."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract_scheme import ContractScheme

from schemefs.fs import mountinfo
from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

SOON = 20.0


@pytest.fixture
def mounted(_no_leftovers: None) -> Iterator[SchemeMount]:
    mount = SchemeMount(schemes=[ContractScheme], log_level="info")
    yield mount
    mount.close()


def stats(mount: SchemeMount) -> dict[str, int]:
    return observing.stats(mount.path / "pipe/stats")


def threads_reading(path: Path, count: int) -> subprocess.Popen[str]:
    """A process of *count* threads, each blocked in a read of a file of its own; prints how they ended."""
    source = (
        "import collections, errno, os, sys, threading\n"
        "threading.stack_size(65536)\n"
        "ends = collections.Counter()\n"
        "def read(n):\n"
        "    d = os.open(f'{sys.argv[1]}-{n}', os.O_RDONLY)\n"
        "    try: ends[len(os.read(d, 1))] += 1\n"
        "    except OSError as e: ends[errno.errorcode[e.errno]] += 1\n"
        "threads = [threading.Thread(target=read, args=(n,)) for n in range(int(sys.argv[2]))]\n"
        "[t.start() for t in threads]\n"
        "[t.join() for t in threads]\n"
        "print(dict(ends))\n"
    )
    return subprocess.Popen([sys.executable, "-c", source, str(path), str(count)], stdout=subprocess.PIPE, text=True)


def round_trips(path: Path, count: int) -> float:
    """Return the seconds that a write and a read of one octet take, median."""
    descriptor = os.open(path, os.O_RDWR)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        os.write(descriptor, b"x")
        os.read(descriptor, 1)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    return sorted(times)[count // 2]


def left_at_end(mount: SchemeMount) -> tuple[int, int]:
    """Return how many inodes and open files the daemon still had when it ended; close the mount."""
    pid = mount.pid
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: "served: " in mount.log(), "the daemon did not end")
    found = re.search(r"served: (\d+) inodes and (\d+) open files", mount.log())
    assert found is not None
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("count", [500, pytest.param(2000, marks=pytest.mark.full)])
def test_parked_readers_slow_nobody_and_die_at_once(mounted: SchemeMount, count: int) -> None:
    alone = round_trips(mounted.path / "pipe/pipe-x", 300)
    readers = threads_reading(mounted.path / "pipe/pipe-r", count)
    wait_until(lambda: stats(mounted)["open"] == count, "not all parked")
    crowded = round_trips(mounted.path / "pipe/pipe-x", 300)
    assert crowded < 3 * alone + 0.001
    began = time.monotonic()
    readers.kill()
    readers.wait(SOON)
    assert time.monotonic() - began < 5
    readers.communicate()
    wait_until(lambda: stats(mounted)["open"] == 0, "handles of killed readers leaked")
    assert (mounted.path / "pipe/value").exists()
    assert left_at_end(mounted)[1] == 0


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_lookups_of_many_names_do_not_grow_the_daemon(mounted: SchemeMount, count: int) -> None:
    # The kernel caches names until memory gets short: the daemon has it drop them.
    for number in range(count):
        os.stat(mounted.path / f"pipe/pipe-{number}")
    inodes, files = left_at_end(mounted)
    assert inodes < 2500
    assert files == 0


def test_lookups_of_the_same_names_leave_no_inodes(mounted: SchemeMount) -> None:
    for _ in range(1000):
        os.listdir(mounted.path / "pipe")
        os.stat(mounted.path / "pipe/pipe-same")
        (mounted.path / "pipe/stats").read_text()
        os.close(os.open(mounted.path / "pipe/pipe-same", os.O_RDWR))
        with pytest.raises(FileNotFoundError):
            os.stat(mounted.path / "pipe/none")
    inodes, files = left_at_end(mounted)
    assert inodes < 20
    assert files == 0


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.full)])
def test_callers_killed_at_any_moment_leave_nothing(mounted: SchemeMount, seed: int) -> None:
    """Kill clients in lookup, open, read, write, poll, close: whatever the daemon was answering, nothing stays open."""
    chance = random.Random(seed)
    source = (
        "import os, select, sys\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for kind in ('pipe', 'named', 'refused'):\n"
        "        try: d = os.open(f'{sys.argv[1]}/{kind}-k', os.O_RDWR)\n"
        "        except OSError: continue\n"
        "        os.write(d, b'x'); os.read(d, 1)\n"
        "        select.select([d], [], [], 0)\n"
        "        os.close(d)\n"
        "        os.listdir(sys.argv[1])\n"
    )
    rounds = 40 if seed == 1 else 400
    clients: list[subprocess.Popen[str]] = []
    for _ in range(rounds):
        while len(clients) < 6:
            command = [sys.executable, "-S", "-c", source, str(mounted.path / "pipe")]
            clients.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        victim = clients.pop(0)
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(chance.random() * 0.02)  # the moment is what is being tried
        victim.kill()
        victim.communicate(timeout=SOON)
    for client in clients:
        client.kill()
        client.communicate(timeout=SOON)
    wait_until(lambda: stats(mounted)["open"] == 0, f"handles leaked: {stats(mounted)}")
    assert round_trips(mounted.path / "pipe/pipe-x", 10) < 1
    inodes, files = left_at_end(mounted)
    assert inodes < 20
    assert files == 0
    assert "Traceback" not in mounted.log()


def test_opens_killed_while_they_wait_leave_nothing(mounted: SchemeMount) -> None:
    command = [sys.executable, "-S", "-c", "import os, sys; os.open(sys.argv[1], os.O_RDWR)"]
    clients = [subprocess.Popen([*command, str(mounted.path / f"pipe/opening-{n}")]) for n in range(30)]
    wait_until(lambda: stats(mounted)["open"] == 30, "not all are waiting")
    for client in clients:
        client.kill()
    for client in clients:
        client.wait(SOON)
    wait_until(lambda: stats(mounted)["open"] == 0, "handles leaked")
    assert stats(mounted)["given_up"] == 30
    assert left_at_end(mounted)[1] == 0


def test_end_by_signal_gives_parked_readers_enotconn(mounted: SchemeMount) -> None:
    readers = threads_reading(mounted.path / "pipe/pipe-r", 20)
    wait_until(lambda: stats(mounted)["open"] == 20, "not all parked")
    os.kill(mounted.pid, signal.SIGTERM)
    out, _ = readers.communicate(timeout=SOON)
    assert out == "{'ENOTCONN': 20}\n"
    mounted.close()  # checks the exit status
    assert mountinfo.mounted_at(str(mounted.path)) is None


def umount(*arguments: str | Path) -> int:
    return subprocess.run(["umount", *map(str, arguments)], check=False, capture_output=True, timeout=SOON).returncode


@pytest.mark.needs("root")
def test_unmount_while_readers_are_parked_is_busy_and_the_daemon_goes_on(mounted: SchemeMount) -> None:
    readers = threads_reading(mounted.path / "pipe/named-r", 3)
    wait_until(lambda: stats(mounted)["open"] == 3, "not all parked")
    assert umount(mounted.path) != 0
    for number in range(3):
        (mounted.path / f"pipe/named-r-{number}").write_bytes(b"x")
    assert readers.communicate(timeout=SOON)[0] == "{1: 3}\n"


@pytest.mark.needs("root")
def test_forced_unmount_ends_the_daemon_though_readers_were_parked(mounted: SchemeMount) -> None:
    readers = threads_reading(mounted.path / "pipe/pipe-r", 20)
    wait_until(lambda: stats(mounted)["open"] == 20, "not all parked")
    umount("-f", mounted.path)  # aborts the connection; whether it unmounts too is another matter
    assert "ECONNABORTED" in readers.communicate(timeout=SOON)[0]
    mounted._daemon.wait(SOON)
    mounted.close()


@pytest.mark.needs("root")
def test_lazy_unmount_serves_on_until_the_last_file_is_closed(mounted: SchemeMount) -> None:
    descriptor = os.open(mounted.path / "pipe/pipe-x", os.O_RDWR)
    assert umount("-l", mounted.path) == 0
    os.write(descriptor, b"still here")
    assert os.read(descriptor, 20) == b"still here"
    os.close(descriptor)
    mounted._daemon.wait(SOON)
    mounted.close()


def test_unmount_ends_the_daemon_with_status_0(mounted: SchemeMount) -> None:
    (mounted.path / "pipe/value").read_text()
    subprocess.run(["fusermount3", "-u", mounted.path], check=True, timeout=SOON)
    assert mounted._daemon.wait(SOON) == 0
    mounted.close()


def test_opens_during_the_end_are_told_enotconn(mounted: SchemeMount) -> None:
    """A program that opens in a loop gets ENOTCONN, at the latest when the mount is gone, and never hangs."""
    ends: list[int | None] = []

    def opener() -> None:
        while True:
            try:
                os.close(os.open(mounted.path / "pipe/pipe-x", os.O_RDWR))
            except OSError as error:
                ends.append(error.errno)
                return

    thread = threading.Thread(target=opener)
    thread.start()
    os.kill(mounted.pid, signal.SIGTERM)
    thread.join(SOON)
    assert ends[0] in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.ENODEV)
    mounted.close()
