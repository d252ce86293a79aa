"""`schemefs doctor`: each thing that is wrong is named with its fix. What is wrong is made so in private namespaces."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.variant import COMPILED, variant

pytestmark = pytest.mark.needs("root", "fuse")

USER = "setpriv --reuid 65534 --regid 65534 --clear-groups"


OPEN_FUSE = "mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse"
OPEN_TUN = "mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun"
CLOSED_TUN = "mknod -m 600 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun"
# The root of a user namespace has a limit of its own: that of the machine does not change.
NO_MORE_NAMESPACES = """{
    unshare --user sleep 60 & other=$!; trap 'kill $other' EXIT
    until echo 0 0 65536 >/proc/$other/uid_map; do :; done 2>/mnt/errors
    echo 0 0 65536 >/proc/$other/gid_map
    nsenter --user=/proc/$other/ns/user --setuid 0 --setgid 0 sh -c 'echo 0 >/proc/sys/user/max_user_namespaces'
}"""
BROKEN_PASST = (
    "printf '#!/bin/sh\necho it is broken >&2; exit 3' >/mnt/p && chmod 755 /mnt/p"
    " && mount --bind /mnt/p $(command -v passt)"
)
NO_PASST = "mount --bind /dev/null $(command -v passt)"


def doctor(before: str, prefix: str = "") -> subprocess.CompletedProcess[str]:
    """Run it in a mount namespace in which the shell lines *before* were run."""
    return inside(f"{before} && exec {prefix} {sys.executable} -m schemefs doctor")


def inside(script: str) -> subprocess.CompletedProcess[str]:
    """Run *script* in a mount namespace, where /mnt is empty."""
    script = f"mount -t tmpfs none /mnt && {script}"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=30,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip


def test_it_says_which_core_runs() -> None:
    plain = "core: runs as plain Python: all works, slower\n      fix: reinstall"
    line = "core: is compiled\n" if variant() == COMPILED else plain
    assert f"ok    {line}" in doctor("true").stdout


LAB_AND_RUN = (
    "ok    lab: hosts, routers and bad links for programs (schemefs lab) can be had\n"
    "ok    run: unmodified programs over a mount (schemefs run) are possible"
)

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
    "closed tun": (
        CLOSED_TUN,
        USER,
        "no    lab: no permission to open /dev/net/tun",
        "as root: modprobe tun; chmod 666 /dev/net/tun",
    ),
    "a lab and a run": ("true", "", LAB_AND_RUN, ""),
    "a uid without a name": (
        "true",
        "setpriv --reuid 4242 --regid 4242 --clear-groups",
        "FAIL  mounting: uid 4242 has no entry in /etc/passwd: fusermount3 can't determine its name",
        "as root: useradd --uid 4242 NAME",
    ),
    "closed to others": (
        "mount --bind /dev/null /etc/fuse.conf",
        USER,
        "no    other users: can't use a mount of nobody, and neither can root",
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


# What is so -> the shell line that makes it so, a prefix, what doctor says, and what a mount without --driver says.
PAIRS = {
    "closed fuse": (
        "mknod -m 600 /mnt/f c 10 229 && mount --bind /mnt/f /dev/fuse",
        USER,
        "FAIL  fuse: /dev/fuse has the mode 0600",
        "/dev/fuse has the mode 0600",
    ),
    "no privilege": (
        "true",
        "unshare --net setpriv --bounding-set -sys_admin --inh-caps=-all",  # tests beside this one have TAPs
        "FAIL  mounting: CAP_SYS_ADMIN is not to be had here",
        "Operation not permitted",
    ),
    "no new privileges": (
        OPEN_FUSE,
        f"{USER} --no-new-privs",
        "FAIL  mounting: no_new_privs is set: fusermount3 can't become root",
        "Operation not permitted",
    ),
    "fusermount3 without setuid": (
        f"{OPEN_FUSE} && cp $(command -v fusermount3) /mnt/plain && mount --bind /mnt/plain $(command -v fusermount3)",
        USER,
        "fusermount3 is not setuid root: only root can mount",
        "Operation not permitted",
    ),
    "no passt, no tun": (
        f"{OPEN_FUSE} && {CLOSED_TUN} && {NO_PASST}",
        USER,
        "ok    default driver: loopback (no tap: uid 65534 may not open /dev/net/tun (root may); no passt: ",
        "(lo 127.0.0.1/8 and ::1/128 only; no tap: ",
    ),
    "a broken passt": (
        f"{OPEN_FUSE} && {CLOSED_TUN} && {BROKEN_PASST}",
        USER,
        "FAIL  passt: passt can't give a network (it is broken)",
        "passt can't give a network (it is broken)",
    ),
    "a broken passt that is not needed": (
        "mount --bind /bin/false $(command -v passt)",
        "unshare --net",
        "no    passt: passt can't give a network (it has ended with status 1)",
        "on TAP",
    ),
    "root without a tun": (
        "mount -t tmpfs none /dev/net",
        "",
        "no    tap: there is no /dev/net/tun",
        "no tap: there is no /dev/net/tun)",
    ),
    "a tun for root alone": (
        f"{OPEN_FUSE} && {OPEN_TUN} && {NO_PASST}",
        USER,
        "no    tap: /dev/net/tun can be opened, but a TAP needs root or CAP_NET_ADMIN",
        "(lo 127.0.0.1/8 and ::1/128 only; no tap: a TAP needs root or CAP_NET_ADMIN",
    ),
    "no user namespaces": (
        f"{OPEN_FUSE} && {CLOSED_TUN} && {NO_MORE_NAMESPACES}",
        f"nsenter --user=/proc/$other/ns/user --setuid 0 --setgid 0 unshare --mount --net {USER}",
        "FAIL  passt: passt can't give a network",
        "passt can't give a network",
    ),
}


QUICK = ("no privilege", "no new privileges", "no passt, no tun", "a broken passt", "no user namespaces")


@pytest.mark.parametrize(
    ("before", "prefix", "told", "mounted"),
    [pytest.param(*row, id=name, marks=() if name in QUICK else pytest.mark.full) for name, row in PAIRS.items()],
)
@pytest.mark.needs("readable", "passt")
def test_doctor_says_what_a_mount_then_meets(before: str, prefix: str, told: str, mounted: str) -> None:
    """Neither is ok where the other fails: doctor's status is that of the mount, its reason too."""
    schemefs = f"{sys.executable} -m schemefs"
    script = f"""
        {before} && mkdir /mnt/m && chown 65534 /mnt/m || exit 9
        {prefix} {schemefs} mount /mnt/m 2>&1; echo mount: $?
        {prefix} {schemefs} doctor; echo doctor: $?
        {prefix} {schemefs} umount /mnt/m
    """
    done = inside(script)
    assert done.returncode != 9, done.stderr
    status = {word: int(code) for word, code in re.findall(r"^(mount|doctor): (\d+)$", done.stdout, re.MULTILINE)}
    assert told in done.stdout
    assert mounted in done.stdout
    assert bool(status["mount"]) == bool(status["doctor"]), done.stdout
