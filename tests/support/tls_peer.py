"""Shared by the wire tests of tls: certificates, and openssl or python as the peer on the Linux side of a TAP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from schemefs.testing.network import TapNetwork
from tests.support.families import FAMILIES, Family
from tests.support.tls_certificates import Authority, self_signed

NAME = "peer.example"


def certificates(folder: Path) -> Authority:
    """Return an authority with good.pem, client.pem, expired.pem and other.pem. NAME.pem is self-signed."""
    made = Authority(folder)
    made.certificate("good", NAME, *(address for one in FAMILIES for address in (one.peer, one.ours)))
    made.certificate("client", "client.example")
    made.certificate("expired", NAME, expired=True)
    made.certificate("other", "other.example")
    self_signed(made.folder, NAME)
    return made


def named(network: TapNetwork, family: Family) -> TapNetwork:
    """Give the peer's address the name NAME, in the hosts file."""
    (network.mount.path / "netcfg/resolv/hosts").write_text(f"{family.peer} {NAME}\n")
    return network


def quoted(path: Path) -> str:
    """Return *path* with %2F for each '/', for use inside a component of a path."""
    return str(path).replace("/", "%2F")


def s_server(network: TapNetwork, certificate: Path, *options: str) -> subprocess.Popen[str]:
    """Start openssl's server, on port 4433."""
    server = network.start_peer(
        ["openssl", "s_server", "-accept", "*:4433", "-cert", str(certificate), *(options or ["-www"])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdout is not None
    while "ACCEPT" not in (line := server.stdout.readline()):
        assert line, "openssl s_server ended"
    return server


def python(network: TapNetwork, program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python program and wait until it prints "ready"."""
    server = network.start_peer([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def shell(network: TapNetwork, command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run *command* in bash, in the mounted tree."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=network.mount.path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
