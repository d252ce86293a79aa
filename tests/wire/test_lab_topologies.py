"""Labs of several routers, segments and guests: real TAPs, bridges and the programs of Linux; a guest is a socket."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.lab.description import DescribedHost, DescribedLink, Description
from schemefs.lab.running import RunningLab
from schemefs.lab.topology import Topology
from schemefs.net.checksum import checksum

pytestmark = [pytest.mark.needs("fuse", "tap", "root")]

NETWORK = """
[host.client]
[host.near]
[host.also]
[host.server]
command = "exec python3 -m http.server 80"
directory = "www"
env = { GREETING = '$HOME is "good"' }
[router.r1]
[router.r2]
[router.r3]
[[link]]
between = ["client", "near", "also", "r1"]
[[link]]
between = ["r1", "r2"]
mtu = 1300
[[link]]
between = ["r2", "r3"]
[[link]]
between = ["r3", "server"]
impair = "delay 20ms"
"""

GUEST = """
[host.client]
[router.r1]
[[link]]
between = ["client", "r1"]
[[link]]
between = ["r1"]
guest = "redox"
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "www").mkdir()
    (folder / "www/index.html").write_text("a page")
    (folder / "net.toml").write_text(NETWORK)
    with RunningLab(Topology.from_file(folder / "net.toml")) as started:
        yield started


def run(lab: RunningLab, host: str, script: str) -> str:
    done = subprocess.run(
        [*lab.words(host), "sh", "-c", script], env=lab.environment(host), check=True, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    return done.stdout


@pytest.mark.needs("traceroute")
@pytest.mark.parametrize(
    ("family", "addresses"),
    [
        ("-4", ["10.9.1.1", "10.9.2.2", "10.9.3.2", "10.9.4.2"]),
        ("-6", ["fd09:1::1", "fd09:2::2", "fd09:3::2", "fd09:4::2"]),
    ],
)
def test_a_chain_of_routers_is_seen_by_traceroute(network: RunningLab, family: str, addresses: list[str]) -> None:
    shown = run(network, "client", f"traceroute {family} -n -q 1 -w 5 server")
    assert re.findall(r"^ *\d+  ([0-9a-f.:]+) ", shown, re.MULTILINE) == addresses


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_hosts_of_one_segment_reach_each_other_without_the_router(network: RunningLab, family: str) -> None:
    assert "ttl=64" in run(network, "client", f"ping {family} -c 1 near")
    assert "ttl=64" in run(network, "near", f"ping {family} -c 1 also")
    assert "ttl=61" in run(network, "also", f"ping {family} -c 1 server")


def test_the_command_of_a_host_listens_before_the_first_command(network: RunningLab) -> None:
    """In its folder, which is relative to the file; and `on` gives the variables of the host."""
    assert run(network, "client", "curl -sS http://server/") == "a page"
    assert run(network, "client", "on server sh -c 'echo \"$GREETING\"'") == '$HOME is "good"\n'


def test_every_router_has_its_tree_and_its_links_their_words(network: RunningLab) -> None:
    trees = {path.name for path in network.scheme.iterdir()}
    assert {"r1", "r2", "r3", "tcp"} <= trees
    assert (network.scheme / "r3/netcfg/ifaces/server/impair").read_text().startswith("delay 20ms")
    assert (network.scheme / "r2/netcfg/ifaces/r1/mtu").read_text() == "1300\n"
    assert "Frag needed and DF set (mtu = 1300)" in run(network, "client", "ping -4 -c 1 -M do -s 1400 server || true")
    assert "Packet too big: mtu=1300" in run(network, "client", "ping -6 -c 1 -M do -s 1400 server || true")


class Guest:
    """The other end of QEMU's `-netdev stream`, with a host behind it that answers ARP and echo requests."""

    MAC = bytes.fromhex("525400123456")

    def __init__(self, path: str, address: str) -> None:
        self.address = socket.inet_aton(address)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.echoes = 0

    def serve(self) -> None:
        """Answer until an echo request was answered."""
        while not self.echoes:
            (length,) = struct.unpack(">I", self._exactly(4))
            answer = self._answer(self._exactly(length))
            if answer:
                self.socket.sendall(struct.pack(">I", len(answer)) + answer)

    def _answer(self, frame: bytes) -> bytes:
        kind, packet = frame[12:14], frame[14:]
        back = frame[6:12] + self.MAC + kind
        if kind == b"\x08\x06" and packet[6:8] == b"\0\x01" and packet[24:28] == self.address:
            return back + packet[:6] + b"\0\x02" + self.MAC + self.address + packet[8:18]
        if kind == b"\x08\0" and packet[9] == 1 and packet[20] == 8:
            self.echoes += 1
            echo = b"\0\0\0\0" + packet[24:]
            sum_of_echo = checksum(echo).to_bytes(2, "big")
            return back + packet[:12] + packet[16:20] + packet[12:16] + echo[:2] + sum_of_echo + echo[4:]
        return b""

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            octets += self.socket.recv(count - len(octets))
        return octets


def test_a_link_may_be_too_small_for_ipv6() -> None:
    description = Description(
        hosts=(DescribedHost("client"),),
        routers=(DescribedHost("router"),),
        links=(DescribedLink(("client", "router"), mtu=68),),
    )
    with RunningLab(Topology.from_description(description)) as small:
        assert "1 received" in run(small, "client", "ping -c 1 -s 40 router")
        assert run(small, "client", "ip -6 address show dev eth0") == ""


def test_a_guest_is_waited_for_and_is_a_host(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(GUEST)
    command = [sys.executable, "-m", "schemefs", "lab", str(tmp_path / "net.toml"), "--"]
    with subprocess.Popen(
        [*command, "ping", "-c", "1", "-q", "-W", "20", "redox"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as lab:  # fmt: skip
        assert lab.stderr is not None
        line = lab.stderr.readline()
        found = re.fullmatch(
            r"schemefs: waiting for the guest redox "
            r"\(10.9.2.2/24, gateway 10.9.2.1; fd09:2::2/64, gateway fd09:2::1\): "
            r"-netdev stream,id=redox,server=off,addr.type=unix,addr.path=(\S+) -device virtio-net-pci,netdev=redox\n",
            line,
        )
        assert found is not None, line
        guest = Guest(found[1], "10.9.2.2")
        guest.serve()
        output, errors = lab.communicate(timeout=20)
        guest.socket.close()
    assert lab.returncode == 0, errors
    assert "1 received" in output
