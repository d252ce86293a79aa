"""Exact rules and seeds between our stack and Linux's: what crossed the TAP is captured, and tshark reads it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root", "tcpdump", "tshark")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))


@contextmanager
def impaired(network: TapNetwork, text: str) -> Iterator[Path]:
    file = network.mount.path / "netcfg/ifaces/eth0/impair"
    file.write_text(text)
    yield file
    file.write_text("none\n")


@contextmanager
def capture(network: TapNetwork, path: Path, what: str) -> Iterator[None]:
    """Write the frames that cross the TAP: what we send after the impairment, what we receive before it."""
    command = [
        "tcpdump",
        "-Z",
        "root",
        "-i",
        "schemefs0",
        "-U",
        "-w",
        str(path),
        "--immediate-mode",
        "-B",
        "50000",
        what,
    ]
    tcpdump = network.start_peer(command, stderr=subprocess.PIPE)
    assert tcpdump.stderr is not None
    while "listening on" not in tcpdump.stderr.readline():
        pass
    yield
    tcpdump.terminate()
    tcpdump.wait(10)


def fields(path: Path, condition: str, *names: str) -> list[tuple[int, ...]]:
    """Return fields of the captured frames that tshark's *condition* selects, as numbers."""
    options = [word for name in names for word in ("-e", name)]
    command = ["tshark", "-r", str(path), "-Y", condition, "-T", "fields", *options]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [tuple(int(word or 0) for word in line.split("\t")) for line in lines]


