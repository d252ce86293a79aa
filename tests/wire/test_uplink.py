"""`--uplink`: three namespaces: the daemon with its host, and a world beyond with a web server and a name server.

daemon 10.0.2.15 ── TAP ── host ── veth 192.0.2.1 ── 192.0.2.2 world: www.example, by dnsmasq
       fd00:10:0:2::15              2001:db8:9::1 ── 2001:db8:9::2    six.example, in tests that run with IPv6
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dpkt
import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from tests.support.families import Address, Family
from tests.support.uplink_host import WAYS, Host, WayOut

pytestmark = pytest.mark.needs("fuse", "tap", "root", "nft", "dnsmasq")


GET = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


@pytest.fixture
def host(_no_leftovers, request) -> Iterator[Host]:
    with_ipv6 = "family" in request.fixturenames and request.getfixturevalue("family").version == 6
    made = Host(ipv6=with_ipv6)
    made.namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    yield made
    made.close()


@pytest.fixture
def way(family: Family) -> WayOut:
    return WAYS[family]


def shell(mount: SchemeMount, command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=mount.path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr + mount.log()
    return done.stdout


def reaches_the_world(mount: SchemeMount, way: WayOut) -> bool:
    """Return whether a page of the world comes, which shows the host's address: masqueraded."""
    assert shell(mount, f"cat dns/{way.name},type=any") == f"{way.world}\n"
    return f"hello {way.host}\n" in shell(mount, f"exec 3<>tcp/{way.name}:80; {GET}")


def test_the_world_by_name_and_everything_put_back(host, family, way):
    before = host.rules()
    mount = host.mount()
    try:
        assert host.forwards(family) == "1"
        assert "masquerade" in host.rules()
        assert "5 packets received" in shell(mount, f"cat icmp/ping/{way.name},count=5,interval=0.05")
        assert reaches_the_world(mount, way)
    finally:
        mount.close()
    assert host.forwards(family) == "0"
    assert host.rules() == before


def file_of(mount: SchemeMount, path: Path) -> str:
    """Keep what netcfg/config shows in *path*, and return it."""
    text = (mount.path / "netcfg/config").read_text()
    path.write_text(text)
    return text


@pytest.fixture
def text(family: Family) -> str:
    """A file with one family; what is appended is of eth0."""
    length = family.link.partition("/")[2]
    key, other = family.pick(("host_address", "host_address6"), ("host_address6", "host_address"))
    return f"""\
nameservers = ["{relay(family)}"]
routes = ["default via {family.peer}"]

[interface.eth0]
{key} = "{family.peer}/{length}"
{other} = "none"
addresses = ["{family.ours}/{length}"]
"""


def relay(family: Family) -> Address:
    """Return where the host answers for names."""
    return Address(family.pick("10.0.2.3", "fd00:10:0:2::3"))


def test_a_file_says_it_and_what_is_read_says_it_again(host, family, way, text, tmp_path):
    before = host.rules()
    path = tmp_path / "net.toml"
    path.write_text(f'{text}uplink = true\nresolver = "{way.world}"\n')
    texts = []
    for _ in range(2):  # the second time from what the first has shown
        mount = host.mount("--config", str(path))
        try:
            assert host.forwards(family) == "1"
            assert reaches_the_world(mount, way)
            texts.append(file_of(mount, path))
        finally:
            mount.close()
        assert host.forwards(family) == "0"
        assert host.rules() == before
    assert f'uplink = true\nresolver = "{way.world}"\n' in texts[0]
    assert texts[0] == texts[1]


