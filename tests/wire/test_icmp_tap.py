"""icmp against the Linux stack on the other side of a TAP."""

import re
import subprocess

import pytest

pytestmark = pytest.mark.needs("root", "tap", "fuse")


OURS = {4: "10.0.2.15", 6: "fd00:a02::15"}
THEIRS = {4: "10.0.2.2", 6: "fd00:a02::2"}
FAMILIES = pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.full)])


@pytest.fixture(scope="module")
def dual(module_tap_network):
    """Both sides have an address of IPv6 too."""
    module_tap_network.run_peer(["ip", "-6", "addr", "add", f"{THEIRS[6]}/64", "dev", "schemefs0", "nodad"])
    (module_tap_network.mount.path / "netcfg/ifaces/eth0/addr/add").write_text(f"{OURS[6]}/64\n")
    return module_tap_network


def cat(network, name, timeout=20):
    done = subprocess.run(
        ["cat", network.mount.path / name], check=False, capture_output=True, text=True, timeout=timeout
    )
    return done.stdout + done.stderr


def test_the_first_ping_of_the_peer_is_answered(tap_network):
    done = tap_network.run_peer(["ping", "-c", "3", "-i", "0.2", "-W", "2", tap_network.address])
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.stdout


@FAMILIES
def test_pings_of_every_size_are_answered(dual, family):
    for size in ("0", "1", "1472", "1473", "65507"):
        # Two replies of 65507 octets in fragments don't fit the socket of a ping that gets no time between them.
        interval = "0.01" if len(size) < 5 else "0.3"
        done = dual.run_peer(["ping", "-c", "2", "-i", interval, "-s", size, "-W", "2", OURS[family]])
        assert "2 received" in done.stdout, (size, done.stdout)


@FAMILIES
def test_a_flood_loses_nothing(dual, family):
    done = dual.run_peer(["ping", "-q", "-f", "-c", "500", "-W", "2", OURS[family]])
    assert "500 received" in done.stdout


@FAMILIES
def test_the_peer_is_pinged_by_cat(dual, family):
    said = cat(dual, f"icmp/ping/{THEIRS[family]},count=5,interval=0.05").splitlines()
    assert said[-2] == "5 packets transmitted, 5 packets received, 0.00% packet loss"
    assert cat(dual, f"icmp/ping/{THEIRS[family]},count=1,size=8000").count(" ttl=64 ") == 1


def test_nobody_there_is_said_in_words(module_tap_network):
    said = cat(module_tap_network, "icmp/ping/10.0.2.77,count=1")
    assert "From 10.0.2.15 icmp_seq=0 Destination Host Unreachable" in said


def test_the_peers_own_errors_are_shown(module_tap_network):
    module_tap_network.run_peer(["ip", "route", "add", "prohibit", "10.77.0.0/16"])
    module_tap_network.run_peer(["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
    said = cat(module_tap_network, "icmp/ping/10.77.0.1,count=1")
    assert "From 10.0.2.2 icmp_seq=0 Packet filtered" in said


def test_a_trace_finds_the_peer_and_what_is_behind_it(module_tap_network):
    said = cat(module_tap_network, "icmp/trace/10.0.2.2").splitlines()
    assert re.fullmatch(r" 1  10\.0\.2\.2  [\d.]+ms", said[1])


def test_tshark_finds_every_checksum_right(module_tap_network):
    capture = module_tap_network.start_peer(
        ["tshark", "-l", "-n", "-i", "schemefs0", "-a", "packets:4", "-T", "fields", "-e", "icmp.checksum.status",
         "-e", "ip.checksum.status", "-o", "ip.check_checksum:TRUE", "icmp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert capture.stderr is not None
    for line in capture.stderr:
        if "Capturing on" in line:
            break
    cat(module_tap_network, "icmp/ping/10.0.2.2,count=20,interval=0.1")
    output, _ = capture.communicate(timeout=20)
    rows = output.split("\n")
    assert rows[:4] == ["1\t1"] * 4
