"""ECN against the Linux stack, with a rule of nftables as the router that marks instead of dropping (RFC 3168)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
OCTETS = 2 << 20
MARKS = "limit rate 50/second burst 5 packets"


@pytest.fixture
def network(module_tap_network: TapNetwork) -> Iterator[TapNetwork]:
    """A peer that asks for ECN, and a router that marks some of what is capable, both ways."""
    network = module_tap_network
    network.run_peer(["sysctl", "-q", "-w", "net.ipv4.tcp_ecn=1"])
    rules = "".join(
        f"add chain inet router {hook} {{ type filter hook {hook} priority -300; }}\n"
        + "".join(
            f"add rule inet router {hook} meta l4proto tcp {ip} ecn ect0 {MARKS} {ip} ecn set ce\n"
            for ip in ("ip", "ip6")
        )
        for hook in ("prerouting", "postrouting")
    )
    network.run_peer(["nft", "-f", "-"], input=f"add table inet router\n{rules}")
    try:
        yield network
    finally:
        network.run_peer(["nft", "delete", "table", "inet", "router"])


def serve(network: TapNetwork, role: str, port: int, *arguments: str) -> subprocess.Popen[str]:
    server = network.start_peer([sys.executable, PEERS, role, str(port), *arguments], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def status(network: TapNetwork, descriptor: int) -> dict[str, str]:
    name = os.getxattr(descriptor, "user.conversation").decode()
    lines = (network.mount.path / name / "status").read_text().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def test_linux_tells_us_of_marks_and_we_slow_down_without_a_loss(network: TapNetwork, family: Family) -> None:
    server = serve(network, "sink", 7501)
    octets = os.urandom(OCTETS)
    client = os.open(network.mount.path / f"tcp/{family.peer.at(7501)},ecn", os.O_RDWR)
    try:
        rest = memoryview(octets)
        while rest:
            rest = rest[os.write(client, rest) :]
        os.fsync(client)
        shown = status(network, client)
        assert shown["ecn"] == "yes"
        assert int(shown["ecn_reductions"]) > 0
        assert int(shown["ssthresh"]) < 1 << 30
    finally:
        os.close(client)
    assert server.stdout is not None
    assert server.stdout.readline().split() == [hashlib.sha256(octets).hexdigest(), str(OCTETS)]


def test_we_tell_linux_of_marks_and_it_slows_down(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(OCTETS))
    serve(network, "source", 7502, str(octets))
    client = os.open(network.mount.path / f"tcp/{family.peer.at(7502)},ecn", os.O_RDWR)
    try:
        digest = hashlib.sha256()
        while data := os.read(client, 1 << 16):
            digest.update(data)
        shown = status(network, client)
        assert shown["ecn"] == "yes"
        assert int(shown["ecn_marks"]) > 0
    finally:
        os.close(client)
    assert digest.digest() == hashlib.sha256(octets.read_bytes()).digest()


def test_linux_asks_and_we_agree(network: TapNetwork, family: Family) -> None:
    listener = os.open(network.mount.path / "tcp/:7503", os.O_RDWR)
    program = f"import socket; s = socket.create_connection(('{family.ours}', 7503)); s.sendall(b'x'); s.recv(1)"
    client = network.start_peer([sys.executable, "-c", program])
    try:
        number, _, _ = os.read(listener, 100).decode().partition(" ")
        data = os.open(network.mount.path / "tcp" / number / "data", os.O_RDWR)
        try:
            assert os.read(data, 1) == b"x"
            assert status(network, data)["ecn"] == "yes"
        finally:
            os.close(data)
    finally:
        os.close(listener)
        client.wait(10)