def test_the_option_beside_a_file_wins_over_it(host, family, way, text, tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(f"{text}uplink = false\n")
    mount = host.mount("--config", str(path), "--uplink", "--resolver", way.world)
    try:
        assert reaches_the_world(mount, way)
        assert "uplink = true\n" in file_of(mount, path)
    finally:
        mount.close()
    assert host.forwards(family) == "0"


def test_a_write_to_config_turns_it_on_and_off(host, family, way, text, tmp_path):
    before = host.rules()
    path = tmp_path / "net.toml"
    path.write_text(text)
    mount = host.mount("--config", str(path))
    try:
        config = mount.path / "netcfg/config"
        without = config.read_text()
        assert host.forwards(family) == "0"
        config.write_text(
            without.replace('offload = "auto"', f'offload = "auto"\nuplink = true\nresolver = "{way.world}"')
        )
        assert host.forwards(family) == "1"
        assert reaches_the_world(mount, way)
        config.write_text(without)
        assert host.forwards(family) == "0"
        assert host.rules() == before
    finally:
        mount.close()


def test_an_answer_that_no_datagram_takes_comes_by_tcp(host):
    mount = host.mount()
    try:
        assert "x" * 250 in shell(mount, "cat dns/long.example,type=txt")
    finally:
        mount.close()


def test_when_the_hosts_resolver_is_silent_it_is_said_that_nobody_can_tell(host, family):
    silent = family.pick("192.0.2.77", "2001:db8:9::77")
    mount = host.mount("--driver", "tap", "--uplink", "--resolver", silent)
    try:
        (mount.path / "netcfg/resolv/nameserver").write_text(f"{relay(family)}\n")
        with pytest.raises(OSError) as caught:
            (mount.path / "dns/www.example").read_text()
        assert caught.value.errno == errno.EREMOTEIO
        assert f"{relay(family)}: answers SERVFAIL" in (mount.path / "dns/err").read_text()
    finally:
        mount.close()


def test_nobody_beyond_begins_and_the_host_forwards_for_nobody_else(host, family, way):
    mount = host.mount()
    try:
        host.world.run(["ip", "route", "add", family.link, "via", way.host])
        asked = host.world.run(["ping", "-c1", "-W1", family.ours], check=False)
        assert asked.returncode
        assert "drop" in host.rules()
    finally:
        mount.close()


# Sends what conntrack calls invalid (SYN+ACK, RST, SYN+FIN, an echo reply) and what it calls new.
UNASKED = """
import sys, dpkt, socket
from ipaddress import ip_address
ours, theirs = map(ip_address, sys.argv[1:])
ends = {"src": theirs.packed, "dst": ours.packed}
raw = socket.socket(socket.AF_INET if ours.version == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)

def send(protocol, payload):
    if ours.version == 4:
        datagram = dpkt.ip.IP(**ends, p=protocol, data=payload)
    else:
        datagram = dpkt.ip6.IP6(**ends, nxt=protocol, hlim=64, plen=len(payload), data=payload)
    raw.sendto(bytes(datagram), (str(ours), 0))

for flags in (0x12, 0x04, 0x14, 0x03, 0x10, 0x01, 0x29, 0x00, 0x02):  # SYN+ACK, RST, RST+ACK, SYN+FIN, ACK…
    send(6, dpkt.tcp.TCP(sport=80, dport=5000, flags=flags))
echo = dpkt.icmp.ICMP.Echo(id=1, seq=1, data=b"unasked")
for kind in (0, 8, 14) if ours.version == 4 else (129, 128, 140):
    message = dpkt.icmp.ICMP(type=kind, data=echo) if ours.version == 4 else dpkt.icmp6.ICMP6(type=kind, data=echo)
    send(1 if ours.version == 4 else 58, message)
send(17, dpkt.udp.UDP(sport=53, dport=5000, data=b"unasked", ulen=15))
send(132, bytes(20))
"""

# Prints the sources of the datagrams that come by up1 until an echo request of 99 octets of payload has come. Those of
# IPv6 that never leave the link, link-local ones and `::`, are left out.
SOURCES = """
import socket, sys
from ipaddress import ip_address
number, start, size, header, echo = (0x0800, 12, 4, 20, 8) if sys.argv[1] == "4" else (0x86DD, 8, 16, 40, 128)
raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(number))
raw.bind(("up1", number))
raw.settimeout(20)
print("ready", flush=True)
seen = set()
while True:
    octets, address = raw.recvfrom(2000)
    source = ip_address(octets[start : start + size])
    if address[2] != socket.PACKET_OUTGOING and (source.version == 4 or not (source.is_link_local or not int(source))):
        seen.add(str(source))
        if octets[header] == echo and len(octets) == header + 8 + 99:
            break
print(*sorted(seen), flush=True)
"""


def received(capture: int) -> int:
    """Return how many datagrams a capture has since it was read last."""
    blocks = 0
    octets = os.read(capture, 1 << 20)
    while octets:
        kind, length = (int.from_bytes(octets[at : at + 4], "little") for at in (0, 4))
        blocks += kind == 6  # an enhanced packet block
        octets = octets[length:]
    return blocks


def test_nothing_unasked_of_the_world_reaches_the_stack(host, family, way):
    mount = host.mount()
    try:
        host.world.run(["ip", "route", "add", family.link, "via", way.host])
        path = mount.path / f"network/eth0/capture.pcapng,filter=src host {way.world}"
        capture = os.open(path, os.O_RDONLY)
        host.world.run([sys.executable, "-c", UNASKED, family.ours, way.world])
        # The answers come by the same way, behind all that was sent unasked.
        assert "2 packets received" in shell(mount, f"cat icmp/ping/{way.world},count=2,interval=0.05")
        assert received(capture) == 2
        os.close(capture)
        with pytest.raises(OSError) as refused:
            (mount.path / "tcp" / way.world.at(9)).open("rb")
        assert refused.value.errno == errno.ECONNREFUSED, "an answer, although it is a RST"
        closed = mount.path / "udp" / way.world.at(9)
        with pytest.raises(OSError) as unreachable, closed.open("r+b", buffering=0) as file:
            file.write(b"x")
            file.read(1)
        assert unreachable.value.errno == errno.ECONNREFUSED, "an error about what we have sent (related)"
    finally:
        mount.close()


def test_nothing_leaves_that_is_not_masqueraded(host, family, way):
    mount = host.mount()
    try:
        capture = host.world.start([sys.executable, "-c", SOURCES, str(family.version)], stdout=subprocess.PIPE)
        assert capture.stdout.readline() == "ready\n"
        strange = family.pick(("10.9.9.9", "198.51.100.7"), ("fd00:9::9", "2001:db8:7::7"))
        with (mount.path / "network/eth0/frames").open("r+b", buffering=0) as frames:
            [tap] = json.loads(host.namespace.run(["ip", "-j", "link", "show", "schemefs0"]).stdout)
            ours = (mount.path / "netcfg/ifaces/eth0/mac").read_text().strip()
            link = bytes.fromhex(tap["address"].replace(":", "") + ours.replace("-", "") + family.pick("0800", "86dd"))
            for source in (family.ours, family.absent, way.world, *strange):
                for datagram in unmasked(family, source, way.world):
                    frames.write(link + datagram)
        shell(mount, f"cat icmp/ping/{way.world},count=1,size=99")
        assert capture.communicate(timeout=30)[0] == f"{way.host}\n"
    finally:
        mount.close()


def unmasked(family: Family, source: str, destination: str) -> Iterator[bytes]:
    """Yield datagrams of TCP, UDP and ICMP."""
    ends = {"src": ip_address(source).packed, "dst": ip_address(destination).packed}
    payloads = [(6, dpkt.tcp.TCP(sport=4000, dport=81, flags=flags)) for flags in (0x04, 0x12, 0x10, 0x03, 0x02)]
    payloads += [(17, dpkt.udp.UDP(sport=9, dport=9, ulen=8)), (family.pick(1, 58), b"\0\0\xff\xff" + bytes(4))]
    for protocol, payload in payloads:
        if family.version == 4:
            yield bytes(dpkt.ip.IP(**ends, p=protocol, data=payload))
        else:
            yield bytes(dpkt.ip6.IP6(**ends, nxt=protocol, hlim=64, plen=len(payload), data=payload))


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


def test_the_last_of_two_turns_forwarding_off(host, family, way):
    first = host.mount()
    second = host.mount("--driver", "tap", "--tap", "schemefs1", "--uplink")
    for mount in (second, first):
        assert "1 packets received" in shell(mount, f"cat icmp/ping/{way.world},count=1")
    assert "== 0x00000000 drop" in host.rules() or "== 0x0 drop" in host.rules()
    first.close()
    assert host.forwards(family) == "1"
    assert "1 packets received" in shell(second, f"cat icmp/ping/{way.world},count=1")
    second.close()
    assert host.forwards(family) == "0"


def test_where_it_cannot_be_had_a_sentence_says_so(host):
    with pytest.raises(MountFailed, match="give a host_address other than none"):
        host.mount("--driver", "tap", "--uplink", "--host-address", "none")
    with pytest.raises(MountFailed, match="--uplink is an option of the driver tap, which loopback does not have"):
        host.mount("--driver", "loopback", "--uplink")
    assert not list(Path("/proc/self/net").glob("schemefs0"))
