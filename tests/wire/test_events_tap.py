"""`events` tells the whole story of a connection over the TAP: ARP, handshake, polls, a loss and what became of it."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
OCTETS = 400_000


def are_in_order(patterns: list[str], lines: list[str]) -> bool:
    """Return whether the patterns are found in the lines in this order, with anything between."""
    rest = iter(lines)
    return all(any(re.search(pattern, line) for line in rest) for pattern in patterns)


@pytest.fixture
def story(module_tap_network: TapNetwork, family: Family) -> list[str]:
    """What `events` says of one connection that asks for its neighbor, waits by poll, and loses a segment."""
    network = module_tap_network
    root = network.mount.path
    server = network.start_peer([sys.executable, PEERS, "sink", "7401"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    (root / "netcfg/ifaces/eth0/impair").write_text("delay 150ms direction in\n")
    client = os.open(root / f"tcp/{family.peer.at(7401)},events", os.O_RDWR | os.O_NONBLOCK)
    try:
        name = os.getxattr(client, "user.conversation").decode()
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        assert poll.poll(10_000) == [(client, select.POLLOUT)]
        (root / "netcfg/ifaces/eth0/impair").write_text("loss 3% direction out seed 1\n")
        os.set_blocking(client, True)
        rest = memoryview(os.urandom(OCTETS))
        while rest:
            rest = rest[os.write(client, rest[:60_000]) :]
            os.fsync(client)
        lines = (root / name / "events").read_text().splitlines()
        (root / "netcfg/ifaces/eth0/impair").write_text("none\n")
        return lines
    finally:
        os.close(client)


def test_the_story_of_a_connection(story: list[str], family: Family) -> None:
    pid, peer, end = os.getpid(), re.escape(family.peer), re.escape(family.peer.at(7401))
    expected = [
        rf"^\+0\.\d+ open pid {pid} O_NONBLOCK$",
        rf"^\+0\.\d+ SYN out to {end} \(try 1\)$",
        rf"^\+0\.\d+ {family.neighbors} who-has {peer} \(try 1\)$",
        rf"^\+\d\.\d+ {family.neighbors} {peer} is-at [0-9a-f:]{{17}}$",
        rf"SYN-ACK in from {end}",
        r"SYN_SENT -> ESTABLISHED",
        r"write of 60000: 60000",
        r"\d+ octets wait: the congestion window is full",
        r"sack, \d+ octets overtaken by \d+ -> fast retransmit \d+:\d+, cwnd \d+$",
        r", again \(fast recovery\)",
        r"all of the fast recovery is acknowledged -> open",
        r"fsync: all is acknowledged",
    ]
    assert are_in_order(expected, story), "\n".join(story)
    # The peer's answers may come before the program polls.
    polls = [rf"poll pid {pid} -> none, parked$", r"fevent OUT -> 1 waker$", rf"poll pid {pid} -> OUT$", "write of"]
    assert are_in_order(polls, story), "\n".join(story)
    times = [float(line.split()[0]) for line in story]
    assert times == sorted(times)