@contextmanager
def serving(network: TapNetwork, role: str, port: int) -> Iterator[subprocess.Popen[str]]:
    server = network.start_peer([sys.executable, PEERS, role, str(port)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield server
    server.kill()
    server.wait()


def upload(network: TapNetwork, family: Family, server: subprocess.Popen[str], octets: Path, port: int) -> None:
    # Whole segments in each write: a buffer that runs empty in between must not move the bounds of those that follow.
    command = f"dd if={octets} bs={40 * mss(family)} status=none >{network.mount.path}/tcp/{family.peer.at(port)}"
    subprocess.run(command, shell=True, timeout=60, check=True)
    assert server.stdout is not None
    assert int(server.stdout.readline().split()[1]) == octets.stat().st_size


def late(starts: list[int]) -> list[int]:
    """Return the sequence numbers of segments that arrived after higher ones: those whose first copy was lost."""
    highest, found = 0, set()
    for start in starts:
        if start < highest:
            found.add(start)
        highest = max(highest, start)
    return sorted(found)


def mss(family: Family) -> int:
    """Return the octets of text in a full segment with timestamps."""
    return 1500 - family.header - 32


@contextmanager
def disturbance(network: TapNetwork, family: Family) -> Iterator[None]:
    """ARP exchanges, pings and another connection, all along."""
    script = (
        f"ping -q -i 0.005 {family.ours} & while :; do ip neigh flush dev schemefs0; ping -c 1 -W 1 {family.ours}; done"
    )
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    noise = network.start_peer(["sh", "-c", script], start_new_session=True, **silent)
    with serving(network, "sink", 7802):
        other = subprocess.Popen(
            f"while :; do echo noise; sleep 0.01; done >{network.mount.path}/tcp/{family.peer.at(7802)}",
            shell=True, start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: ":7802" in network.run_peer(["ss", "-Htn", "state", "established"]).stdout)
        yield
        for child in (other, noise):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def test_the_same_seed_loses_the_same_segments_whatever_else_is_on_the_link(
    module_tap_network: TapNetwork, family: Family, tmp_path: Path
) -> None:
    network = module_tap_network
    alone, first = lost_segments(network, family, tmp_path, nullcontext())
    disturbed, second = lost_segments(network, family, tmp_path, disturbance(network, family))
    assert first != second
    assert 8 < len(alone) < 35
    assert alone == disturbed


def lost_segments(
    network: TapNetwork, family: Family, folder: Path, beside: AbstractContextManager[None]
) -> tuple[list[int], int]:
    """Return the lost sequence numbers of an upload, and its initial one.

    An upload is repeated where the buffer ran empty within a segment: all later ones then begin elsewhere.
    """
    octets, path = folder / "octets", folder / "pcap"
    octets.write_bytes(bytes(1_000 * mss(family)))
    with beside, serving(network, "sink", 7801) as server:
        for _ in range(6):
            with impaired(network, "loss 2% direction out seed 7\n"), capture(network, path, "tcp dst port 7801"):
                upload(network, family, server, octets, 7801)
            segments = fields(path, "tcp.len > 0", "tcp.seq", "tcp.seq_raw")
            if all(start % mss(family) == 1 for start, _ in segments):
                return late([start for start, _ in segments]), segments[0][1]
    pytest.fail("no upload was cut into whole segments")


RULES = (
    "out duplicate data 2; out reorder data 3 by 3; out corrupt data 7; out drop data 8..9 port 7803",
    "drop tcp syn 1 port 7804; in hold synack 1 300ms port 7804; drop arp from 3600s",
)


def test_each_rule_is_about_the_segments_of_its_numbers(
    module_tap_network: TapNetwork, family: Family, tmp_path: Path
) -> None:
    network, octets, path = module_tap_network, tmp_path / "octets", tmp_path / "pcap"
    octets.write_bytes(bytes(40 * mss(family)))
    with (
        serving(network, "sink", 7803) as server,
        serving(network, "sink", 7804) as another,
        impaired(network, "\n".join(RULES)) as file,
        capture(network, path, "tcp"),
    ):
        upload(network, family, server, octets, 7803)
        began = time.monotonic()
        upload(network, family, another, octets, 7804)
        assert time.monotonic() - began > 1.3  # RFC 6298 §2.1: the SYN is sent again after 1 s
        counted = file.read_text()
    assert len(fields(path, "tcp.dstport == 7804 && tcp.flags.syn == 1", "tcp.seq")) == 1
    frames = fields(path, "tcp.dstport == 7803 && tcp.len > 0", "tcp.seq", "tcp.checksum.status")
    starts = [(start - 1) // mss(family) + 1 for start, _ in frames]
    assert starts[:9] == [1, 2, 2, 4, 5, 6, 3, 7, 10]
    assert (starts.count(7), starts.count(8), starts.count(9)) == (2, 1, 1)  # the peer has refused the first 7
    assert rule_line(counted, "drop tcp syn 1").endswith("in=0 out=1 seen=2")
    assert rule_line(counted, "out drop data 8..9").startswith("# rule out drop data 8..9 port 7803: in=0 out=2 seen=4")
    assert rule_line(counted, "in hold synack").startswith("# rule in hold synack 1 300ms port 7804: in=1 out=0")
    assert rule_line(counted, "drop arp").endswith("in=0 out=0 seen=0 never matched")
    sentence = "eth0: the rule 'drop arp from 3600s' never matched: 0 frames met its conditions"
    wait_until(lambda: sentence in network.mount.log())


def rule_line(text: str, rule: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"# rule {rule}"))


def test_datagrams_pings_and_an_outage(module_tap_network: TapNetwork, family: Family) -> None:
    network, path = module_tap_network, module_tap_network.mount.path
    script = (
        f"import socket; s = socket.socket(socket.{family.socket}, 2); s.bind(('', 7804)); print('ready', flush=True)\n"
    )
    script += "for _ in range(4): print(s.recv(99).decode(), end=' ', flush=True)"
    with impaired(network, "duplicate udp 2 port 7804") as file:
        server = network.start_peer([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        command = f"exec 3<>{path}/udp/{family.peer.at(7804)}; for word in a b c; do printf $word >&3; done"
        subprocess.run(["sh", "-c", command], check=True, timeout=20)
        assert server.stdout.read().split() == ["a", "b", "b", "c"]
        assert rule_line(file.read_text(), "duplicate udp 2").endswith("in=0 out=1 seen=3")
    with impaired(network, "in drop icmp echo-reply 2; drop all from 0s for 700ms"):
        replies = (path / f"icmp/ping/{family.peer},count=5,interval=0.3,timeout=0.5").read_text()
    # Requests 0 to 2 are sent during the outage; the reply to 4 is the second that arrives.
    assert re.findall(r"icmp_seq=(\d) ttl", replies) == ["3"], replies
    assert sorted(re.findall(r"icmp_seq=(\d) timeout", replies)) == ["0", "1", "2", "4"], replies


@pytest.mark.both_families
def test_a_rule_names_a_host(module_tap_network: TapNetwork, family: Family) -> None:
    network = module_tap_network
    with impaired(network, f"in drop icmp echo 2 host {family.ours}\n") as file:
        ping = ["ping", "-c", "3", "-i", "0.2", "-W", "1", family.ours]
        replies = network.run_peer(ping, check=False).stdout
        assert re.findall(r"icmp_seq=(\d)", replies) == ["1", "3"]
        # Neighbor Discovery is not ICMP for a rule: the answers found their way.
        assert rule_line(file.read_text(), "in drop icmp echo 2").endswith("in=1 out=0 seen=3")
