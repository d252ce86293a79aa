"""ssh through a mount: `ProxyCommand='schemefs nc %h %p'` to a real sshd, which sees the mount's address."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import FAMILIES, Family

SSHD = shutil.which("sshd")
pytestmark = [
    pytest.mark.needs("fuse", "tap", "root", "ssh", "ssh-keygen"),
    pytest.mark.skipif(SSHD is None, reason="no sshd: openssh-server would start one on this machine"),
]


@pytest.fixture(scope="module")
def options(module_tap_network: TapNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run sshd on the peer's side; return ssh's words up to the host."""
    keys = tmp_path_factory.mktemp("keys")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True, timeout=20)
    known = ",".join(one.peer for one in FAMILIES)
    (keys / "known").write_text(f"{known} {(keys / 'host.pub').read_text()}")
    server = (
        "mount -t tmpfs none /run && mkdir /run/sshd && "
        f"exec {SSHD} -D -e -f /dev/null -h {keys}/host -o AuthorizedKeysFile={keys}/user.pub "
        "-o StrictModes=no -o UsePAM=no"
    )
    with module_tap_network.start_peer(["unshare", "--mount", "sh", "-c", server], stderr=subprocess.PIPE) as sshd:
        assert any("listening on 0.0.0.0 port 22" in line for line in sshd.stderr)
        yield [
            "ssh", "-F", "none", "-i", str(keys / "user"), "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={keys}/known",
            "-o", f"ProxyCommand={Path(sys.executable).parent}/schemefs nc %h %p",
        ]  # fmt: skip
        sshd.terminate()


def test_a_command_and_its_files(options: list[str], module_tap_network: TapNetwork, family: Family) -> None:
    octets = os.urandom(1 << 20)
    command = [*options, f"root@{family.peer}", "echo $SSH_CONNECTION >&2; cat"]
    environment = os.environ | {"SCHEME": str(module_tap_network.mount.path)}
    done = subprocess.run(command, input=octets, check=False, capture_output=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == octets
    words = done.stderr.split()
    assert (words[0], words[2:]) == (family.ours.encode(), [family.peer.encode(), b"22"])
