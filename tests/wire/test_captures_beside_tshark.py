"""tshark's expert analysis of a lossy link beside our comments: what it can guess from frames, the stack has said."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root", "tshark")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
PORTS = (7120, 7121)  # of the peer
SIZE = 300_000
MARKS = (
    "retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "duplicate_ack",
    "lost_segment", "window_update", "zero_window",
)  # fmt: skip
SENT_AGAIN = {"retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order"}


class Packet(NamedTuple):
    """A packet with what both say of it."""

    is_ours: bool
    comments: str
    marks: set[str]

    def says(self, *beginnings: str) -> bool:
        return any(comment.startswith(beginnings) for comment in self.comments.split(","))


@functools.cache
def packets(path: Path, keep: str) -> list[Packet]:
    """Return what tshark says of the packets that *keep* shows, as if there were no others."""
    kept = path.with_suffix(".kept")
    subprocess.run(["tshark", "-r", path, "-Y", keep, "-w", kept], check=True, capture_output=True, timeout=60)
    fields = [f"-etcp.analysis.{mark}" for mark in MARKS]
    command = ["tshark", "-r", kept, "-T", "fields", "-etcp.dstport", "-eframe.comment", *fields]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return [
        Packet(int(port) in PORTS, comments, {mark for mark, value in zip(MARKS, values, strict=True) if value})
        for port, comments, *values in rows
    ]


def sink(network: TapNetwork, family: Family, octets: bytes) -> None:
    """Send *octets* to a peer."""
    peer = network.start_peer([sys.executable, PEERS, "sink", "7120"], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    descriptor = os.open(network.mount.path / "tcp" / family.peer.at(7120), os.O_RDWR)
    left = memoryview(octets)
    while left:
        left = left[os.write(descriptor, left) :]
    os.close(descriptor)
    assert peer.stdout.readline().endswith(f" {SIZE}\n")
    peer.kill()
    peer.wait()


def source(network: TapNetwork, family: Family, path: Path) -> None:
    """Receive from a peer."""
    peer = network.start_peer([sys.executable, PEERS, "source", "7121", str(path)], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    with open(network.mount.path / "tcp" / family.peer.at(7121), "rb") as file:
        assert file.read() == path.read_bytes()
    peer.kill()
    peer.wait()


@pytest.fixture(scope="module")
def captured(module_tap_network: TapNetwork, module_family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of text in both directions over a link that loses some of it."""
    network, family = module_tap_network, module_family
    family.prepare(network)
    folder = tmp_path_factory.mktemp("captures")
    octets = os.urandom(SIZE)
    (folder / "octets").write_bytes(octets)
    rules = "delay 3ms loss 3% seed 11; out drop tcp syn 1; drop tcp data 20..22"
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text(f"{rules}\n")
    capture = os.open(network.mount.path / "network/eth0/capture.pcapng,filter=tcp", os.O_RDONLY | os.O_NONBLOCK)
    sink(network, family, octets)
    source(network, family, folder / "octets")
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("none\n")
    path = folder / "both.pcapng"
    with path.open("wb") as file:
        try:
            while True:
                file.write(os.read(capture, 1 << 20))
        except BlockingIOError:
            pass
    os.close(capture)
    return path


def test_what_we_send_again_is_what_tshark_calls_a_retransmission(captured: Path) -> None:
    ours = [packet for packet in packets(captured, "tcp") if packet.is_ours]
    again = [packet for packet in ours if packet.says("again:", "probe: TLP")]
    assert len(again) >= 3
    assert [packet for packet in again if not packet.marks & SENT_AGAIN] == []
    assert [packet for packet in ours if packet.marks & SENT_AGAIN and packet not in again] == []


def test_our_acks_are_duplicates_where_tshark_says_so(captured: Path) -> None:
    ours = [packet for packet in packets(captured, "tcp") if packet.is_ours]
    duplicates = [packet for packet in ours if "duplicate_ack" in packet.marks]
    assert duplicates
    assert [packet for packet in duplicates if not packet.says("ack: duplicate", "ack: again", "challenge")] == []
    shut = [packet for packet in ours if "zero_window" in packet.marks]
    assert [packet for packet in shut if not packet.says("ack: the window is shut", "ack: duplicate")] == []
    updates = [packet for packet in ours if packet.says("ack: window update")]
    assert [packet for packet in updates if "duplicate_ack" in packet.marks] == []


def test_what_arrives_after_a_hole_is_told_by_both(captured: Path) -> None:
    """Of the frames that the rules have left: those that they drop have arrived, as far as tshark sees."""
    theirs = [
        one for one in packets(captured, 'tcp && !(frame.comment contains "dropped: impaired")') if not one.is_ours
    ]
    holes = [packet for packet in theirs if "lost_segment" in packet.marks]
    assert holes
    assert [packet for packet in holes if not packet.says("out of order:")] == []
    filled = [packet for packet in theirs if packet.says("in order again:")]
    assert filled
    assert [packet for packet in filled if not packet.marks & SENT_AGAIN] == []
    again = [packet for packet in theirs if packet.marks & SENT_AGAIN]
    known = ("in order again:", "out of order:", "duplicate:", "overlap:")
    assert [packet for packet in again if not packet.says(*known)] == []
