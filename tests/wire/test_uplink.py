"""`--uplink`: three namespaces: the daemon with its host, and a world beyond with a web server and a name server.

daemon 10.0.2.15 ── TAP ── host ── veth 192.0.2.1 ── 192.0.2.2 world: www.example, by dnsmasq
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from tests.support.uplink_host import MOUNT, Host

pytestmark = pytest.mark.needs("fuse", "tap", "root", "nft", "dnsmasq")


@pytest.fixture
def host(_no_leftovers) -> Iterator[Host]:
    made = Host()
    made.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    yield made
    made.close()


def shell(mount: SchemeMount, command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=mount.path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr + mount.log()
    return done.stdout


def test_the_world_by_name_and_everything_put_back(host):
    before = host.rules()
    mount = host.mount()
    try:
        assert host.forwards() == "1"
        assert "masquerade" in host.rules()
        assert shell(mount, "cat dns/www.example") == "192.0.2.2\n"
        assert "5 packets received" in shell(mount, "cat icmp/ping/www.example,count=5,interval=0.05")
        page = shell(mount, "exec 3<>tcp/www.example:80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")
        assert "hello 192.0.2.1" in page  # the host's own address: masqueraded
    finally:
        mount.close()
    assert host.forwards() == "0"
    assert host.rules() == before


def file_of(mount: SchemeMount, path: Path) -> str:
    """Keep what netcfg/config shows in *path*, and return it."""
    text = (mount.path / "netcfg/config").read_text()
    path.write_text(text)
    return text


FILE = """\
nameservers = ["10.0.2.3"]
routes = ["default via 10.0.2.2"]

[interface.eth0]
host_address = "10.0.2.2/24"
addresses = ["10.0.2.15/24"]
"""


def test_a_file_says_it_and_what_is_read_says_it_again(host, tmp_path):
    before = host.rules()
    path = tmp_path / "net.toml"
    path.write_text(f'{FILE}uplink = true\nresolver = "192.0.2.2"\n')
    texts = []
    for _ in range(2):  # the second time from what the first has shown
        mount = host.mount("--config", str(path))
        try:
            assert host.forwards() == "1"
            assert shell(mount, "cat dns/www.example") == "192.0.2.2\n"
            page = shell(mount, "exec 3<>tcp/www.example:80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")
            assert "hello 192.0.2.1" in page
            texts.append(file_of(mount, path))
        finally:
            mount.close()
        assert host.forwards() == "0"
        assert host.rules() == before
    assert 'uplink = true\nresolver = "192.0.2.2"\n' in texts[0]
    assert texts[0] == texts[1]


def test_the_option_beside_a_file_wins_over_it(host, tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(f"{FILE}uplink = false\n")
    mount = host.mount("--config", str(path), "--uplink", "--resolver", "192.0.2.2")
    try:
        assert shell(mount, "cat dns/www.example") == "192.0.2.2\n"
        assert "uplink = true\n" in file_of(mount, path)
    finally:
        mount.close()
    assert host.forwards() == "0"


def test_a_write_to_config_turns_it_on_and_off(host, tmp_path):
    before = host.rules()
    path = tmp_path / "net.toml"
    path.write_text(FILE)
    mount = host.mount("--config", str(path))
    try:
        config = mount.path / "netcfg/config"
        without = config.read_text()
        assert host.forwards() == "0"
        config.write_text(
            without.replace('offload = "auto"', 'offload = "auto"\nuplink = true\nresolver = "192.0.2.2"')
        )
        assert host.forwards() == "1"
        assert shell(mount, "cat dns/www.example") == "192.0.2.2\n"
        config.write_text(without)
        assert host.forwards() == "0"
        assert host.rules() == before
    finally:
        mount.close()


def test_an_answer_that_no_datagram_takes_comes_by_tcp(host):
    mount = host.mount()
    try:
        assert "x" * 250 in shell(mount, "cat dns/long.example,type=txt")
    finally:
        mount.close()


def test_when_the_hosts_resolver_is_silent_it_is_said_that_nobody_can_tell(host):
    mount = host.mount("--driver", "tap", "--uplink", "--resolver", "192.0.2.77")
    try:
        with pytest.raises(OSError) as caught:
            (mount.path / "dns/www.example").read_text()
        assert caught.value.errno == errno.EREMOTEIO
        assert "10.0.2.3: answers SERVFAIL" in (mount.path / "dns/err").read_text()
    finally:
        mount.close()


def test_nobody_beyond_begins_and_the_host_forwards_for_nobody_else(host):
    mount = host.mount()
    try:
        host.world.run(["ip", "route", "add", "10.0.2.0/24", "via", "192.0.2.1"])
        asked = host.world.run(["ping", "-c1", "-W1", "10.0.2.15"], check=False)
        assert asked.returncode
        assert "drop" in host.rules()
    finally:
        mount.close()


UNASKED = """
import sys, dpkt, socket
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
ours, theirs = socket.inet_aton("10.0.2.15"), socket.inet_aton("192.0.2.2")

