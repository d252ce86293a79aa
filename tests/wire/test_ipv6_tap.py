"""IPv6 against the Linux stack on the other side of a TAP: Neighbor Discovery, ICMPv6, TCP, UDP, fragments, MTU."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.network import Namespace

pytestmark = pytest.mark.needs("root", "tap", "fuse")

US = "fd00:10:0:2::15"
PEER = "fd00:10:0:2::2"
PEERS = Path(__file__).with_name("tcp_peers.py")


@pytest.fixture(scope="module")
def v6(module_tap_network):
    """Both sides have a unique local address, and the peer a second link-local one."""
    network = module_tap_network
    network.run_peer(["ip", "-6", "addr", "add", "fe80::2/64", "dev", "schemefs0", "nodad"])
    return network


def cat(network, name, timeout=20):
    done = subprocess.run(
        ["cat", network.mount.path / name], check=False, capture_output=True, text=True, timeout=timeout
    )
    return done.stdout + done.stderr


def test_pings_of_the_peer_are_answered(v6):
    """RFC 4443 §4.2, with fragments both ways (RFC 8200 §4.5)."""
    for size in ("0", "56", "1452", "1453", "65000"):
        done = v6.run_peer(["ping", "-c", "1", "-s", size, "-W", "2", US])
        assert "1 received" in done.stdout, (size, done.stdout)


def test_the_peer_is_pinged_by_cat(v6):
    said = cat(v6, f"icmp/ping/[{PEER}],count=3,interval=0.05").splitlines()
    assert said[0] == f"PING {PEER} ({PEER}) 56(104) bytes of data."
    assert said[-2] == "3 packets transmitted, 3 packets received, 0.00% packet loss"
    assert cat(v6, f"icmp/ping/{PEER},count=1,size=8000").count(" ttl=64 ") == 1


def test_link_local_addresses_have_a_zone(v6):
    said = cat(v6, "icmp/ping/fe80::2%eth0,count=2,interval=0.05")
    assert "From fe80::2%eth0 icmp_seq=0 ttl=64" in said
    listed = cat(v6, "netcfg/ifaces/eth0/addr/list").splitlines()
    ours = next(line.partition("%")[0] for line in listed if line.startswith("fe80::"))
    assert "1 received" in v6.run_peer(["ping", "-c", "1", "-W", "2", f"{ours}%schemefs0"]).stdout
    assert "Invalid argument" in cat(v6, "icmp/ping/fe80::2")
    assert "write fe80::2%INTERFACE" in cat(v6, "icmp/err")


@pytest.mark.parametrize(("octets", "port"), [(100_000, 9000), pytest.param(100 << 20, 9010, marks=pytest.mark.full)])
def test_octets_go_both_ways(v6, tmp_path, octets, port):
    """With GSO in both directions: equal SHA-256."""
    data = os.urandom(octets)
    (tmp_path / "data").write_bytes(data)
    sink = v6.start_peer([sys.executable, PEERS, "sink", str(port)], stdout=subprocess.PIPE, text=True)
    source = v6.start_peer(
        [sys.executable, PEERS, "source", str(port + 1), tmp_path / "data"], stdout=subprocess.PIPE, text=True
    )
    for peer in (sink, source):
        assert peer.stdout.readline() == "ready\n"
    with open(v6.mount.path / f"tcp/[{PEER}]:{port}", "wb", buffering=0) as out:
        view = memoryview(data)
        while view:
            view = view[out.write(view[: 1 << 18]) :]
    assert sink.stdout.readline() == f"{hashlib.sha256(data).hexdigest()} {octets}\n"
    digest = hashlib.sha256()
    with open(v6.mount.path / f"tcp/[{PEER}]:{port + 1}", "rb", buffering=0) as stream:
        while piece := stream.read(1 << 18):
            digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_curl_reaches_one_listener_by_both_families(v6):
    """A listener on :PORT has both, as Linux's [::] without IPV6_V6ONLY."""
    script = "while read -r n peer local; do echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\n'$peer >tcp/$n/data; done <tcp/:8080"
    with subprocess.Popen(["bash", "-c", script], cwd=v6.mount.path, stderr=subprocess.DEVNULL) as server:
        try:
            for flag, host, peer in (("-4", v6.address, v6.peer), ("-6", f"[{US}]", f"[{PEER}]")):
                command = ["curl", "-gsS", flag, "--retry", "20", "--retry-connrefused", "--retry-delay", "0"]
                said = v6.run_peer([*command, "-m", "10", f"http://{host}:8080/"]).stdout
                assert said.startswith(f"{peer}:"), (flag, said)
        finally:
            server.kill()


