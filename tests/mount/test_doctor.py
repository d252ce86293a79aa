"""`schemefs doctor`: each thing that is wrong is named with its fix. What is wrong is made so in private namespaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root", "fuse")

USER = "setpriv --reuid 65534 --regid 65534 --clear-groups"


def doctor(before: str, prefix: str = "") -> subprocess.CompletedProcess[str]:
    """Run it in a mount namespace in which the shell lines *before* were run."""
    script = f"mount -t tmpfs none /mnt && {before} && exec {prefix} {sys.executable} -m schemefs doctor"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip


WRONG = {
    "mode": (
        "mknod -m 600 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse",
        USER,
        "FAIL  fuse: /dev/fuse has the mode 0600, which keeps uid 65534 out",
        "chmod 666 /dev/fuse",
    ),
    "no fuse": (
        "touch /mnt/f && mount --bind /mnt/f /dev/fuse",
        "",
        "FAIL  fuse: there is no /dev/fuse",
        "load the module (modprobe fuse), or give it to the container",
    ),
    "no tun": (
        "mount --bind /dev/null /dev/net/tun",
        "",
        "FAIL  tap: /dev/net/tun is not the kernel's: Inappropriate ioctl for device",
        "rm /dev/net/tun; mknod /dev/net/tun c 10 200",
    ),
    "closed to others": (
        "mount --bind /dev/null /etc/fuse.conf",
        USER,
        "ok    other users: can't use a mount of nobody, and neither can root",
        "as root: echo user_allow_other >>/etc/fuse.conf; then mount with --allow-other",
    ),
    "open to others": (
        "echo user_allow_other >/mnt/conf && mount --bind /mnt/conf /etc/fuse.conf",
        USER,
        "ok    other users: may use nobody's mounts with --allow-other",
        "",
    ),
}


@pytest.mark.parametrize(("before", "prefix", "told", "fix"), WRONG.values(), ids=WRONG)
@pytest.mark.needs("readable")
def test_what_is_wrong_is_named_with_its_fix(before: str, prefix: str, told: str, fix: str) -> None:
    done = doctor(before, prefix)
    assert f"{told}\n" + (f"      fix: {fix}\n" if fix else "") in done.stdout
    assert "Traceback" not in done.stderr


def test_libfuse_functions_that_are_not_ours(tmp_path: Path) -> None:
    """Another library defines libfuse's functions first, as LD_PRELOAD can make it."""
    source = tmp_path / "other.c"
    source.write_text("int fuse_session_process_buf(void) { return 0; } int fuse_reply_open(void) { return 0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "other.so", source], check=True, timeout=60)
    done = doctor("true", f"env LD_PRELOAD={tmp_path}/other.so")
    assert done.returncode == 1
    assert "FAIL  libfuse hooks: can't be loaded: libfuse's " in done.stdout
    assert "fix: reinstall with a C compiler and libfuse3-dev; unset LD_PRELOAD" in done.stdout