def send(protocol, payload):
    raw.sendto(bytes(dpkt.ip.IP(src=theirs, dst=ours, p=protocol, data=payload)), ("10.0.2.15", 0))

for flags in (0x12, 0x04, 0x14, 0x03, 0x10, 0x01, 0x29, 0x00, 0x02):  # SYN+ACK, RST, RST+ACK, SYN+FIN, ACK…
    send(6, dpkt.tcp.TCP(sport=80, dport=5000, flags=flags))
echo = dpkt.icmp.ICMP.Echo(id=1, seq=1, data=b"unasked")
for kind in (0, 8, 14):
    send(1, dpkt.icmp.ICMP(type=kind, data=echo))
send(17, dpkt.udp.UDP(sport=53, dport=5000, data=b"unasked", ulen=15))
send(132, bytes(20))
"""

# Prints the sources of the datagrams that come by up1 until an echo request of 99 octets of payload has come.
SOURCES = """
import socket
raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
raw.bind(("up1", 0x0800))
raw.settimeout(20)
print("ready", flush=True)
seen = set()
while True:
    octets, address = raw.recvfrom(2000)
    if address[2] != socket.PACKET_OUTGOING:
        seen.add(socket.inet_ntoa(octets[12:16]))
        if octets[9] == 1 and octets[20] == 8 and len(octets) == 20 + 8 + 99:
            break
