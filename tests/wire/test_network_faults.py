"""What goes wrong in networks, against Linux: a device pulled, an address twice, a dead gateway, floods, fragments."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import V4, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
# Sends frames from the kernel's side of the TAP, whatever they say: {mac} is ours, {peer} the kernel's.
RAW = """
import socket, struct, sys, dpkt
from ipaddress import ip_address
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("schemefs0", 3))  # ETH_P_ALL
us, them = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2])
ours, theirs = (ip_address(text).packed for text in sys.argv[3:])
"""


def read(network: TapNetwork, name: str) -> str:
    return (network.mount.path / name).read_text()


def counter(network: TapNetwork, file: str, name: str) -> int:
    found = re.search(rf"^{name}=(\d+)$", read(network, file), re.MULTILINE)
    assert found, name
    return int(found[1])


def kernel_mac(network: TapNetwork) -> str:
    (link,) = json.loads(network.run_peer(["ip", "-j", "link", "show", "schemefs0"]).stdout)
    return str(link["address"])


def send_raw(network: TapNetwork, script: str, family: Family = V4) -> str:
    mac = read(network, "netcfg/iface/eth0/mac").strip().replace(":", "")
    theirs = kernel_mac(network).replace(":", "")
    command = [sys.executable, "-c", RAW + textwrap.dedent(script), mac, theirs, family.ours, family.peer]
    return str(network.run_peer(command).stdout)


def pings(network: TapNetwork, address: str = TapNetwork.address) -> bool:
    return "1 received" in network.run_peer(["ping", "-c", "1", "-W", "10", address], check=False).stdout


def test_an_interface_pulled_and_put_back_while_transferring(
    tap_network: TapNetwork, tmp_path: Path, family: Family
) -> None:
    network = tap_network
    octets = tmp_path / "octets"
    octets.write_bytes(os.urandom(6 << 20))
    config = network.mount.path / "netcfg/config"
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("rate 30mbit direction in")
    saved = config.read_text()
    server = network.start_peer([sys.executable, PEERS, "source", "7001", str(octets)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    got = tmp_path / "got"
    with got.open("wb") as file:
        reader = subprocess.Popen(["cat", str(network.mount.path / "tcp" / family.peer.at(7001))], stdout=file)
    wait_until(lambda: got.stat().st_size > 1 << 20)
    network.run_peer(["ip", "link", "delete", "schemefs0"])
    wait_until(lambda: not (network.mount.path / "netcfg/ifaces/eth0").exists())
    assert "eth0" not in config.read_text()
    assert reader.poll() is None
    config.write_text(saved)
    assert config.read_text() == saved
    assert reader.wait(timeout=40) == 0
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(octets.read_bytes()).digest()


def test_an_address_that_linux_has_already_is_given_up(tap_network: TapNetwork) -> None:
    network = tap_network
    network.run_peer(["ip", "address", "add", "10.0.2.50/24", "dev", "schemefs0"])
    addr = network.mount.path / "netcfg/ifaces/eth0/addr"
    (addr / "add").write_text("10.0.2.50/24")
    wait_until(lambda: (addr / "duplicates").read_text() != "")
    theirs = kernel_mac(network)
    assert (addr / "duplicates").read_text() == f"10.0.2.50/24 {theirs.replace(':', '-')}\n"
    assert [line for line in (addr / "list").read_text().splitlines() if ":" not in line] == ["10.0.2.15/24"]
    assert read(network, "netcfg/err") == f"10.0.2.50 on eth0 is no longer used; {theirs} has it too\n"
    assert "duplicate_addresses=10.0.2.50" in read(network, "netcfg/ifaces/eth0/stats")
    wait_until(lambda: "10.0.2.50 on eth0 is in use already, by" in network.mount.log())
    assert '"10.0.2.50/24"' in read(network, "netcfg/config")
    assert pings(network)
    with pytest.raises(OSError, match="Cannot assign"):
        (network.mount.path / "tcp/10.0.2.2:9,from=10.0.2.50:0").open("rb")
    (addr / "rm").write_text("10.0.2.50/24")
    assert (addr / "duplicates").read_text() == ""
    assert "duplicate_addresses=none" in read(network, "netcfg/ifaces/eth0/stats")
    assert pings(network)


def test_an_address_that_linux_insists_on_is_defended_and_its_conversations_hear_of_it(tap_network: TapNetwork) -> None:
    network = tap_network
    mount = network.mount.path
    (mount / "netcfg/ifaces/eth0/addr/add").write_text("10.0.2.60/24")
    with ExitStack() as stack:
        heard = _conversations_of(mount, "10.0.2.60", stack)
        _claim_twice(network)
        wait_until(lambda: "uses our address 10.0.2.60" in network.mount.log())
        sentence = f"10.0.2.60 is also used by {kernel_mac(network)}: it is defended"
        wait_until(lambda: all(sentence in (each / "events").read_text() for each in heard))
        assert all((each / "err").read_text() == f"{sentence}\n" for each in heard)
        # Both claims were received, and what follows them finds the address in use.
        assert "1 received" in network.run_peer(["ping", "-c", "1", "10.0.2.60"]).stdout
        assert (mount / "netcfg/ifaces/eth0/addr/duplicates").read_text() == ""
    assert pings(network)


def _conversations_of(mount: Path, address: str, stack: ExitStack) -> list[Path]:
    """Open a listener, an udp and an icmp conversation with the local *address*; return their directories."""
    found = []
    for scheme, path in (("tcp", f"{address}:7070,listen,events"), ("udp", f"{address}:7070,bind,events")):
        before = set(os.listdir(mount / scheme))
        descriptor = os.open(mount / scheme / path, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, descriptor)
        [number] = set(os.listdir(mount / scheme)) - before
        found.append(mount / scheme / number)
    return found


def _claim_twice(network: TapNetwork) -> None:
    send_raw(
        network,
        """
        def claim():
            address = socket.inet_aton("10.0.2.60")
            arp = dpkt.arp.ARP(op=1, sha=them, spa=address, tha=bytes(6), tpa=address)
            raw.send(bytes(dpkt.ethernet.Ethernet(dst=b"\\xff" * 6, src=them, type=0x0806, data=arp)))
        def announcements():
            raw.settimeout(20)
            while True:
                frame = dpkt.ethernet.Ethernet(raw.recv(2048))
                if frame.type == 0x0806 and frame.src == us and frame.data.spa == socket.inet_aton("10.0.2.60"):
                    return
        announcements()  # it is claimed for good
        claim()
        announcements()  # and defended
        claim()
        """,
    )


def test_linux_finds_that_our_address_is_taken(tap_network: TapNetwork) -> None:
    network = tap_network
    send_raw(
        network,
        """
        arp = dpkt.arp.ARP(op=1, sha=them, spa=bytes(4), tha=bytes(6), tpa=ours)
        raw.settimeout(3)
        raw.send(bytes(dpkt.ethernet.Ethernet(dst=b"\\xff" * 6, src=them, type=0x0806, data=arp)))
        while True:
            frame = dpkt.ethernet.Ethernet(raw.recv(2048))
            if frame.type == 0x0806 and frame.data.op == 2 and frame.data.spa == ours:
                assert frame.data.sha == us
                break
        """,
    )


def test_a_second_default_route_takes_over_when_the_gateway_is_dead(tap_network: TapNetwork, family: Family) -> None:
    network = tap_network
    second = family.link.partition("/")[0].removesuffix("0") + "3"
    network.run_peer(["ip", "address", "add", f"{second}/{family.link.rpartition('/')[2]}", "dev", "schemefs0"])
    network.run_peer(["ip", "address", "add", f"{family.unrouted}/{family.bits}", "dev", "lo"])
    routes = network.mount.path / "netcfg/route"
    (routes / "rm").write_text(family.pick("default", "::/0"))
    (routes / "add").write_text(f"default via {family.absent}\ndefault via {second} metric 10\n")
    said = subprocess.run(
        ["cat", str(network.mount.path / f"icmp/ping/{family.unrouted},count=2,timeout=5")],
        capture_output=True, text=True, timeout=20, check=False,
    ).stdout  # fmt: skip
    assert "2 packets received" in said
    assert f"{family.absent} does not answer" in (routes / "get" / family.unrouted).read_text()


def test_a_flood_of_arp_neither_fills_memory_nor_costs_a_neighbor(tap_network: TapNetwork) -> None:
    network = tap_network
    assert pings(network)
    send_raw(
        network,
        """
        for number in range(20000):
            mac, address = b"\\x02\\0" + struct.pack(">I", number), struct.pack(">I", 0x0A000200 + 16 + number % 230)
            arp = dpkt.arp.ARP(op=1, sha=mac, spa=address, tha=bytes(6), tpa=ours)
            if number % 1000 == 0:
                spoof = dpkt.arp.ARP(op=2, sha=mac, spa=theirs, tha=us, tpa=ours)
                raw.send(bytes(dpkt.ethernet.Ethernet(dst=us, src=mac, type=0x0806, data=spoof)))
            raw.send(bytes(dpkt.ethernet.Ethernet(dst=b"\\xff" * 6, src=mac, type=0x0806, data=arp)))
        """,
    )
    assert pings(network)
    listed = read(network, "netcfg/ifaces/eth0/neighbors/list")
    theirs = kernel_mac(network).replace(":", "-")
    assert f"10.0.2.2 {theirs}" in listed
    assert counter(network, "netcfg/ifaces/eth0/stats", "neighbors") <= 1024


def test_fragments_that_overlap_or_never_end_are_dropped_and_counted(tap_network: TapNetwork) -> None:
    network = tap_network
    send_raw(
        network,
        """
        def fragment(number, offset, payload, more):
            ip = dpkt.ip.IP(src=theirs, dst=ours, p=1, id=number, mf=more, offset=offset // 8, data=payload)
            raw.send(bytes(dpkt.ethernet.Ethernet(dst=us, src=them, type=0x0800, data=ip)))
        echo = bytes(dpkt.icmp.ICMP(type=8, data=dpkt.icmp.ICMP.Echo(id=1, seq=1, data=bytes(64))))
        fragment(1, 0, echo[:48], 1)
        fragment(1, 40, echo[40:], 0)
        for number in range(2, 3000):
            fragment(number, 0, bytes(1480), 1)
        """,
    )
    wait_until(lambda: counter(network, "ip/stats", "dropped_overlapping_fragment") >= 1)
    wait_until(lambda: counter(network, "ip/stats", "dropped_reassembly_memory") > 0)
    # The rest of the flood may be on its way still: it takes the place of a datagram that is not whole.
    ping = ["ping", "-c", "2", "-i", "0.1", "-w", "10", "-s", "8000", network.address]
    assert " 2 received" in network.run_peer(ping).stdout


def test_frames_with_a_priority_and_no_vlan_are_answered(tap_network: TapNetwork, family: Family) -> None:
    """IEEE 802.1Q: VLAN id 0."""
    heard = send_raw(
        tap_network,
        """
        raw.settimeout(5)
        is_v4 = len(ours) == 4
        for tag in (0x8100A000, 0x88A80000):
            echo = dpkt.icmp.ICMP.Echo(id=tag & 0xFFFF, seq=1, data=bytes(64))
            if is_v4:
                ip = dpkt.ip.IP(src=theirs, dst=ours, p=1, data=dpkt.icmp.ICMP(type=8, data=echo))
            else:
                echo = dpkt.icmp6.ICMP6(type=128, data=echo)
                ip = dpkt.ip6.IP6(src=theirs, dst=ours, nxt=58, hlim=64, plen=len(echo), data=echo)
            raw.send(us + them + struct.pack(">I", tag) + (b"\\x08\\0" if is_v4 else b"\\x86\\xdd") + bytes(ip))
            while True:
                ip = dpkt.ethernet.Ethernet(raw.recv(2048)).data
                if isinstance(ip, dpkt.ip.IP if is_v4 else dpkt.ip6.IP6) and ip.src == ours:
                    reply = ip.data
                    if reply.type == (0 if is_v4 else 129) and bytes(reply)[4:6] == struct.pack(">H", tag & 0xFFFF):
                        break
            print(reply.type)
        """,
        family,
    )
    assert heard == family.pick("0\n0\n", "129\n129\n")


def test_errors_are_limited_in_rate(tap_network: TapNetwork, family: Family) -> None:
    network = tap_network
    send_raw(
        network,
        """
        udp = dpkt.udp.UDP(sport=9, dport=9, data=b"x" * 20)
        udp.ulen = len(udp)
        if len(ours) == 4:
            kind, ip = 0x0800, dpkt.ip.IP(src=theirs, dst=ours, p=17, data=udp)
        else:
            kind, ip = 0x86DD, dpkt.ip6.IP6(src=theirs, dst=ours, nxt=17, hlim=64, plen=len(udp), data=udp)
        frame = bytes(dpkt.ethernet.Ethernet(dst=us, src=them, type=kind, data=ip))
        for _ in range(5000):
            raw.send(frame)
        """,
        family,
    )
    wait_until(lambda: counter(network, "icmp/stats", "withheld_rate_limited") > 100)
    assert pings(network, family.ours)
