"""Readiness for systemd: the notification comes when the mount answers, and the unit file is one that systemd takes."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until

UNIT = Path(__file__).parents[2] / "contrib/schemefs.service"


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_said_when_the_mount_answers(_no_leftovers: None, tmp_path: Path, abstract: bool) -> None:
    address = f"@{tmp_path}/notify" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1))
        manager.settimeout(20)
        with SchemeMount(environment={"NOTIFY_SOCKET": address}) as mount:
            said = dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())
            assert said["READY"] == "1"
            assert said["MAINPID"] == str(mount.pid)
            assert said["STATUS"] == mount.ready_line


@pytest.mark.needs("fuse")
def test_a_manager_that_is_gone_is_no_failure(_no_leftovers: None, tmp_path: Path) -> None:
    with SchemeMount(environment={"NOTIFY_SOCKET": f"{tmp_path}/nobody"}) as mount:
        wait_until(lambda: "systemd can't be notified that the mount is ready" in mount.log(), mount.log)


@pytest.mark.needs("systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "schemefs.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/schemefs", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
