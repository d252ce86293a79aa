"""udp and ip against the Linux stack on the other side of a TAP."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from ipaddress import ip_address

import dpkt
import pytest

pytestmark = pytest.mark.needs("root", "tap", "fuse")

PYTHON_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 5353)); print("ready", flush=True)
while True:
    data, sender = s.recvfrom(70000)
    s.sendto(data, sender)
"""

PYTHON_ASK = """
import socket, sys
us, *sizes = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in us else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
for size in map(int, sizes):
    sent = bytes(range(256)) * 256; sent = sent[:size]
    s.sendto(sent, (us, 5000))
    got = s.recv(70000)
    assert got == sent, (size, len(got))
print("all equal")
"""


@pytest.fixture(scope="module")
def echo(module_tap_network):
    server = module_tap_network.start_peer(["python3", "-c", PYTHON_ECHO], stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    return module_tap_network


@pytest.mark.both_families
def test_every_size_comes_back_whole(echo, family):
    descriptor = os.open(echo.mount.path / f"udp/{family.peer.at(5353)},read_timeout=5", os.O_RDWR)
    try:
        for size in (1, 2, 100, 1472, 1473, 3000, 9000, 65507):
            sent = os.urandom(size)
            assert os.write(descriptor, sent) == size
            assert os.read(descriptor, 70000) == sent
        with pytest.raises(OSError) as caught:
            os.write(descriptor, bytes(65508))
        assert caught.value.errno == errno.EMSGSIZE
    finally:
        os.close(descriptor)


def test_a_server_with_headers_answers_the_peer(module_tap_network, family):
    path = module_tap_network.mount.path / "udp/:5000,headers,read_timeout=10"
    descriptor = os.open(path, os.O_RDWR)
    sizes = [1, 500, 1473, 20000, 65000]
    try:
        asking = module_tap_network.start_peer(
            ["python3", "-c", PYTHON_ASK, family.ours, *map(str, sizes)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for size in sizes:
            line, _, payload = os.read(descriptor, 80000).partition(b"\n")
            sender, length = line.split()
            assert int(length) == len(payload) == size
            os.write(descriptor, sender + b"\n" + payload)
        assert asking.communicate(timeout=20)[0] == "all equal\n"
    finally:
        os.close(descriptor)


def test_a_closed_port_is_connection_refused_on_the_next_call(module_tap_network, family):
    script = f"exec 3<>{module_tap_network.mount.path}/udp/{family.peer.at(9)}; echo x >&3; timeout 5 cat <&3"
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True, timeout=10)
    assert "Connection refused" in done.stderr


def test_nobody_there_is_said_within_three_seconds(module_tap_network, family):
    descriptor = os.open(module_tap_network.mount.path / f"udp/{family.absent.at(9)}", os.O_RDWR)
    try:
        began = time.monotonic()
        os.write(descriptor, b"x")
        with pytest.raises(OSError) as caught:
            os.read(descriptor, 10)
        assert caught.value.errno == errno.EHOSTUNREACH
        assert 2.5 < time.monotonic() - began < 3.5
    finally:
        os.close(descriptor)


def test_the_peer_is_told_that_a_port_is_closed(module_tap_network, family):
    code = (
        f"import socket; s = socket.socket(socket.{family.socket}, socket.SOCK_DGRAM); s.settimeout(5)\n"
        f"s.connect(('{family.ours}', 4999)); s.send(b'x')\n"
        "try: s.recv(1)\nexcept ConnectionRefusedError: print('refused')"
    )
    assert module_tap_network.run_peer(["python3", "-c", code]).stdout == "refused\n"


def test_raw_udp_is_finished_and_judged_by_dpkt(module_tap_network, family):
    path = module_tap_network.mount.path / f"ip/udp,from={family.peer}"
    descriptor = os.open(path, os.O_RDWR)
    try:
        code = (
            f"import socket; s = socket.socket(socket.{family.socket}, socket.SOCK_DGRAM)\n"
            f"s.sendto(b'a raw look', ('{family.ours}', 4998))"
        )
        module_tap_network.run_peer(["python3", "-c", code])
        datagram = family.pick(dpkt.ip.IP, dpkt.ip6.IP6)
        ip = datagram(os.read(descriptor, 2000))
        assert bytes(ip.data.data) == b"a raw look"
        # Linux leaves the sum to the device: here it must have been finished.
        ours, ip.data.sum, ip.sum = ip.data.sum, 0, 0
        assert datagram(bytes(ip)).data.sum == ours
    finally:
        os.close(descriptor)


def test_a_raw_datagram_that_is_written_reaches_the_peer(echo, family):
    path = echo.mount.path
    reader = os.open(path / "udp/:4997,read_timeout=5", os.O_RDWR)
    writer = os.open(path / "ip/11", os.O_WRONLY)
    try:
        udp = dpkt.udp.UDP(sport=4997, dport=5353, data=b"by hand", ulen=15)
        ends = {"src": ip_address(family.ours).packed, "dst": ip_address(family.peer).packed, "data": udp}
        v4 = dpkt.ip.IP(**ends, p=17, ttl=9, len=0)
        os.write(writer, bytes(family.pick(v4, dpkt.ip6.IP6(**ends, nxt=17, hlim=9, plen=len(udp)))))
        assert os.read(reader, 100) == b"by hand"
    finally:
        os.close(writer)
        os.close(reader)


def test_two_shells_talk_through_lo(module_tap_network, family):
    path = module_tap_network.mount.path
    script = (
        f"exec 4<>{path}/udp/{family.lo.at(4996)},from={family.lo.at(4995)}\n"
        f"exec 5<>{path}/udp/{family.lo.at(4995)},from={family.lo.at(4996)},bytes\n"
        "echo hello >&4; read -r line <&5; echo got $line"
    )
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True, timeout=10)
    assert done.stdout == "got hello\n", done.stderr


def test_a_dhcp_like_broadcast_reaches_the_peer_and_theirs_us(module_tap_network):
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.bind(('', 4994)); print('ready', flush=True)\n"
        "data, sender = s.recvfrom(100); s.sendto(data.upper(), ('10.0.2.255', 4993))"
    )
    peer = module_tap_network.start_peer(["python3", "-c", code], stdout=subprocess.PIPE)
    assert peer.stdout.readline() == "ready\n"
    descriptor = os.open(module_tap_network.mount.path / "udp/:4993,headers,read_timeout=5", os.O_RDWR)
    try:
        os.write(descriptor, b"255.255.255.255:4994\nto all")
        heard = [os.read(descriptor, 100)]
        assert b"TO ALL" in heard[0]
    finally:
        os.close(descriptor)


