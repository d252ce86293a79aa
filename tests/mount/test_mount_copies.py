"""`schemefs umount` while another mount namespace has a copy of the mount; and without /etc/mtab."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.command import mount_copies, mountpoint
from schemefs.fs import mountinfo
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "fuse")

SOON = 30.0


@pytest.fixture
def mount(_no_leftovers: None) -> Iterator[SchemeMount]:
    made = SchemeMount(log_level="info")
    yield made
    made.close(check=False)


@contextmanager
def elsewhere(program: str, mount: SchemeMount) -> Iterator[subprocess.Popen[str]]:
    """A shell with a mount namespace of its own, which has a copy of every mount, runs *program* and then waits."""
    command = ["unshare", "--mount", "sh", "-c", f"{program}\necho ready; exec sleep 600", "sh", str(mount.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert mount_copies.namespace(process.pid) != mount_copies.namespace("self")
            yield process
        finally:
            process.kill()


def umount(mount: SchemeMount, *prefix: str) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "schemefs", "umount", str(mount.path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=SOON)


def test_a_copy_that_no_process_uses_does_not_keep_the_daemon(mount: SchemeMount) -> None:
    with elsewhere("", mount):
        done = umount(mount)
        assert (done.returncode, done.stderr) == (0, "")
        assert mount._daemon.wait(0.1) == 0
        assert mountinfo.mounted_at(str(mount.path)) is None


@pytest.mark.parametrize("use", ['exec 3<>"$1/tcp/:0"', 'cd "$1/tcp"'], ids=["an open file", "a directory"])
def test_a_copy_in_use_is_named_and_nothing_is_unmounted(mount: SchemeMount, use: str) -> None:
    with elsewhere(use, mount) as process:
        began = time.monotonic()
        refused = umount(mount)
        assert time.monotonic() - began < mountpoint.END_TIMEOUT / 2
        assert refused.returncode == 1
        where = mount_copies.namespace(process.pid)
        assert f"is in use by sleep ({process.pid}) in the mount namespace {where}; kill {mount.pid}" in refused.stderr
        assert mountinfo.mounted_at(str(mount.path)) is not None
    wait_until(lambda: umount(mount).returncode == 0, "it can't be unmounted")
    assert mount._daemon.wait(SOON) == 0


def test_the_umount_of_a_copy_leaves_the_daemon(mount: SchemeMount) -> None:
    with elsewhere("", mount) as process:
        done = umount(mount, "nsenter", f"--mount=/proc/{process.pid}/ns/mnt", "--")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"unmounted {mount.path} here: its daemon (process {mount.pid}) serves" in done.stdout
        assert (mount.path / "README").exists()


def test_another_place_in_the_same_namespace_keeps_the_daemon(mount: SchemeMount, tmp_path: Path) -> None:
    subprocess.run(["mount", "--bind", mount.path, tmp_path], check=True)
    try:
        done = umount(mount)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"unmounted {mount.path}: its daemon (process {mount.pid}) still serves {tmp_path}" in done.stdout
        assert (tmp_path / "README").exists()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert mount._daemon.wait(SOON) == 0


def test_a_daemon_with_the_id_of_another_is_not_ended(mount: SchemeMount) -> None:
    entry = mountinfo.mounted_at(str(mount.path))
    assert entry is not None
    assert mount_copies.is_daemon(entry)
    other = mountinfo.MountEntry(entry.path, entry.kind, entry.source, 0, entry.device + 1000)
    assert not mount_copies.is_daemon(other)


@pytest.mark.needs("readable")
def test_a_user_mounts_and_unmounts_without_mtab(tmp_path: Path) -> None:
    """A root made by debootstrap has no /etc/mtab, and fusermount3 refuses to unmount without it."""
    # All in a mount namespace of its own: a /dev/fuse for users, a place that they can reach, and an /etc without mtab.
    script = f"""
        mknod -m 666 {tmp_path}/fuse c 10 229 && mount --bind {tmp_path}/fuse /dev/fuse || exit 9
        mount -t tmpfs none /mnt && mkdir /mnt/scheme && chown 65534 /mnt/scheme && cp -a /etc /mnt/etc || exit 8
        rm -f /mnt/etc/mtab
        user() {{ setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }}
        mount --bind /mnt/etc /etc || exit 7
        test ! -e /etc/mtab || exit 6
        user {sys.executable} -m schemefs mount /mnt/scheme --driver loopback || exit 5
        user {sys.executable} -m schemefs umount /mnt/scheme || exit 4
        grep /mnt/scheme /proc/self/mountinfo
        exit 0
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=SOON, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("unmounted /mnt/scheme\n")  # and mountinfo has no line of it


@pytest.mark.needs("readable")
def test_a_tool_takes_the_only_mount_that_its_user_can_enter(family: Family) -> None:
    """Of several mounts: one is private to root, and one is below a directory that is closed to others."""
    script = f"""
        mount -t tmpfs none /mnt && mkdir -p /mnt/private /mnt/closed/scheme /mnt/open || exit 9
        chmod 700 /mnt/closed
        for options in "private --private" "closed/scheme" "open"; do
            {sys.executable} -m schemefs mount /mnt/$options --driver loopback >/dev/null || exit 8
        done
        setpriv --reuid 65534 --regid 65534 --clear-groups {sys.executable} -m schemefs ping -c 1 {family.lo}
        status=$?
        for name in private closed/scheme open; do {sys.executable} -m schemefs umount /mnt/$name >/dev/null; done
        exit $status
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 packets received" in done.stdout
