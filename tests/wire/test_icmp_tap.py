"""icmp against the Linux stack on the other side of a TAP."""

import re
import subprocess

import pytest

pytestmark = pytest.mark.needs("root", "tap", "fuse")


def cat(network, name, timeout=20):
    done = subprocess.run(
        ["cat", network.mount.path / name], check=False, capture_output=True, text=True, timeout=timeout
    )
    return done.stdout + done.stderr


@pytest.mark.both_families
def test_the_first_ping_of_the_peer_is_answered(tap_network, family):
    done = tap_network.run_peer(["ping", "-c", "3", "-i", "0.2", "-W", "2", family.ours])
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.stdout


def test_pings_of_every_size_are_answered(module_tap_network, family):
    for size in ("0", "1", "1472", "1473", "65507"):
        # Two replies of 65507 octets in fragments don't fit the socket of a ping that gets no time between them.
        interval = "0.01" if len(size) < 5 else "0.3"
        done = module_tap_network.run_peer(["ping", "-c", "2", "-i", interval, "-s", size, "-W", "2", family.ours])
        assert "2 received" in done.stdout, (size, done.stdout)


def test_a_flood_loses_nothing(module_tap_network, family):
    done = module_tap_network.run_peer(["ping", "-q", "-f", "-c", "500", "-W", "2", family.ours])
    assert "500 received" in done.stdout


def test_the_peer_is_pinged_by_cat(module_tap_network, family):
    said = cat(module_tap_network, f"icmp/ping/{family.peer},count=5,interval=0.05").splitlines()
    assert said[-2] == "5 packets transmitted, 5 packets received, 0.00% packet loss"
    assert cat(module_tap_network, f"icmp/ping/{family.peer},count=1,size=8000").count(" ttl=64 ") == 1


def test_nobody_there_is_said_in_words(module_tap_network, family):
    said = cat(module_tap_network, f"icmp/ping/{family.absent},count=1")
    reason = family.pick("Destination Host Unreachable", "Destination unreachable: Address unreachable")
    assert f"From {family.ours} icmp_seq=0 {reason}" in said
    assert f"INFO {family.neighbors.lower()}: {family.absent} does not answer" in module_tap_network.mount.log()


@pytest.mark.both_families
def test_the_peers_own_errors_are_shown(module_tap_network, family):
    behind, route = family.pick(("10.77.0.1", "10.77.0.0/16"), ("fd00:77::1", "fd00:77::/32"))
    module_tap_network.run_peer(["ip", "route", "add", "prohibit", route])
    forwarding = family.pick("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    module_tap_network.run_peer(["sh", "-c", f"echo 1 >/proc/sys/net/{forwarding}"])
    said = cat(module_tap_network, f"icmp/ping/{behind},count=1")
    reason = family.pick("Packet filtered", "Destination unreachable: Administratively prohibited")
    assert f"From {family.peer} icmp_seq=0 {reason}" in said


def test_a_trace_finds_the_peer_and_what_is_behind_it(module_tap_network, family):
    said = cat(module_tap_network, f"icmp/trace/{family.peer}").splitlines()
    assert re.fullmatch(rf" 1  {re.escape(family.peer)}  [\d.]+ms", said[1])


@pytest.mark.both_families
def test_tshark_finds_every_checksum_right(module_tap_network, family):
    fields = family.pick(["icmp.checksum.status", "ip.checksum.status"], ["icmpv6.checksum.status"])
    capture = module_tap_network.start_peer(
        ["tshark", "-l", "-n", "-i", "schemefs0", "-a", "packets:4", "-T", "fields",
         *(word for field in fields for word in ("-e", field)), "-o", "ip.check_checksum:TRUE",
         family.pick("icmp", "icmp6")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert capture.stderr is not None
    for line in capture.stderr:
        if "Capturing on" in line:
            break
    cat(module_tap_network, f"icmp/ping/{family.peer},count=20,interval=0.1")
    output, _ = capture.communicate(timeout=20)
    rows = output.split("\n")
    assert rows[:4] == ["\t".join("1" for _ in fields)] * 4