def test_a_peer_with_a_new_mac_loses_no_ping(module_tap_network, family):
    network = module_tap_network
    assert "1 received" in network.run_peer(["ping", "-c", "1", "-W", "2", family.ours]).stdout
    network.run_peer(["ip", "link", "set", "dev", "schemefs0", "address", f"0a:12:34:56:78:{family.bits:02x}"])
    done = network.run_peer(["ping", "-c", "3", "-i", "0.2", "-W", "3", family.ours], check=False)
    assert "3 packets transmitted, 3 received" in done.stdout


WATCH_IGMP = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)); s.bind(("schemefs0", 0))
print("ready", flush=True)
while True:
    datagram = s.recv(2000)
    if datagram[9] == 2:
        message = datagram[(datagram[0] & 15) * 4:]
        print({0x16: "report", 0x17: "leave"}.get(message[0]), socket.inet_ntoa(message[4:8]), flush=True)
"""
SEND_TO_GROUP = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.2.2"))
s.sendto(b"to the group", ("239.7.7.7", 5010))
"""


def test_the_peer_sees_a_group_joined_and_left(module_tap_network):
    watch = module_tap_network.start_peer(["python3", "-c", WATCH_IGMP], stdout=subprocess.PIPE)
    assert watch.stdout.readline() == "ready\n"
    descriptor = os.open(module_tap_network.mount.path / "udp/:5010,read_timeout=5", os.O_RDWR)
    try:
        ctl = module_tap_network.mount.path / os.getxattr(descriptor, "user.conversation").decode() / "ctl"
        ctl.write_text("join 239.7.7.7\n")
        assert watch.stdout.readline() == "report 239.7.7.7\n"
        module_tap_network.run_peer(["python3", "-c", SEND_TO_GROUP])
        assert os.read(descriptor, 100) == b"to the group"
        ctl.write_text("leave 239.7.7.7\n")
        assert "leave 239.7.7.7\n" in iter(watch.stdout.readline, "")
    finally:
        os.close(descriptor)
