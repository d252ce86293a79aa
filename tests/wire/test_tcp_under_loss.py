"""Our sender and Linux's CUBIC under the same impairment: at least 0.8 of its goodput, both measured in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = [pytest.mark.needs("fuse", "tap", "root"), pytest.mark.full]

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
DELAY = "delay 20ms"
SEEDS = (1, 2, 3)

CUBIC_SOURCE = """
import socket, sys
with socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    print("ready", flush=True)
    connection, _ = listener.accept()
    with connection, open(sys.argv[2], "rb") as file:
        connection.sendfile(file)
"""


def serve(network: TapNetwork, *command: str) -> subprocess.Popen[str]:
    """Start a server on the peer and wait until it listens."""
    server = network.start_peer([sys.executable, *command], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def impair(network: TapNetwork, *lines: str) -> None:
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("".join(f"{line}\n" for line in lines))


def we_send(network: TapNetwork, family: Family, octets: Path, port: int) -> float:
    """Return how long the peer takes to have it all."""
    sink = serve(network, PEERS, "sink", str(port))
    assert sink.stdout is not None
    began = time.monotonic()
    upload = f"cat {octets} >{network.mount.path}/tcp/{family.peer.at(port)}"
    subprocess.run(upload, shell=True, timeout=300, check=True)
    assert sink.stdout.readline().split()[1] == str(octets.stat().st_size)
    return time.monotonic() - began


def linux_sends(network: TapNetwork, family: Family, octets: Path, port: int) -> float:
    """Return how long we take to have it all."""
    serve(network, "-c", CUBIC_SOURCE, str(port), str(octets))
    began = time.monotonic()
    got = subprocess.run(
        f"cat {network.mount.path}/tcp/{family.peer.at(port)} | wc -c",
        shell=True, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert int(got.stdout) == octets.stat().st_size
    return time.monotonic() - began


@pytest.mark.parametrize(("loss", "size"), [("0.1%", 16 << 20), ("1%", 4 << 20)])
def test_goodput_under_loss(
    module_tap_network: TapNetwork, family: Family, tmp_path: Path, loss: str, size: int
) -> None:
    network = module_tap_network
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(size))
    # What a connection has learned must not help the next: every transfer starts anew, as ours do.
    network.run_peer(["sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1"])
    ours = theirs = 0.0
    base = 7300 + int(float(loss[:-1]) * 100)
    for seed in SEEDS:
        impair(network, f"loss {loss} {DELAY} direction out seed {seed}", f"{DELAY} direction in")
        ours += we_send(network, family, octets, base + 2 * seed)
        impair(network, f"loss {loss} {DELAY} direction in seed {seed}", f"{DELAY} direction out")
        theirs += linux_sends(network, family, octets, base + 2 * seed + 1)
    impair(network, "none")
    total = len(SEEDS) * size / 1e6
    sys.stdout.write(f"loss {loss}: ours {total / ours:.2f} MB/s, Linux {total / theirs:.2f} MB/s\n")
    assert theirs / ours >= 0.8