def test_a_closed_port_of_either_side_is_refused(v6):
    with pytest.raises(ConnectionRefusedError):
        os.open(v6.mount.path / f"tcp/[{PEER}]:9", os.O_RDWR)
    done = v6.run_peer(["curl", "-gsS", "-m", "5", f"http://[{US}]:9/"], check=False)
    assert done.returncode == 7  # "failed to connect", at once
    closed = os.open(v6.mount.path / f"udp/[{PEER}]:9", os.O_RDWR)
    os.write(closed, b"x")
    with pytest.raises(ConnectionRefusedError):
        os.read(closed, 1)
    os.close(closed)
    script = (
        "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(5)\n"
        f"s.connect(('{US}', 9)); s.send(b'x')\ntry: s.recv(1)\nexcept ConnectionRefusedError: print('refused')"
    )
    assert v6.run_peer([sys.executable, "-c", script]).stdout == "refused\n"


FAR = "fd00:b::2"


@pytest.fixture(scope="module")
def far(v6):
    """A host behind the peer, which forwards; the link between them has an MTU of 1280."""
    host = Namespace()
    pid = host.prefix[1].split("/")[2]
    v6.run_peer([*"ip link add veth6 type veth peer name veth6 netns".split(), pid])
    v6.run_peer(["ip", "-6", "addr", "add", "fd00:b::1/64", "dev", "veth6", "nodad"])
    v6.run_peer(["ip", "link", "set", "veth6", "mtu", "1280", "up"])
    v6.run_peer(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    host.run(["ip", "-6", "addr", "add", f"{FAR}/64", "dev", "veth6", "nodad"])
    host.run(["ip", "link", "set", "veth6", "mtu", "1500", "up"])
    host.run(["ip", "-6", "route", "add", "default", "via", "fd00:b::1"])
    (v6.mount.path / "netcfg/route/add").write_text("fd00:b::/64 via fe80::2 dev eth0\n")
    yield host
    host.close()


def test_a_hop_of_1280_octets_is_found_and_fragments_pass_it(v6, far, tmp_path):
    """RFC 8201: Packet Too Big lowers the path MTU; RFC 8200 §5: the source fragments."""
    data = os.urandom(300_000)
    sink = far.start([sys.executable, PEERS, "sink", "9002"], stdout=subprocess.PIPE)
    assert sink.stdout.readline() == "ready\n"
    with open(v6.mount.path / f"tcp/[{FAR}]:9002", "wb", buffering=0) as out:
        view = memoryview(data)
        while view:
            view = view[out.write(view[: 1 << 18]) :]
    assert sink.stdout.readline() == f"{hashlib.sha256(data).hexdigest()} {len(data)}\n"
    assert "path MTU 1280" in (v6.mount.path / f"netcfg/route/get/{FAR}").read_text()
    far.run(["ip", "link", "set", "veth6", "mtu", "1280"])  # for the fragments of its reply
    assert cat(v6, f"icmp/ping/{FAR},count=1,size=5000").count(" ttl=63 ") == 1
    traced = cat(v6, f"icmp/trace/{FAR}").splitlines()
    assert [line.split()[1] for line in traced[1:]] == [PEER, FAR]


def test_super_segments_pass_the_tap_whole_in_both_directions(v6, tmp_path):
    """GSO_TCPV6 of VIRTIO: far fewer frames than segments."""
    octets = 8 << 20
    (tmp_path / "data").write_bytes(os.urandom(octets))
    stats = v6.mount.path / "netcfg/ifaces/eth0/stats"

    def frames() -> dict[str, int]:
        rows = (line.partition("=")[::2] for line in stats.read_text().splitlines())
        return {name: int(value) for name, value in rows if value.isdecimal()}

    sink = v6.start_peer([sys.executable, PEERS, "sink", "9003"], stdout=subprocess.PIPE, text=True)
    source = v6.start_peer(
        [sys.executable, PEERS, "source", "9004", tmp_path / "data"], stdout=subprocess.PIPE, text=True
    )
    for peer in (sink, source):
        assert peer.stdout.readline() == "ready\n"
    before = frames()
    subprocess.run(["cp", tmp_path / "data", v6.mount.path / f"tcp/[{PEER}]:9003"], check=True, timeout=60)
    sink.stdout.readline()
    subprocess.run(["cp", v6.mount.path / f"tcp/[{PEER}]:9004", tmp_path / "copy"], check=True, timeout=60)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "data").read_bytes()
    grown = {name: frames()[name] - before[name] for name in before if name in frames()}
    for name in ("sent_frames", "received_frames"):  # those with text, and the acknowledgments of the other direction
        assert grown[name] < octets // 1428 // 2, grown
