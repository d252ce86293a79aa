"""`schemefs umount --force`: no process stays unkillable, whatever the daemon does; and what doctor says meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from spinning_scheme import SpinningScheme

from schemefs.fs import mountinfo
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import stats, wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "fuse")

SOON = 10.0


@pytest.fixture
def mount(_no_leftovers: None) -> Iterator[SchemeMount]:
    made = SchemeMount()
    yield made
    os.kill(made.pid, signal.SIGCONT) if Path(f"/proc/{made.pid}/fd").exists() else None
    made.close(check=False)


def schemefs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemefs", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30, cwd="/")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@contextmanager
def hanging(mount: SchemeMount, family: Family) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Readers whose calls the daemon has taken; then it is stopped, and they are killed: in vain."""
    readers = [
        subprocess.Popen(["cat", mount.path / name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("tcp/:4000", "tcp/:4001,accept", "udp/:4002", f"icmp/echo/{family.lo}")
    ]
    try:
        # Not by the wait channel of the readers: an earlier request, as that of the open, waits in the same place. A
        # read that the daemon has not taken when it is stopped ends with its reader.
        wait_until(lambda: all_parked(mount, readers), lambda: f"not parked: {[reader.poll() for reader in readers]}")
        os.kill(mount.pid, signal.SIGSTOP)
        for reader in readers:
            reader.kill()
        for reader in readers:
            wait_until(lambda reader=reader: state(reader.pid) == "D", "not in state D")
        yield readers
    finally:
        with suppress(ProcessLookupError):
            os.kill(mount.pid, signal.SIGCONT)
        for reader in readers:
            reader.kill()
            reader.communicate(timeout=SOON)


def all_parked(mount: SchemeMount, readers: list[subprocess.Popen[bytes]]) -> bool:
    for reader in readers:
        if reader.poll() is not None:
            pytest.fail(f"{reader.args} has ended: {reader.communicate()}")
    return stats(mount.path / "stats")["parked"] == len(readers)


def test_a_stopped_daemon_with_readers_that_sigkill_does_not_end(mount: SchemeMount, family: Family) -> None:
    with hanging(mount, family) as readers:
        refused = schemefs("umount", mount.path)
        assert refused.returncode == 1
        assert f"schemefs umount --force {mount.path}" in refused.stderr
        told = schemefs("doctor")
        assert told.returncode == 1
        assert f"{mount.path} does not answer: its daemon (process {mount.pid}) is stopped" in told.stdout
        assert f"fix: schemefs umount --force {mount.path}" in told.stdout
        done = schemefs("umount", "--force", mount.path)
        assert (done.returncode, done.stderr) == (0, "")
        for reader in readers:
            assert reader.wait(SOON) == -signal.SIGKILL
        assert "SIGKILL" in done.stdout
        assert mountinfo.mounted_at(str(mount.path)) is None


def test_a_spinning_daemon(_no_leftovers: None, tmp_path: Path) -> None:
    """It has taken the request and does not react to SIGTERM any more."""
    spinning = tmp_path / "spinning"
    mount = SchemeMount(schemes=[SpinningScheme], environment={"SPINNING": str(spinning)})
    try:
        reader = subprocess.Popen(["cat", mount.path / "spin/forever"])
        wait_until(spinning.exists, "not spinning")
        reader.kill()
        wait_until(lambda: state(reader.pid) == "D", "not in state D")
        done = schemefs("umount", "--force", mount.path)
        assert (done.returncode, done.stderr) == (0, "")
        assert reader.wait(SOON) == -signal.SIGKILL
        assert mountinfo.mounted_at(str(mount.path)) is None
    finally:
        mount.close(check=False)


def test_a_daemon_that_answers_ends_in_order(mount: SchemeMount) -> None:
    done = schemefs("umount", "--force", mount.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "SIGKILL" not in done.stdout
    assert mountinfo.mounted_at(str(mount.path)) is None


def test_a_mount_in_use_ends_all_the_same(mount: SchemeMount) -> None:
    listener = os.open(mount.path / "tcp/:4003", os.O_RDWR)
    assert schemefs("umount", "--force", mount.path).returncode == 0
    with pytest.raises(OSError, match=r"aborted|not connected"):
        os.read(listener, 1)
    with suppress(OSError):  # close(2) returns the error of flush, and closes
        os.close(listener)


def test_what_a_killed_daemon_left(mount: SchemeMount) -> None:
    os.kill(mount.pid, signal.SIGKILL)
    wait_until(lambda: state(mount.pid) == "Z", "it lives")
    assert f"fix: schemefs umount {mount.path}" in schemefs("doctor").stdout
    done = schemefs("umount", "--force", mount.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert mountinfo.mounted_at(str(mount.path)) is None


def test_another_process_with_the_daemons_number_is_left_alone(mount: SchemeMount) -> None:
    """The record in mountinfo is only a number; the process of that number must be a schemefs with /dev/fuse open."""
    from schemefs.command import force_umount

    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", "schemefs"]) as other:
        stranger = mountinfo.MountEntry(str(mount.path), mountinfo.TYPE, mountinfo.source(other.pid), 0)
        assert force_umount._open_daemon(stranger) == -1
        assert other.poll() is None
        other.kill()


def test_nothing_of_ours_is_not_ended() -> None:
    refused = schemefs("umount", "--force", "/proc")
    assert refused.returncode == 1
    assert "not a schemefs" in refused.stderr
