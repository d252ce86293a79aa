"""Every blocked call ends when its caller is signalled: Ctrl-C, timeout, SIGKILL; and takes nothing with it.

Without the libfuse hooks each of these hangs in state D (schemefs/fs/libfuse_hooks.py says why).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

# An answer comes within a second, says the promise; a busy machine gets a little more before a test calls it broken.
SOON = 3.0

BLOCKED_READS = [
    "icmp/echo/LO",
    "udp/:4001",
    "udp/[LO]:4002",
    "tcp/:4003",
    "tcp/:4004,accept",  # the open blocks
]


@pytest.fixture
def scheme(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path


def wait_until_parked(*pids: int) -> None:
    """Wait until the kernel has each process wait for the daemon's answer."""

    def are_parked() -> bool:
        assert all(") Z " not in Path(f"/proc/{pid}/stat").read_text() for pid in pids), "it has ended"
        return all(Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer" for pid in pids)

    wait_until(are_parked, "not blocked in a call to the mount")


@contextlib.contextmanager
def parked(command: list[str | Path], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            wait_until_parked(process.pid)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("path", BLOCKED_READS)
def test_a_signal_ends_a_blocked_cat(scheme: Path, path: str, number: signal.Signals, family: Family) -> None:
    with parked(["cat", scheme / family.fill(path)]) as cat:
        cat.send_signal(number)
        assert cat.wait(SOON) == -number


@pytest.mark.parametrize("path", BLOCKED_READS)
def test_timeout(scheme: Path, path: str, family: Family) -> None:
    began = time.monotonic()
    done = subprocess.run(["timeout", "0.2", "cat", scheme / family.fill(path)], check=False, timeout=10)
    assert done.returncode == 124
    assert time.monotonic() - began < SOON


def test_a_name_is_free_again_after_its_opener_was_killed(scheme: Path) -> None:
    """The listener of an interrupted `accept` goes with it."""
    for _ in range(3):
        with parked(["cat", scheme / "tcp/:4005,accept"]) as cat:
            cat.kill()
            cat.wait(SOON)
    assert ":4005" not in "".join(path.read_text() for path in (scheme / "tcp").glob("[0-9]*/local"))


def test_ctrl_c_on_a_terminal_ends_the_whole_pipeline(scheme: Path, family: Family) -> None:
    master, slave = os.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "-i"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env=os.environ | {"PS1": "ready> "}, preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0),  # TIOCSCTTY
    )  # fmt: skip
    os.close(slave)
    try:
        read_until(master, b"ready> ")
        os.write(master, f"cat {scheme}/icmp/echo/{family.lo} | cat\n".encode())
        (cat,) = wait_for_child(shell.pid, str(scheme))
        wait_until_parked(cat)
        os.write(master, b"\x03")
        read_until(master, b"ready> ")
        os.write(master, b"echo $((6 * 7)) ${PIPESTATUS[*]}\n")
        read_until(master, b"42 130 130")
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def read_until(descriptor: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(descriptor, 4096)
    return seen


def wait_for_child(parent: int, argument: str) -> list[int]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listed = subprocess.run(
            ["pgrep", "-P", str(parent), "-f", argument], check=False, capture_output=True, text=True
        )
        if listed.stdout:
            return [int(line) for line in listed.stdout.splitlines()]
    pytest.fail("the shell did not start it")


def test_a_handled_signal_is_eintr_and_the_call_goes_on(scheme: Path, family: Family) -> None:
    """Python retries after its handler ran, so the reader gets what comes later; nothing is lost in between."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(2, b'handled\\n'))\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "os.set_inheritable(fd, True)\n"
        "os.write(1, b'%d\\n' % fd)\n"
        "os.write(1, os.read(fd, 100))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, scheme / f"icmp/echo/{family.lo}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as reader:  # fmt: skip
        assert reader.stdout is not None
        assert reader.stderr is not None
        number = int(reader.stdout.readline())
        for _ in range(5):
            wait_until_parked(reader.pid)
            reader.send_signal(signal.SIGUSR1)
            assert reader.stderr.readline() == b"handled\n"
        wait_until_parked(reader.pid)
        with open(f"/proc/{reader.pid}/fd/{number}", "wb", buffering=0) as same:
            same.write(b"\x00\x07nothing lost")
        assert reader.stdout.read() == b"\x00\x07nothing lost"


def test_hundreds_of_parked_readers_do_not_stop_the_others(scheme: Path, family: Family) -> None:
    """pyfuse3's default of 99 workers would leave the mount dead here."""
    readers = [
        subprocess.Popen(["cat", scheme / f"icmp/echo/{family.lo}"], stdout=subprocess.DEVNULL) for _ in range(150)
    ]
    try:
        wait_until_parked(*(reader.pid for reader in readers))
        began = time.monotonic()
        assert (scheme / "netcfg/iface/lo/addr").read_text() == "127.0.0.1/8\n"
        assert time.monotonic() - began < SOON
    finally:
        for reader in readers:
            reader.kill()
        for reader in readers:
            assert reader.wait(SOON) == -signal.SIGKILL


def test_the_end_of_the_mount_ends_parked_calls(scheme_mount: SchemeMount, family: Family) -> None:
    with parked(["cat", scheme_mount.path / f"icmp/echo/{family.lo}"]) as cat:
        os.kill(scheme_mount.pid, signal.SIGTERM)
        _, complaint = cat.communicate(timeout=15)
        assert cat.returncode == 1
    # ECONNABORTED is the kernel's, for a request that it had not handed over yet when the mount ended.
    assert b"not connected" in complaint or b"connection abort" in complaint


def test_a_killed_daemon_ends_parked_calls(scheme_mount: SchemeMount, family: Family) -> None:
    with parked(["cat", scheme_mount.path / f"icmp/echo/{family.lo}"]) as cat:
        os.kill(scheme_mount.pid, signal.SIGKILL)
        cat.communicate(timeout=15)
        assert cat.returncode == 1
    scheme_mount.close(check=False)
