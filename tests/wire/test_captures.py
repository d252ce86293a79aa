"""Captures of a link, read by dpkt and by tshark: what became of each frame, filters, options, rights, loss."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dpkt
import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))


class Capture:
    """What `cat` has read of a capture."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def packets(self) -> list[tuple[bytes, list[str]]]:
        """Return each packet with its comments, by dpkt."""
        octets = self.path.read_bytes()
        found, at = [], 0
        while at < len(octets):
            length = int.from_bytes(octets[at + 4 : at + 8], "little")
            block = octets[at : at + length]
            if int.from_bytes(block[:4], "little") == 6:
                packet = dpkt.pcapng.EnhancedPacketBlockLE(block)
                found.append((packet.pkt_data, [one.text for one in packet.opts if one.code == 1]))
            at += length
        return found

    def comments(self) -> list[str]:
        """Return all comments."""
        return [comment for _, comments in self.packets() for comment in comments]

    def tshark(self, *fields: str, keep: str = "") -> list[list[str]]:
        """Return fields of the packets that the display filter *keep* shows, by tshark."""
        command = ["tshark", "-r", str(self.path), "-T", "fields", *(f"-e{field}" for field in fields), "-Y", keep]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [line.split("\t") for line in done.stdout.splitlines()]


@contextmanager
def capture(network: TapNetwork, path: Path, name: str = "capture.pcapng", filter_text: str = "") -> Iterator[Capture]:
    """Capture into *path* until the context ends; what was queued until then is in it."""
    source = os.open(network.mount.path / "network/eth0" / name, os.O_RDWR | os.O_NONBLOCK)
    with path.open("wb") as file:
        if filter_text:
            os.write(source, filter_text.encode())
        yield Capture(path)
        while True:
            try:
                file.write(os.read(source, 1 << 20))
            except BlockingIOError:
                break
    os.close(source)


@pytest.fixture(scope="module")
def network(module_tap_network: TapNetwork) -> TapNetwork:
    return module_tap_network


@pytest.fixture(autouse=True)
def _clear_link(network: TapNetwork) -> Iterator[None]:
    yield
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("none\n")


