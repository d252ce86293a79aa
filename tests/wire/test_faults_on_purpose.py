"""Faults that are switched on at a real TAP: transfers both ways are whole, `stats` shows the fault, nothing leaks."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

OCTETS = os.urandom(2 << 20)
DIGEST = hashlib.sha256(OCTETS).hexdigest()
# Sends all of a file to the first caller, then prints the digest of what that sends back.
PEER = """
import hashlib, socket, sys, threading
octets = open(sys.argv[1], "rb").read()
listener = socket.create_server(("", 7001), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    caller, _ = listener.accept()
    sender = threading.Thread(target=caller.sendall, args=(octets,))
    sender.start()
    digest = hashlib.sha256()
    while piece := caller.recv(1 << 20):
        digest.update(piece)
    sender.join()
    print(digest.hexdigest(), flush=True)
    caller.close()
"""
RULES = [
    "withhold completion tx 20 for 300ms",
    "withhold completion rx 20 for 300ms",
    "lose interrupt rx 3",
    "lose interrupt tx 1",
    "reorder completions tx",
    "reorder completions rx",
    "double completion tx 30",
    "double completion rx 30",
    "bad id tx 10",
    "bad id rx 10",
    "jump used rx 3",
    "jump used tx 3",
    "fill ring tx for 200ms",
    "reset device",
    "late timer 200ms",
]


def stats(network: TapNetwork) -> dict[str, str]:
    lines = (network.mount.path / "network/eth0/stats").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def exchange(network: TapNetwork, family: Family, tmp_path: Path) -> str:
    """Receive and send the octets over one connection at once; return the digest of what came."""
    program = (
        "import hashlib, os, sys, threading\n"
        "stream = os.open(sys.argv[1], os.O_RDWR)\n"
        "octets = open(sys.argv[2], 'rb').read()\n"
        "def send():\n"
        "    left = memoryview(octets)\n"
        "    while left:\n"
        "        left = left[os.write(stream, left[:65536]):]\n"
        "sender = threading.Thread(target=send)\n"
        "sender.start()\n"
        "digest, missing = hashlib.sha256(), len(octets)\n"
        "while missing:\n"
        "    piece = os.read(stream, 1 << 17)\n"
        "    assert piece, missing\n"
        "    digest.update(piece)\n"
        "    missing -= len(piece)\n"
        "sender.join()\n"
        "print(digest.hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, network.mount.path / "tcp" / family.peer.at(7001), tmp_path / "octets"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_transfers_are_whole_under_each_fault(tap_network: TapNetwork, family: Family, tmp_path: Path) -> None:
    network = tap_network
    (tmp_path / "octets").write_bytes(OCTETS)
    peer = network.start_peer([sys.executable, "-c", PEER, str(tmp_path / "octets")], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    faults = network.mount.path / "network/eth0/faults"
    for rule in RULES:
        before = stats(network)
        faults.write_text(f"{rule}\n")
        assert exchange(network, family, tmp_path) == DIGEST, rule
        assert peer.stdout.readline().strip() == DIGEST, rule
        assert "effects 1" in faults.read_text() or rule.startswith(("late", "reorder")), rule
        if rule.startswith("late"):  # a timer of tcp that fires in any case: the exchange may need none
            with pytest.raises(TimeoutError):
                os.open(network.mount.path / f"tcp/{family.absent.at(9)},timeout=0.1", os.O_RDWR)
        faults.write_text("clear\n")
        after = stats(network)
        lies = rule.startswith(("double", "bad", "jump", "reset"))
        assert int(after["device_resets"]) - int(before["device_resets"]) == lies, rule
        assert after["rx_in_flight"] == "64", rule
        wait_until(lambda: stats(network)["tx_in_flight"] == "0", lambda: (rule, stats(network)))  # noqa: B023
    faults.write_text("late timer 100ms\n")
    subprocess.run(
        ["cat", network.mount.path / f"icmp/ping/{family.peer},count=3,interval=0.01"], check=True, timeout=20
    )
    faults.write_text("clear\n")
    assert re.search(r"^late_owners=.*icmp", (network.mount.path / "netcfg/stats/timers").read_text(), re.MULTILINE)


def test_a_driver_that_posts_no_buffer_again_is_said_in_words(tap_network: TapNetwork, family: Family) -> None:
    network = tap_network
    faults = network.mount.path / "network/eth0/faults"
    faults.write_text("stop recycling rx\n")
    network.run_peer(["ping", "-f", "-c", "100", "-W", "0.1", family.ours], check=False)
    assert stats(network)["reception"] == "stopped: the device has no buffer; 64 used ones were not posted again"
    faults.write_text("clear\n")
    assert stats(network)["reception"] == "running"
    network.run_peer(["ping", "-c", "1", "-W", "5", family.ours])


def test_bad_rules_get_a_sentence(tap_network: TapNetwork) -> None:
    path = tap_network.mount.path / "network"
    for name, rule, sentence in (
        ("eth0", "keep completion tx 1", "'keep completion tx 1' is not a fault of eth0; the rules are: withhold "),
        ("eth0", "bad id tx", "'' is not a number from 1 to 65535"),
        ("lo", "reset device", "'reset device' is not a fault of lo; the rules are: late timer TIME; mute event N; "),
    ):
        with pytest.raises(OSError, match="Invalid argument"):
            (path / name / "faults").write_text(f"{rule}\n")
        assert (path / "err").read_text().startswith(sentence)


def test_a_muted_event_is_found_by_a_look(tap_network: TapNetwork, family: Family) -> None:
    """The fault of docs/field-notes.md: the datagram is there, and its reader is not told."""
    network = tap_network

    def numbers(name: str) -> list[str]:
        return re.findall(rf"^{name}.*", (network.mount.path / "stats").read_text(), re.MULTILINE)

    reader = subprocess.Popen(["head", "-c", "2", network.mount.path / "udp/:7777"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: numbers("parked") == ["parked=1"])
    (network.mount.path / "network/eth0/faults").write_text("mute event 1\n")
    network.run_peer(["bash", "-c", f"echo -n hi >/dev/udp/{family.ours}/7777"])
    assert reader.communicate(timeout=20)[0] == "hi"
    assert numbers("muted_events") == ["muted_events=1", "muted_events_found=1"]
