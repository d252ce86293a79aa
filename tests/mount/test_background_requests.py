"""Requests of AIO, io_uring, splice, mmap and readahead on one stream, by another uid: they stop no other caller.

The kernel answers for some of these calls in the background. A request in the background can't be interrupted: its
process could not be killed. With 12 of them parked, the kernel would send no RELEASE of any file of the mount.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import parking_program
import pytest

from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = [
    pytest.mark.needs("root", "fuse"),
    pytest.mark.skipif(os.uname().machine not in parking_program.NUMBERS, reason="numbers of system calls not known"),
]

NOBODY = 65534
REQUESTS = 40
SOON = 5.0  # seconds
_ports = count(7400)

# How each way ends: the line that the program prints for it; for one that parks, what stats counts then. A second
# fsync or write waits in the kernel for the lock on the inode. io_uring polls the file until it is readable.
WAYS = {
    "aio-read": ("parked", REQUESTS),
    "aio-write": ("parked", 1),
    "aio-fsync": f"={-errno.EAGAIN}",
    "io_uring-read": ("polled", 1),
    "io_uring-fsync": ("parked", 1),
    "splice": str(errno.EINVAL),
    "sendfile": str(errno.EINVAL),
    "mmap": f"={signal.SIGBUS.value}",
    "readahead": "=0",
    "fadvise": "=0",
}


@contextmanager
def requests(mount: SchemeMount, family: Family, way: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another uid that has made the requests; they are parked or answered."""
    port = next(_ports)
    listener = os.open(mount.path / f"tcp/:{port}", os.O_RDWR)
    program = [sys.executable, str(Path(parking_program.__file__)), str(mount.path / f"tcp/{family.lo.at(port)}")]
    process = subprocess.Popen(
        [*program, way, str(REQUESTS), str(NOBODY)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        expected = WAYS[way]
        if isinstance(expected, str):
            assert [line for line in lines(process, REQUESTS + 1) if line != "started"] == [expected] * REQUESTS
        else:
            name, least = expected
            (first,) = lines(process, 1)
            if way.startswith("io_uring") and first in (str(errno.EPERM), str(errno.ENOSYS)):
                pytest.skip("io_uring is disabled here")
            assert first == "started"
            wait_until(lambda: observing.stats(mount.path / "stats")[name] >= least, f"{way}: not {least} {name}")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SOON)
        os.close(listener)


def lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(number)]


@pytest.mark.parametrize("way", WAYS)
def test_others_open_and_close_and_are_killed_meanwhile(
    module_scheme_mount: SchemeMount, way: str, family: Family
) -> None:
    tree = module_scheme_mount.path
    port = next(_ports)
    with requests(module_scheme_mount, family, way) as process:
        for _ in range(20):  # a listener whose RELEASE did not arrive keeps its port
            os.close(os.open(tree / f"tcp/:{port}", os.O_RDWR))
        readers = [subprocess.Popen(["cat", tree / "tcp/:0"]) for _ in range(3)]
        for reader in readers:
            wait_until(lambda pid=reader.pid: observing.sleeps_in(pid, "read"), "not parked")  # type: ignore[misc]
            reader.kill()
            assert reader.wait(SOON) == -signal.SIGKILL
        process.kill()
        assert process.wait(SOON) == -signal.SIGKILL
    wait_until(lambda: observing.stats(tree / "stats")["parked"] == 0, "a call of a killed process is still parked")
    os.close(os.open(tree / f"tcp/:{port}", os.O_RDWR))


def test_a_write_does_not_wait_for_a_splice_of_the_same_stream(
    module_scheme_mount: SchemeMount, family: Family
) -> None:
    """A page that is being read is locked, and no signal ends the wait of a write, an open or an mmap for it."""
    with requests(module_scheme_mount, family, "splice") as process:
        program = (
            "import os, sys\n"
            "file = os.open(sys.argv[1], os.O_RDWR)\n"
            "os.write(file, b'again')\n"
            "print(os.getxattr(file, 'user.conversation').decode())\n"
        )
        descriptor = next(
            link
            for link in Path(f"/proc/{process.pid}/fd").iterdir()
            if os.readlink(link).startswith(str(module_scheme_mount.path))
        )
        done = subprocess.run([sys.executable, "-S", "-c", program, descriptor], capture_output=True, timeout=SOON)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"tcp/")


def test_fsync_by_a_visible_process_waits(module_scheme_mount: SchemeMount, family: Family) -> None:
    tree = module_scheme_mount.path
    port = next(_ports)
    listener = os.open(tree / f"tcp/:{port}", os.O_RDWR)
    client = os.open(tree / f"tcp/{family.lo.at(port)}", os.O_RDWR | os.O_NONBLOCK)
    wait_until(lambda: b"ESTABLISHED" in status(tree, client), "not connected")
    with pytest.raises(BlockingIOError):
        while True:
            os.write(client, bytes(1 << 16))
    program = [sys.executable, "-S", "-c", "import os; os.fsync(0)"]
    with subprocess.Popen(program, stdin=client) as process:
        try:
            wait_until(lambda: observing.sleeps_in(process.pid, "fsync"), "fsync does not wait")
        finally:
            process.kill()
    os.close(client)
    os.close(listener)


def status(tree: Path, descriptor: int) -> bytes:
    return (tree / os.getxattr(descriptor, "user.conversation").decode() / "status").read_bytes()
