"""The table of docs/ci.md: what works in a container's root, which a bounding set and missing devices make here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root", "fuse", "tap", "passt")

ROOT = Path(__file__).parents[2]
# docker run without --cap-add and --cap-drop
DOCKER = (
    "chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod"
    ",+audit_write,+setfcap"
)
NO_FUSE = "touch /mnt/f && mount --bind /mnt/f /dev/fuse &&"
NO_TUN = "mount -t tmpfs none /dev/net &&"
JOBS = {
    "root with Docker's capabilities": (NO_FUSE + NO_TUN, ""),
    "the same with /dev/fuse": (NO_TUN, ""),
    "the same with CAP_SYS_ADMIN": (NO_TUN, ",+sys_admin"),
    "the same with CAP_NET_ADMIN and /dev/net/tun": ("", ",+sys_admin,+net_admin"),
}
# passt wants a way out
ROUTE = "ip link add up0 type veth peer name up1; ip address add 192.0.2.1/24 dev up0; ip link set up0 up; "
ROUTE += "ip link set up1 up; ip route add default via 192.0.2.2"
CLIENT = (
    "import socket; server = socket.create_server(('127.0.0.1', 8000)); socket.create_connection(('127.0.0.1', 8000))"
)
ROWS = re.findall(r"^\| ([^|]+) \| (yes|no) \| (\w+) \| (yes|no) \|$", (ROOT / "docs/ci.md").read_text(), re.MULTILINE)


def test_the_table_has_all_jobs() -> None:
    assert set(JOBS) <= {job for job, *_ in ROWS}
    assert len(ROWS) == len(JOBS) + 2  # those of a user


@pytest.mark.full
@pytest.mark.parametrize(("job", "loopback", "default", "lab"), [row for row in ROWS if row[0] in JOBS])
def test_what_works(job: str, loopback: str, default: str, lab: str) -> None:
    before, more = JOBS[job]
    inside = f"setpriv --bounding-set=-all,+{DOCKER}{more} --inh-caps=-all {sys.executable} -m schemefs"
    script = f"""
        mount -t tmpfs none /mnt && {before} mkdir /mnt/m || exit 9
        try() {{ word=$1; shift; {inside} "$@" >/mnt/out 2>&1; echo "$word $?"; cat /mnt/out; }}
        try loopback mount /mnt/m --driver loopback; {inside} umount /mnt/m >/dev/null 2>&1
        try default mount /mnt/m; {inside} umount /mnt/m >/dev/null 2>&1
        try run run --driver loopback -- {sys.executable} -c "{CLIENT}"
        try lab lab -- true
    """
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", f"ip link set lo up; {ROUTE}; {script}"],
        check=False, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode != 9, done.stderr
    status = {word: int(code) for word, code in re.findall(r"^(\w+) (\d+)$", done.stdout, re.MULTILINE)}
    assert [status["loopback"] == 0, status["run"] == 0] == [loopback == "yes"] * 2, done.stdout
    assert (status["default"] == 0) == (default != "no"), done.stdout
    assert default == "no" or f"on {default.upper()} " in done.stdout
    assert (status["lab"] == 0) == (lab == "yes"), done.stdout
    assert "Traceback" not in done.stdout
