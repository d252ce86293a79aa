"""A peer falls silent behind the TAP: the way is doubted, the neighbor asked, and a refusal by ICMP believed then."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
PORT = 7601


@pytest.fixture
def silence(module_tap_network: TapNetwork) -> Iterator[Callable[[str], None]]:
    """Have the peer's firewall do this from now on with what comes to the port."""
    network = module_tap_network

    def install(verdict: str) -> None:
        rules = (
            "add table inet silence\n"
            "add chain inet silence input { type filter hook input priority 0; }\n"
            f"add rule inet silence input tcp dport {PORT} {verdict}\n"
        )
        network.run_peer(["nft", "-f", "-"], input=rules)

    yield install
    network.run_peer(["nft", "delete", "table", "inet", "silence"])


@pytest.fixture
def client(module_tap_network: TapNetwork, family: Family) -> Iterator[int]:
    """A connection to a server that reads."""
    network = module_tap_network
    server = network.start_peer([sys.executable, PEERS, "sink", str(PORT)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    descriptor = os.open(network.mount.path / f"tcp/{family.peer.at(PORT)},events", os.O_RDWR)
    yield descriptor
    os.close(descriptor)
    server.kill()
    server.wait()


def wait_for(network: TapNetwork, descriptor: int, words: str) -> list[str]:
    """Follow `events` until a line has *words*; return all of them."""
    name = os.getxattr(descriptor, "user.conversation").decode()
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", str(network.mount.path / name / "events")], stdout=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        said = b""
        try:
            while words.encode() not in said:
                assert select.select([tail.stdout], [], [], 30)[0], said.decode()
                said += os.read(tail.stdout.fileno(), 1 << 16)
        finally:
            tail.kill()
    return said.decode().splitlines()


def test_after_three_retransmissions_the_neighbor_is_asked(
    module_tap_network: TapNetwork, family: Family, client: int, silence: Callable[[str], None]
) -> None:
    """RFC 9293 §3.8.3: R1."""
    silence("drop")
    os.write(client, b"hello?")
    lines = wait_for(module_tap_network, client, "is still at")
    told = [line.partition(" ")[2] for line in lines]
    doubt = next(at for at, line in enumerate(told) if "3 retransmissions without an answer" in line)
    assert f"{family.neighbors} who-has {family.peer} (try 1)" in told[doubt:]
    name = os.getxattr(client, "user.conversation").decode()
    shown = (module_tap_network.mount.path / name / "status").read_text()
    assert int(shown.partition("unanswered=")[2].split()[0]) >= 3
    assert "state=ESTABLISHED" in shown


def test_a_firewall_that_rejects_ends_a_connection_that_is_silent(client: int, silence: Callable[[str], None]) -> None:
    """RFC 9293 §3.9.2.2 SHLD-26: in seconds, not after a quarter of an hour."""
    silence("reject with icmpx type port-unreachable")
    os.write(client, b"hello?")
    assert select.select([client], [], [], 30)[0]
    with pytest.raises(OSError) as raised:
        os.read(client, 1)
    assert raised.value.errno == errno.ECONNREFUSED