print(*sorted(seen), flush=True)
"""


def received(mount: SchemeMount) -> int:
    """Return how many datagrams the stack has received; ARP is not among them."""
    return int((mount.path / "ip/stats").read_text().partition("InReceives=")[2].split()[0])


def test_nothing_unasked_of_the_world_reaches_the_stack(host):
    """What conntrack calls invalid (SYN+ACK, RST, SYN+FIN, an echo reply) is not what it calls new."""
    mount = host.mount(*MOUNT, "--host-address6", "none")  # Neighbor Discovery would be counted too
    try:
        host.world.run(["ip", "route", "add", "10.0.2.0/24", "via", "192.0.2.1"])
        shell(mount, "cat icmp/ping/192.0.2.2,count=1")  # ARP is done
        before = received(mount)
        host.world.run([sys.executable, "-c", UNASKED])
        # The answers come by the same way, behind all that was sent unasked.
        assert "2 packets received" in shell(mount, "cat icmp/ping/192.0.2.2,count=2,interval=0.05")
        assert received(mount) == before + 2
        with pytest.raises(OSError) as refused:
            (mount.path / "tcp/192.0.2.2:9").open("rb")
        assert refused.value.errno == errno.ECONNREFUSED, "an answer, although it is a RST"
        with pytest.raises(OSError) as unreachable, (mount.path / "udp/192.0.2.2:9").open("r+b", buffering=0) as file:
            file.write(b"x")
            file.read(1)
        assert unreachable.value.errno == errno.ECONNREFUSED, "an error about what we have sent (related)"
    finally:
        mount.close()


def test_nothing_leaves_that_is_not_masqueraded(host):
    mount = host.mount()
    try:
        capture = host.world.start([sys.executable, "-c", SOURCES], stdout=subprocess.PIPE)
        assert capture.stdout.readline() == "ready\n"
        with (mount.path / "network/eth0/frames").open("r+b", buffering=0) as frames:
            [tap] = json.loads(host.namespace.run(["ip", "-j", "link", "show", "schemefs0"]).stdout)
            ours = (mount.path / "netcfg/ifaces/eth0/mac").read_text().strip()
            link = bytes.fromhex(tap["address"].replace(":", "") + ours.replace("-", "")) + b"\x08\0"
            for source in ("10.0.2.15", "10.0.2.77", "10.9.9.9", "192.0.2.2", "198.51.100.7"):
                addresses = {"src": socket.inet_aton(source), "dst": socket.inet_aton("192.0.2.2")}
                for flags in (0x04, 0x12, 0x10, 0x03, 0x02):
                    tcp = dpkt.tcp.TCP(sport=4000, dport=81, flags=flags)
                    frames.write(link + bytes(dpkt.ip.IP(**addresses, p=6, data=tcp)))
                for protocol, payload in (
                    (17, dpkt.udp.UDP(sport=9, dport=9, ulen=8)),
                    (1, b"\0\0\xff\xff" + bytes(4)),
                ):
                    frames.write(link + bytes(dpkt.ip.IP(**addresses, p=protocol, data=payload)))
        shell(mount, "cat icmp/ping/192.0.2.2,count=1,size=99")
        assert capture.communicate(timeout=30)[0] == "192.0.2.1\n"
    finally:
        mount.close()


def test_a_host_that_forwarded_before_still_does(host):
    host.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    settings = host.settings6()
    mount = host.mount()
    assert "0x10000000 ==" not in host.rules()
    assert host.settings6() == settings
    mount.close()
    assert (host.forwards(), host.settings6()) == ("1", settings)


@pytest.mark.parametrize(
    ("next_step", "how"),
    [("the next start", signal.SIGKILL), ("umount --force", signal.SIGSTOP), ("umount --force", signal.SIGKILL)],
)
def test_what_a_killed_daemon_leaves_is_put_back(host, next_step, how):
    mount = host.mount()
    os.kill(mount.pid, how)
    assert host.forwards() == "1"
    if next_step == "the next start":
        mount.close(check=False)
        host.mount("--driver", "tap").close()
    else:
        ended = subprocess.run(
            [*host.namespace.prefix, sys.executable, "-m", "schemefs", "umount", "--force", str(mount.path)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        mount.close(check=False)
    assert host.forwards() == "0"
    assert "schemefs" not in host.rules()


def test_a_record_of_another_namespace_that_had_the_same_number_is_not_believed(host):
    mount = host.mount()
    number = host.namespace.run(["stat", "-Lc", "%i", "/proc/self/ns/net"]).stdout.strip()
    record = Path(f"/run/schemefs/uplink-{number}-schemefs0.json")
    changes = json.loads(record.read_text())
    mount.close()
    assert not record.exists()
    host.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    record.write_text(json.dumps({**changes, "cookie": changes["cookie"] + 1}))
    try:
        host.mount("--driver", "tap").close()
        assert host.forwards() == "1"
    finally:
        record.unlink(missing_ok=True)


def test_the_last_of_two_turns_forwarding_off(host):
    first = host.mount()
    second = host.mount("--driver", "tap", "--tap", "schemefs1", "--uplink")
    for mount in (second, first):
        assert "1 packets received" in shell(mount, "cat icmp/ping/192.0.2.2,count=1")
    assert "== 0x00000000 drop" in host.rules() or "== 0x0 drop" in host.rules()
    first.close()
    assert host.forwards() == "1"
    assert "1 packets received" in shell(second, "cat icmp/ping/192.0.2.2,count=1")
    second.close()
    assert host.forwards() == "0"


def test_where_it_cannot_be_had_a_sentence_says_so(host):
    with pytest.raises(MountFailed, match="give a host_address other than none"):
        host.mount("--driver", "tap", "--uplink", "--host-address", "none")
    with pytest.raises(MountFailed, match="--uplink is an option of the driver tap, which loopback does not have"):
        host.mount("--driver", "loopback", "--uplink")
    assert not list(Path("/proc/self/net").glob("schemefs0"))
