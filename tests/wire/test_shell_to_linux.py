"""Shell redirections against the Linux stack on the other end of the TAP: bulk with checksums, both orders of close,
refusals; tcpdump writes what crossed and tshark is the judge.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

MEBI = 1 << 20
BULK = 100 * MEBI
TCPDUMP = ("tcpdump", "-i", "schemefs0", "--immediate-mode")  # else the last frames wait in the kernel's ring

# Each says "ready" when it listens, and at the end what it saw.
ECHO = """
import hashlib, socket, sys
s = socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while data := c.recv(1 << 20):
    h.update(data); n += len(data); c.sendall(data)
print(n, h.hexdigest())
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bulk") / "100MiB"
    block = os.urandom(MEBI)
    with path.open("wb") as file:
        for i in range(BULK // MEBI):
            file.write(i.to_bytes(8, "big") + block[8:])
    return path


@pytest.fixture(scope="module")
def tshark() -> Callable[..., list[str]]:
    def judge(capture: Path, show: str, *fields: str) -> list[str]:
        """Return the chosen fields of the packets that the display filter *show* takes."""
        checks = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "udp.check_checksum:TRUE"]
        command = ["tshark", "-r", str(capture), "-Y", show, "-T", "fields"]
        command += [word for check in checks for word in ("-o", check)]
        command += [word for field in fields or ("frame.number",) for word in ("-e", field)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.splitlines()

    return judge


@contextmanager
def captured(network: TapNetwork, path: Path) -> Iterator[None]:
    """Write every frame of the TAP to *path*."""
    tcpdump = network.start_peer(
        [*TCPDUMP, "-U", "-w", str(path), "-Z", "root"],
        stderr=subprocess.PIPE,
    )
    assert tcpdump.stderr is not None
    assert "listening on" in tcpdump.stderr.readline()
    yield
    tcpdump.terminate()
    tcpdump.wait(10)


def serve(network: TapNetwork, program: str, *arguments: str) -> subprocess.Popen[str]:
    peer = network.start_peer([sys.executable, "-u", "-c", program, *arguments], stdout=subprocess.PIPE)
    assert peer.stdout is not None
    assert peer.stdout.readline() == "ready\n"
    return peer


def last_words(peer: subprocess.Popen[str]) -> list[str]:
    assert peer.stdout is not None
    words = peer.stdout.read().split()
    assert peer.wait(30) == 0
    return words


def bash(network: TapNetwork, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["env", f"S={network.mount.path}", "bash", "-c", script],
        check=False, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


@pytest.fixture
def network(module_tap_network: TapNetwork, family: Family) -> TapNetwork:
    return module_tap_network


@pytest.fixture(scope="module")
def module_plain_network(_no_leftovers: None) -> Iterator[TapNetwork]:
    """Without offload: every frame on the TAP is as it would be on a wire, so tshark can judge it."""
    with TapNetwork("--offload", "off") as made:
        yield made


@pytest.fixture
def plain_network(module_plain_network: TapNetwork, family: Family) -> TapNetwork:
    family.prepare(module_plain_network)
    return module_plain_network


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.full  # test_tcp_bulk.py has the octets, test_tcp_by_tshark.py the flags of three million
def test_100_mib_into_an_echo_server_that_nobody_listens_to(
    network: TapNetwork, big: Path, tmp_path: Path, family: Family
) -> None:
    """The peer gets every octet, then FIN, never RST."""
    peer = serve(network, ECHO, "5003")
    capture = network.start_peer(
        [*TCPDUMP, "-l", "-n", "tcp port 5003 and tcp[tcpflags] & (tcp-fin|tcp-rst) != 0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert capture.stderr is not None
    while "listening on" not in capture.stderr.readline():
        pass
    done = bash(network, f"cat {big} >$S/tcp/{family.peer.at(5003)}")
    assert (done.returncode, done.stderr) == (0, "")
    assert last_words(peer) == [str(BULK), sha256(big)]
    assert capture.stdout is not None
    seen = [capture.stdout.readline(), capture.stdout.readline()]
    drained(network)
    capture.terminate()
    seen += filter(str.strip, capture.stdout.readlines())
    # What the peer must never get is a RST of ours.
    ours = [line for line in seen if f" {family.ours}." in line]
    assert ours
    assert all("Flags [F" in line for line in ours), seen


def test_a_page(network: TapNetwork, tmp_path: Path, family: Family) -> None:
    (tmp_path / "page").write_text("a page of the peer\n")
    http = network.start_peer(
        [sys.executable, "-u", "-m", "http.server", "80", "--bind", "::", "-d", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert http.stdout is not None
    http.stdout.readline()
    done = bash(network, rf"exec 3<>$S/tcp/{family.peer.at(80)}; printf 'GET /page HTTP/1.0\r\n\r\n' >&3; cat <&3")
    assert done.stdout.startswith("HTTP/1.0 200 OK")
    assert done.stdout.endswith("\n\na page of the peer\n")


def test_a_closed_port(network: TapNetwork, family: Family) -> None:
    done = bash(network, f"exec 3<>$S/tcp/{family.peer.at(5999)}")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert re.match(
        rf"RST from {re.escape(family.peer.at(5999))} in answer to SYN after [\d.]+ ms",
        bash(network, "cat $S/tcp/err").stdout,
    )


def test_a_shell_loop_serves_curl(network: TapNetwork, family: Family) -> None:
    server = subprocess.Popen(
        ["env", f"S={network.mount.path}", "bash", "-c", r"""exec 4<>$S/tcp/:8080; echo ready
         while read -r n peer _ <&4; do
             { read -r request; printf 'HTTP/1.0 200 OK\r\n\r\nhello %s\n' "$peer"; } <$S/tcp/$n/rx >$S/tcp/$n/tx &
         done"""],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        for _ in range(20):
            page = network.run_peer(["curl", "-gsS", "-m", "10", f"http://{family.ours.at(8080)}/"]).stdout
            assert re.fullmatch(rf"hello {re.escape(family.peer.host)}:\d+\n", page)
    finally:
        os.killpg(server.pid, 9)
        server.wait()
        server.stdout.close()


@pytest.mark.parametrize("first", ["we", "the peer"])
def test_both_orders_of_close_are_fin_exchanges(
    plain_network: TapNetwork, tmp_path: Path, first: str, tshark: Callable[..., list[str]], family: Family
) -> None:
    program = """
import socket, sys
s = socket.create_server(("", 5004), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
c, _ = s.accept()
c.sendall(b"hello"); data = b""
if sys.argv[1] == "the peer":
    c.shutdown(socket.SHUT_WR)
while part := c.recv(100):
    data += part
c.close(); print(data.decode())
"""
    capture = tmp_path / "close.pcap"
    with captured(plain_network, capture):
        peer = serve(plain_network, program, first)
        # `cat` ends at the peer's FIN; then we close. Or we say all we have, half-close, and read the rest.
        script = {
            "the peer": f"exec 3<>$S/tcp/{family.peer.at(5004)}; cat <&3; printf bye >&3",
            "we": "exec 3<>$S/tcp/clone; read -r n <&3; echo 'connect " + family.peer.at(5004) + "' >&3;"
            "printf bye >$S/tcp/$n/tx; cat $S/tcp/$n/rx",
        }[first]
        done = bash(plain_network, script)
        assert (done.stdout, done.stderr) == ("hello", "")
        assert last_words(peer) == ["bye"]
        drained(plain_network)
    fins = tshark(capture, "tcp.port == 5004 && tcp.flags.fin == 1", "_ws.col.Source")
    ends = [str(family.peer), str(family.ours)]
    assert fins == (ends if first == "the peer" else ends[::-1])
    assert tshark(capture, "tcp.port == 5004 && tcp.flags.reset == 1") == []
    judge_checksums(capture, family, tshark)


def test_every_checksum_is_right(
    plain_network: TapNetwork, tmp_path: Path, tshark: Callable[..., list[str]], family: Family
) -> None:
    capture = tmp_path / "all.pcap"
    with captured(plain_network, capture):
        peer = serve(plain_network, ECHO, "5005")
        done = bash(
            plain_network,
            f"head -c 300001 /dev/urandom >{tmp_path}/in; exec 3<>$S/tcp/{family.peer.at(5005)}\n"
            f"head -c 300001 <&3 >{tmp_path}/out & cat {tmp_path}/in >&3; wait $!; cmp {tmp_path}/in {tmp_path}/out",
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        last_words(peer)
        bash(
            plain_network,
            f"echo datagram >$S/udp/{family.peer.at(5006)}; cat $S/icmp/ping/{family.peer},count=2,interval=0.1",
        )
        plain_network.run_peer(["ping", "-c", "2", "-i", "0.2", "-s", "3000", family.ours])
        drained(plain_network)
    judge_checksums(capture, family, tshark)


def test_a_dns_query_built_by_hand(network: TapNetwork, family: Family) -> None:
    program = """
import dpkt, socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("", 53)); print("ready", flush=True)
data, who = s.recvfrom(512); q = dpkt.dns.DNS(data)
q.qr = 1; q.an = [dpkt.dns.DNS.RR(name=q.qd[0].name, type=1, cls=1, ttl=60, ip=bytes([192, 0, 2, 7]))]
s.sendto(bytes(q), who)
"""
    peer = serve(network, program)
    query = bash(
        network,
        rf"""exec 3<>$S/udp/{family.peer.at(53)}
        printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01' >&3
        dd bs=512 count=1 status=none <&3 | od -An -tu1 -v | tr -s ' \n' ' '""",
    )
    assert query.stdout.startswith(" 18 52 ")
    assert query.stdout.rstrip().endswith("192 0 2 7")
    last_words(peer)


def drained(network: TapNetwork) -> None:
    """A ping there and back: what was sent before it has been captured."""
    network.run_peer(["ping", "-c", "1", "-W", "5", network.address])


def judge_checksums(capture: Path, family: Family, tshark: Callable[..., list[str]]) -> None:
    source = f"{family.pick('ip', 'ipv6')}.src == {family.ours}"
    ours = tshark(capture, source, "frame.number")
    assert len(ours) > 3
    bad = " || ".join(f"{name}.checksum.status == 0" for name in ("ip", "tcp", "udp", "icmp", "icmpv6"))
    assert tshark(capture, f"{source} && ({bad})") == []
    good = "tcp.checksum.status == 1 || icmp.checksum.status == 1 || icmpv6.checksum.status == 1"
    assert tshark(capture, f"{source} && ({good})") != [], "tshark checked nothing"