def fetch(network: TapNetwork, family: Family, port: int, size: int, tmp_path: Path) -> None:
    """Receive *size* octets from a peer."""
    octets = tmp_path / f"octets-{port}"
    octets.write_bytes(os.urandom(size))
    peer = network.start_peer([sys.executable, PEERS, "source", str(port), str(octets)], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    got = subprocess.run(
        ["cat", network.mount.path / "tcp" / family.peer.at(port)], check=True, capture_output=True, timeout=30
    )
    assert got.stdout == octets.read_bytes()


@pytest.mark.needs("tshark")
def test_tshark_and_our_comments_agree(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("drop tcp synack 1; in drop tcp data 3\n")
    with capture(network, tmp_path / "a.pcapng", filter_text="tcp") as captured:
        fetch(network, family, 7001, 40_000, tmp_path)
    rows = captured.tshark(
        "frame.comment", "tcp.analysis.retransmission", "tcp.analysis.out_of_order", "tcp.checksum.status",
        "tcp.analysis.duplicate_ack",
    )  # fmt: skip
    comments = [row[0] for row in rows]
    assert "again: SYN, try 2" in comments
    assert [comment for comment in comments if "dropped: impaired, by_rule" in comment] != []
    assert any(comment.startswith("out of order: ") for comment in comments)
    assert "in order again: it fills the hole" in comments
    for comment, again, _, _, duplicate in rows:
        if comment.startswith("again: "):
            assert again, comment
        if duplicate:
            assert comment.startswith(("ack: duplicate", "challenge")), comment  # of a SYN-ACK that is sent again
    assert {frame_length <= 1514 for frame_length in (len(octets) for octets, _ in captured.packets())} == {True}


def test_checksums_and_lengths_are_those_of_the_wire(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    with capture(network, tmp_path / "b.pcapng", filter_text="tcp port 7002") as captured:
        fetch(network, family, 7002, 200_000, tmp_path)
    done = subprocess.run(
        ["tshark", "-o", "tcp.check_checksum:TRUE", "-r", str(captured.path), "-Y", "tcp.checksum.status != 1"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ""
    assert sum(len(octets) for octets, _ in captured.packets()) > 200_000


def test_a_dropped_segment_says_why(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("in corrupt tcp data 1\n")
    with capture(network, tmp_path / "c.pcapng", filter_text="tcp port 7003") as captured:
        fetch(network, family, 7003, 3000, tmp_path)
    assert "dropped: bad_checksum" in captured.comments()


def test_the_filter_may_be_in_the_name_and_snap_cuts(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    with capture(
        network,
        tmp_path / "d.pcapng",
        f"capture.pcapng,snap=64,filter={family.pick('icmp', 'icmp6')} and dst net {family.peer}%2F{family.bits}",
    ) as kept:
        network.run_peer(["ping", "-c", "2", "-i", "0.2", "-s", "400", family.ours])
    packets = kept.packets()
    assert [len(octets) for octets, _ in packets] == [64, 64]
    assert {octets[14 + family.header] for octets, _ in packets} == {family.pick(0, 129)}  # echo replies
    reader = dpkt.pcapng.Reader(io.BytesIO(kept.path.read_bytes()))
    assert reader.datalink() == dpkt.pcapng.DLT_EN10MB
    assert len(list(reader)) == 2


@pytest.mark.needs("tshark")
def test_tshark_knows_the_names_of_the_hosts_file(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    hosts = network.mount.path / "netcfg/resolv/hosts"
    before = hosts.read_text()
    hosts.write_text(f"{family.peer} peer-of-captures.test\n")
    with capture(network, tmp_path / "names.pcapng", filter_text=family.pick("icmp", "icmp6")) as captured:
        network.run_peer(["ping", "-c", "1", family.ours])
    hosts.write_text(before)
    command = ["tshark", "-r", str(captured.path), "-q", "-z", "hosts"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert f"{family.peer}\tpeer-of-captures.test" in done.stdout


def test_a_slow_reader_loses_frames_and_the_capture_says_how_many(
    network: TapNetwork, family: Family, tmp_path: Path
) -> None:
    source = os.open(
        network.mount.path / "network/eth0/capture.pcapng,filter=tcp port 7005 or icmp or icmp6", os.O_RDONLY
    )
    fetch(network, family, 7005, 20 << 20, tmp_path)
    read = 0
    while read < 15 << 20:
        read += len(os.read(source, 1 << 20))
    while len(os.read(source, 1 << 20)) == 1 << 20:  # the rest of what was queued
        pass
    network.run_peer(["ping", "-c", "1", family.ours])
    block = os.read(source, 1 << 20)
    os.close(source)
    assert int.from_bytes(block[:4], "little") == 5  # ISB
    assert block[20:24] == b"\x05\0\x08\0"  # isb_ifdrop
    assert int.from_bytes(block[24:32], "little") > 1000


@pytest.mark.parametrize(
    ("name", "filter_text", "sentence"),
    [
        ("capture.pcapng", "tcp prot 80", "the filter needs 'and' or 'or' at character 5, 'prot'"),
        ("capture.pcapng,snap=5", "", "'5' is not a number from 64 to 262144"),
        (
            "capture.pcapng,what",
            "",
            "'what' is not an option of a capture; there are: snap=OCTETS, filter=FILTER, history",
        ),
    ],
)
def test_mistakes_get_a_sentence(network: TapNetwork, name: str, filter_text: str, sentence: str) -> None:
    with (
        pytest.raises(OSError, match="Invalid argument"),
        open(network.mount.path / "network/eth0" / name, "r+b", buffering=0) as file,
    ):
        file.write(filter_text.encode())
    assert (network.mount.path / "network/err").read_text() == f"{sentence}\n"


def test_a_capture_ends_with_its_link(network: TapNetwork) -> None:
    (network.mount.path / "netcfg/ifaces/add").write_text("tap see1 host_address none\n")
    reader = subprocess.Popen(["cat", network.mount.path / "network/eth1/capture.pcapng"], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.read(4) == b"\x0a\x0d\x0d\x0a"
    (network.mount.path / "netcfg/ifaces/rm").write_text("eth1\n")
    reader.communicate(timeout=10)
    assert reader.returncode == 0


@pytest.mark.needs("tshark")
def test_a_conversation_captures_its_own_frames_and_no_others(
    network: TapNetwork, family: Family, tmp_path: Path
) -> None:
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(5000))
    for port in ("7006", "7007"):
        peer = network.start_peer([sys.executable, PEERS, "source", port, str(octets)], stdout=subprocess.PIPE)
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
    first = os.open(network.mount.path / "tcp" / family.peer.at(7006), os.O_RDWR)
    second = os.open(network.mount.path / "tcp" / family.peer.at(7007), os.O_RDWR)
    number = os.getxattr(first, "user.conversation").decode()
    source = os.open(network.mount.path / number / "capture.pcapng", os.O_RDWR)
    os.write(source, b"tcp")  # narrows: what the conversation does not own stays hidden
    for stream in (first, second):
        while os.read(stream, 1 << 16):
            pass
        os.close(stream)  # the FINs, at least, come after the beginning of the capture
    captured = Capture(tmp_path / "f.pcapng")
    with captured.path.open("wb", buffering=0) as file:
        file.write(os.read(source, 1 << 20))
        if not captured.packets():  # no frame had come yet
            file.write(os.read(source, 1 << 20))
    os.close(source)
    rows = captured.tshark("tcp.port", "frame.interface_name")
    assert {row[0].replace("7006", "").strip(",").isdecimal() for row in rows} == {True}
    assert {row[1] for row in rows} == {"eth0"}
