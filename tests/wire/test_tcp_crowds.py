"""tcp and crowds of Linux clients: ten thousand connections at once, and a flood of SYNs while real ones are served."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = [pytest.mark.needs("fuse", "tap", "root")]

CLIENTS = """
import resource, socket, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
clients = [socket.create_connection((sys.argv[2], 7900), timeout=60) for _ in range(count)]
print("connected", flush=True)
for number, client in enumerate(clients):
    client.sendall(b"%d" % number)
for number, client in enumerate(clients):
    assert client.recv(100) == b"answer to %d" % number, number
    client.shutdown(socket.SHUT_WR)
for number, client in enumerate(clients):
    assert client.recv(100) == b"", number
print("all served", flush=True)
"""

FLOOD = """
import socket, sys, time
from tests.support.syn_frames import frame_size, syn_frames
rate, seconds, mac = int(sys.argv[1]), float(sys.argv[2]), bytes.fromhex(sys.argv[3])
us = bytes.fromhex(sys.argv[4])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("schemefs0", 0))
frames = syn_frames(int(rate * seconds), mac, raw.getsockname()[4], us, 7910)
frame = frame_size(us)
sent, began = 0, time.monotonic()
print("flooding", flush=True)
while sent * frame < len(frames):
    while sent < rate * (time.monotonic() - began) and sent * frame < len(frames):
        try:
            raw.send(frames[sent * frame : (sent + 1) * frame])
        except OSError:  # the queue of the TAP is full
            pass
        sent += 1
    time.sleep(0.002)
print(sent, flush=True)
"""

REAL = """
import socket, sys, time
slowest, served, end = 0.0, 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    began = time.monotonic()
    with socket.create_connection((sys.argv[2], 7910), timeout=10) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello to you"
    slowest, served = max(slowest, time.monotonic() - began), served + 1
print(served, slowest, flush=True)
"""


UPLOAD = """
import socket, sys
with socket.create_connection((sys.argv[2], 7910), timeout=30) as client:
    client.sendall(bytes(int(sys.argv[1])))
print("sent", flush=True)
"""


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, before[1])))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], max(count, before[1])))


def resident(pid: int) -> int:
    """Return the octets of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start(network: TapNetwork, program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}  # some import a module of tests
    return network.start_peer(command, stdout=subprocess.PIPE, env=environment)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def counter(tcp: Path, name: str) -> int:
    return int((tcp / "stats").read_text().split(f"{name}=")[1].split()[0])


@pytest.mark.full
@pytest.mark.parametrize("count", [10_000])
def test_ten_thousand_connections_at_once(count: int, family: Family) -> None:
    """All of them open, then each asked and answered, then all closed; nothing of them stays."""
    with TapNetwork(log_level="info") as network, many_descriptors(count + 100):
        tcp = network.mount.path / "tcp"
        listener = os.open(tcp / ":7900,backlog=1024", os.O_RDWR)
        before = resident(network.mount.pid)
        began = time.monotonic()
        family.prepare(network)
        clients = start(network, CLIENTS, count, family.ours)
        served = []
        for _ in range(count):
            name = os.read(listener, 100).split()[0].decode()
            served.append(os.open(tcp / name / "data", os.O_RDWR))
        assert line(clients) == "connected"
        took = time.monotonic() - began
        each = (resident(network.mount.pid) - before) / count
        sys.stdout.write(
            f"{count / took:.0f} connections a second, {each / 1024:.1f} KiB of memory each, files and all\n"
        )
        for descriptor in served:
            os.write(descriptor, b"answer to " + os.read(descriptor, 100))
        for descriptor in served:
            assert os.read(descriptor, 100) == b""
            os.close(descriptor)
        assert line(clients) == "all served"
        os.close(listener)
        wait_until(lambda: not any(name.isdecimal() for name in os.listdir(tcp)))


def flooded(network: TapNetwork, family: Family, rate: int, seconds: float) -> subprocess.Popen[str]:
    """Begin a flood; return when its SYNs are answered with cookies."""
    tcp = network.mount.path / "tcp"
    mac = (network.mount.path / "netcfg/ifaces/eth0/mac").read_text().strip().replace("-", "").replace(":", "")
    flood = start(network, FLOOD, rate, seconds, mac, ip_address(family.ours).packed.hex())
    assert line(flood) == "flooding"
    wait_until(lambda: counter(tcp, "syn_cookies_sent") > 0)
    return flood


def test_linux_opens_a_connection_by_a_cookie(family: Family) -> None:
    """RFC 4987: the queue is full of strangers; window scale, SACK and timestamps are agreed on all the same."""
    size = 1 << 20
    with TapNetwork(log_level="info") as network:
        tcp = network.mount.path / "tcp"
        listener = os.open(tcp / ":7910", os.O_RDWR)
        family.prepare(network)
        flooded(network, family, 4000, 1.5).wait()
        client = start(network, UPLOAD, size, family.ours)
        number = os.read(listener, 100).split()[0].decode()
        with (tcp / number / "data").open("rb") as data:
            status = dict(row.split("=", 1) for row in (tcp / number / "status").read_text().split())
            assert len(data.read()) == size
        assert line(client) == "sent"
        assert (status["state"], status["timestamps"], status["sack"]) == ("ESTABLISHED", "yes", "yes")
        assert int(status["snd_scale"]) > 0
        assert status["rcv_scale"] == "7"
        assert counter(tcp, "syn_cookies_received") == 1
        os.close(listener)


@pytest.mark.full
def test_real_clients_are_served_during_a_flood_of_syns(family: Family) -> None:
    """RFC 4987: strangers that never answer fill the queue, and from then on cookies are answered."""
    rate, seconds = 3000, 6
    with TapNetwork(log_level="info") as network:
        tcp = network.mount.path / "tcp"
        listener = os.open(tcp / ":7910", os.O_RDWR)
        family.prepare(network)
        flood = flooded(network, family, rate, seconds)
        real = start(network, REAL, 3, family.ours)
        served = 0
        os.set_blocking(listener, False)
        while real.poll() is None:
            try:
                name = os.read(listener, 100).split()[0].decode()
            except BlockingIOError:
                select.select([listener], [], [], 0.1)  # or the client has ended
                continue
            data = os.open(tcp / name / "data", os.O_RDWR)
            assert os.read(data, 100) == b"hello"
            os.write(data, b"hello to you")
            os.close(data)
            served += 1
        told, slowest = line(real).split()
        sent, cookies = int(line(flood)), counter(tcp, "syn_cookies_received")
        sys.stdout.write(f"{sent} SYNs, {told} served, {cookies} by a cookie, the slowest in {float(slowest):.3f} s\n")
        assert served == int(told) > 0
        assert cookies >= served
        assert counter(tcp, "aborted_syn_queue_full") == 0
        os.close(listener)
