"""A Linux guest of QEMU on `--driver stream`: both connect, and the mount goes down and up with the guest.

mount 10.0.2.15 ── UNIX socket ── QEMU -netdev stream ── virtio-net ── Linux 10.0.2.2
      fd00:10:0:2::15                                                        fd00:10:0:2::2
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support import qemu_guest
from tests.support.families import Family

pytestmark = [
    pytest.mark.needs("fuse"),
    pytest.mark.full,  # a boot takes 8 s
    pytest.mark.skipif(bool(qemu_guest.lacking()), reason=qemu_guest.lacking() or "-"),
]


def wait_until_ready(guest: subprocess.Popen[str]) -> None:
    assert guest.stdout is not None
    console = ""
    for line in guest.stdout:
        console += line
        if qemu_guest.READY in line:
            return
    pytest.fail(f"the guest has ended:\n{console}")


def test_a_guest_and_its_successor(tmp_path: Path, family: Family) -> None:
    path = tmp_path / "socket"
    octets = os.urandom(1 << 20)
    ours = f"{family.ours}/{family.link.partition('/')[2]}"
    with SchemeMount("--driver", "stream", "--socket", str(path), "--listen", "--address", ours) as mount:
        state = mount.path / "netcfg/ifaces/eth0/state"
        for number in (1, 2):
            with qemu_guest.start(path, tmp_path) as guest:
                try:
                    wait_until_ready(guest)
                    assert state.read_text() == "up\n"
                    assert "1 packets received" in (mount.path / f"icmp/ping/{family.peer},count=1").read_text()
                    assert echoed(mount, family, octets) == hashlib.sha256(octets).hexdigest()
                    # The guest connects to us, and runs what it reads: a shell.
                    listener = mount.path / f"tcp/{family.ours.at(8000)},accept"
                    script = f"exec 3<>{listener} && echo uname -n >&3 && read -r name <&3 && echo $name"
                    done = subprocess.run(
                        ["bash", "-c", script], check=True, capture_output=True, text=True, timeout=60
                    )
                    assert done.stdout == "(none)\n"
                finally:
                    with (mount.path / "logging/net/stream/eth0.log,follow").open() as log:
                        guest.kill()
                        assert all(any("has lost its other end" in line for line in log) for _ in range(number))
            assert state.read_text() == "down: it has closed the connection\n"
        drops = (mount.path / "netcfg/stats/drops").read_text()
        assert "checksum" not in drops, drops


def echoed(mount: SchemeMount, family: Family, octets: bytes) -> str:
    """Return the sum of what the guest's echo server sends back."""
    script = (
        f"""exec 3<>{mount.path}/tcp/{family.peer.at(7)} 4<&0; cat <&4 >&3 & head -c {len(octets)} <&3 | sha256sum"""
    )
    done = subprocess.run(["bash", "-c", script], input=octets, check=True, capture_output=True, timeout=60)
    return done.stdout.decode().split()[0]
