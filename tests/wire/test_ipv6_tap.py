"""IPv6 against the Linux stack on the other side of a TAP: Neighbor Discovery, ICMPv6, TCP, UDP, fragments, MTU."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root", "tap", "fuse")

US = "fd00:a02::15"
PEER = "fd00:a02::2"
PEERS = Path(__file__).with_name("tcp_peers.py")


@pytest.fixture(scope="module")
def v6(module_tap_network):
    """Both sides have a unique local address, and the peer a link-local one."""
    network = module_tap_network
    network.run_peer(["ip", "-6", "addr", "add", f"{PEER}/64", "dev", "schemefs0", "nodad"])
    network.run_peer(["ip", "-6", "addr", "add", "fe80::2/64", "dev", "schemefs0", "nodad"])
    (network.mount.path / "netcfg/ifaces/eth0/addr/add").write_text(f"{US}/64\n")
    return network


def cat(network, name, timeout=20):
    done = subprocess.run(
        ["cat", network.mount.path / name], check=False, capture_output=True, text=True, timeout=timeout
    )
    return done.stdout + done.stderr


def test_pings_of_the_peer_are_answered(v6):
    """RFC 4443 §4.2, with fragments both ways (RFC 8200 §4.5)."""
    for size in ("0", "56", "1452", "1453", "65000"):
        done = v6.run_peer(["ping", "-c", "1", "-s", size, "-W", "2", US])
        assert "1 received" in done.stdout, (size, done.stdout)


def test_the_peer_is_pinged_by_cat(v6):
    said = cat(v6, f"icmp/ping/[{PEER}],count=3,interval=0.05").splitlines()
    assert said[0] == f"PING {PEER} ({PEER}) 56(104) bytes of data."
    assert said[-2] == "3 packets transmitted, 3 packets received, 0.00% packet loss"
    assert cat(v6, f"icmp/ping/{PEER},count=1,size=8000").count(" ttl=64 ") == 1


def test_link_local_addresses_have_a_zone(v6):
    said = cat(v6, "icmp/ping/fe80::2%eth0,count=2,interval=0.05")
    assert "From fe80::2%eth0 icmp_seq=0 ttl=64" in said
    listed = cat(v6, "netcfg/ifaces/eth0/addr/list").splitlines()
    ours = next(line.partition("%")[0] for line in listed if line.startswith("fe80::"))
    assert "1 received" in v6.run_peer(["ping", "-c", "1", "-W", "2", f"{ours}%schemefs0"]).stdout
    assert "Invalid argument" in cat(v6, "icmp/ping/fe80::2")
    assert "write fe80::2%INTERFACE" in cat(v6, "icmp/err")


@pytest.mark.parametrize("octets", [100_000, pytest.param(100 << 20, marks=pytest.mark.full)])
def test_octets_go_both_ways(v6, tmp_path, octets):
    """With GSO in both directions: equal SHA-256."""
    data = os.urandom(octets)
    (tmp_path / "data").write_bytes(data)
    sink = v6.start_peer([sys.executable, PEERS, "sink", "9000"], stdout=subprocess.PIPE, text=True)
    source = v6.start_peer(
        [sys.executable, PEERS, "source", "9001", tmp_path / "data"], stdout=subprocess.PIPE, text=True
    )
    for peer in (sink, source):
        assert peer.stdout.readline() == "ready\n"
    with open(v6.mount.path / f"tcp/[{PEER}]:9000", "wb", buffering=0) as out:
        view = memoryview(data)
        while view:
            view = view[out.write(view[: 1 << 18]) :]
    assert sink.stdout.readline() == f"{hashlib.sha256(data).hexdigest()} {octets}\n"
    digest = hashlib.sha256()
    with open(v6.mount.path / f"tcp/[{PEER}]:9001", "rb", buffering=0) as stream:
        while piece := stream.read(1 << 18):
            digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
