"""What goes over the wire, in tshark's eyes: both orders of close, refusals, and every checksum."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import FAMILIES, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

OURS = {one.ours for one in FAMILIES}
PEERS = str(Path(__file__).with_name("tcp_peers.py"))


@pytest.fixture(scope="module")
def shared() -> Iterator[TapNetwork]:
    """Without offload, so that every frame on the TAP is complete and every checksum can be judged."""
    with TapNetwork("--offload", "off", log_level="info") as made:
        yield made


@pytest.fixture
def network(shared: TapNetwork, family: Family) -> TapNetwork:
    family.prepare(shared)
    return shared


@contextmanager
def capture(network: TapNetwork, path: Path) -> Iterator[None]:
    """Capture what is on the TAP while the block runs; the buffer is large enough to miss nothing."""
    command = ["tcpdump", "-i", "schemefs0", "-U", "-w", str(path), "--immediate-mode", "-B", "100000"]
    tcpdump = network.start_peer(command, stderr=subprocess.PIPE)
    assert tcpdump.stderr is not None
    while "listening on" not in tcpdump.stderr.readline():
        assert tcpdump.poll() is None
    yield
    while any(path.name.isdecimal() for path in (network.mount.path / "tcp").iterdir()):
        pass  # conversations close in the background, until the peer's FIN
    # A frame sent after all others, seen in the file, says that they are in it too.
    network.run_peer(["ping", "-c", "1", "-p", "5eed5eed", network.address])
    while b"\x5e\xed" * 8 not in path.read_bytes():
        assert tcpdump.poll() is None
    tcpdump.terminate()
    tcpdump.wait()


def tshark(path: Path, display: str, *fields: str) -> list[list[str]]:
    """Return the fields of each frame that matches."""
    options = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    shown = subprocess.run(
        [*command, "-Y", display, "-T", "fields", *options], capture_output=True, text=True, check=True
    )
    return [row.split("\t") for row in shown.stdout.splitlines()]


def exchange(path: Path) -> list[str]:
    """Return who sent SYN, FIN and RST, in order: `ours FIN`."""
    rows = tshark(path, "tcp.flags & 7", "_ws.col.Source", "tcp.flags.syn", "tcp.flags.fin", "tcp.flags.reset")
    names = ("SYN", "FIN", "RST")
    return [
        f"{'ours' if source in OURS else 'peer'} "
        + " ".join(name for name, flag in zip(names, flags, strict=True) if flag in ("1", "True"))
        for source, *flags in rows
    ]


def bad_checksums(path: Path) -> list[list[str]]:
    """Return the frames whose IP, TCP, UDP or ICMP checksum tshark calls bad.

    The kernel at the other end completes a partial TCP checksum of 0 as 0xFFFF, which is 0 too (RFC 1071): one frame in
    65,536 has it.
    """
    wrong = (
        "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0"
    )
    peers = " || ".join(f"{one.pick('ip', 'ipv6')}.src == {one.peer}" for one in FAMILIES)
    wrong = f"({wrong} || icmpv6.checksum.status == 0) && !(({peers}) && tcp.checksum == 0xffff)"
    return tshark(path, wrong, "frame.number", "_ws.col.Source", "_ws.col.Info")


def start(network: TapNetwork, role: str, *arguments: str) -> None:
    server = network.start_peer([sys.executable, PEERS, role, "7001", *arguments], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()


def shell(script: str) -> str:
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


def test_the_peer_closes_first(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("hello\n" * 1000)
    start(network, "source", str(page))
    with capture(network, tmp_path / "pcap"):
        assert shell(f"cat {network.mount.path}/tcp/{family.peer.at(7001)}") == page.read_text()
    assert exchange(tmp_path / "pcap") == ["ours SYN", "peer SYN", "peer FIN", "ours FIN"]
    assert bad_checksums(tmp_path / "pcap") == []


def test_we_close_first(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    start(network, "sink")
    with capture(network, tmp_path / "pcap"):
        shell(f"exec 3<>{network.mount.path}/tcp/{family.peer.at(7001)}; echo hello >&3; exec 3>&-")
    assert exchange(tmp_path / "pcap") == ["ours SYN", "peer SYN", "ours FIN", "peer FIN"]
    assert bad_checksums(tmp_path / "pcap") == []


def test_a_writer_into_an_echo_server_never_resets(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    start(network, "echo")
    with capture(network, tmp_path / "pcap"):
        shell(f"head -c 3000000 /dev/urandom >{network.mount.path}/tcp/{family.peer.at(7001)}")
    found = exchange(tmp_path / "pcap")
    assert found[:2] == ["ours SYN", "peer SYN"]
    assert found[2:] == ["ours FIN", "peer FIN"]
    assert bad_checksums(tmp_path / "pcap") == []


def test_unread_octets_reset_the_peer_as_on_linux(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_bytes(bytes(100_000))
    start(network, "source", str(page))
    with capture(network, tmp_path / "pcap"):
        shell(f"exec 3<>{network.mount.path}/tcp/{family.peer.at(7001)}; head -c 10 <&3 >/dev/null; exec 3>&-")
    assert "ours RST" in exchange(tmp_path / "pcap")
    assert bad_checksums(tmp_path / "pcap") == []


def test_a_closed_port_refuses(network: TapNetwork, family: Family, tmp_path: Path) -> None:
    with capture(network, tmp_path / "pcap"):
        said = shell(f"cat {network.mount.path}/tcp/{family.peer.at(7999)}; cat {network.mount.path}/tcp/err")
    assert "Connection refused" in said
    assert f"RST from {family.peer.at(7999)} in answer to SYN" in said
    assert exchange(tmp_path / "pcap") == ["ours SYN", "peer RST"]


@pytest.mark.parametrize("role", ["source", "sink"])
def test_expert_information_has_no_warning_of_ours(
    network: TapNetwork, family: Family, tmp_path: Path, role: str
) -> None:
    """Three million octets to us, or from us.

    On a busy machine `cat` is slow, so the window closes, or we are, so that the peer sends again what has arrived:
    that we say so is no fault.
    """
    page, connection = tmp_path / "page", f"{network.mount.path}/tcp/{family.peer.at(7001)}"
    page.write_bytes(bytes(3_000_000))
    start(network, role, *([str(page)] if role == "source" else []))
    with capture(network, tmp_path / "pcap"):
        shell(f"cat {connection} >/dev/null" if role == "source" else f"cat {page} >{connection}")
    ours = f"{family.pick('ip', 'ipv6')}.src == {family.ours} && _ws.expert.severity >= 0x600000"
    slowness = "tcp.analysis.zero_window || tcp.options.sack.dsack"
    warnings = tshark(tmp_path / "pcap", f"{ours} && !({slowness})", "_ws.col.Info")
    assert warnings == []
    assert bad_checksums(tmp_path / "pcap") == []
