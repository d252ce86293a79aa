"""Impairments between our stack and Linux's: every octet still arrives, ping sees the delay, and `none` ends it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
OCTETS = 4 << 20
IMPAIRMENT = "loss 1% delay 2ms jitter 1ms reorder 1% detour 3ms duplicate 0.5% corrupt 0.1% seed 7"


def impair(network: TapNetwork, *lines: str) -> str:
    file = network.mount.path / "netcfg/ifaces/eth0/impair"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file.read_text()


def serve(network: TapNetwork, role: str, port: int, *arguments: str) -> subprocess.Popen[str]:
    server = network.start_peer([sys.executable, PEERS, role, str(port), *arguments], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def test_tcp_both_ways_through_loss_delay_reordering_duplication_and_corruption(
    module_tap_network: TapNetwork, family: Family, tmp_path: Path
) -> None:
    network = module_tap_network
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(OCTETS))
    digest = hashlib.sha256(octets.read_bytes()).hexdigest()
    assert impair(network, IMPAIRMENT).startswith(IMPAIRMENT)
    serve(network, "source", 7101, str(octets))
    command = f"cat {network.mount.path}/tcp/{family.peer.at(7101)} | sha256sum"
    got = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=90, check=True)
    assert got.stdout.split()[0] == digest
    sink = serve(network, "sink", 7102)
    subprocess.run(f"cat {octets} >{network.mount.path}/tcp/{family.peer.at(7102)}", shell=True, timeout=90, check=True)
    assert sink.stdout is not None
    assert sink.stdout.readline().split() == [digest, str(OCTETS)]
    counted = (network.mount.path / "netcfg/ifaces/eth0/impair").read_text()
    for direction in ("in", "out"):
        counts = dict(
            re.findall(r"(\w+)=(\d+)", next(line for line in counted.splitlines() if f"# {direction}:" in line))
        )
        assert all(int(counts[name]) for name in ("dropped_lost", "corrupted", "duplicated", "reordered")), counted
    assert impair(network, "none") == "none\n"


def test_ping_sees_the_delay_and_the_end_of_it(module_tap_network: TapNetwork, family: Family) -> None:
    network = module_tap_network
    impair(network, "delay 50ms direction out", "delay 30ms direction in")
    said = network.run_peer(["ping", "-c", "2", "-i", "0.2", family.ours]).stdout
    assert all(80 <= float(time) < 200 for time in re.findall(r"time=([\d.]+)", said)), said
    assert impair(network, "none") == "none\n"
    said = network.run_peer(["ping", "-c", "2", "-i", "0.2", family.ours]).stdout
    assert all(float(time) < 50 for time in re.findall(r"time=([\d.]+)", said)), said


def test_what_is_read_can_be_written_back(module_tap_network: TapNetwork) -> None:
    network = module_tap_network
    file = network.mount.path / "netcfg/ifaces/eth0/impair"
    impair(network, "loss 1%")
    text = file.read_text()
    assert re.match(r"loss 1% seed \d+\n# in: frames=", text)
    file.write_text(text)
    assert file.read_text().splitlines()[0] == text.splitlines()[0]
    with pytest.raises(OSError, match="Invalid argument"):
        file.write_text("loss much\n")
    assert "not a percentage" in (network.mount.path / "netcfg/err").read_text()
    impair(network, "none")
