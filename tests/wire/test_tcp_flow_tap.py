"""tcp against the Linux stack: slow readers, vanished peers, short connections, and how long an answer takes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import select
import statistics
import subprocess
import sys
import time

import pytest

from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("root", "tap", "fuse")

SLOW_SINK = """
import hashlib, socket
s = socket.create_server(("", 7100), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
c, _ = s.accept(); input()
h = hashlib.sha256()
while d := c.recv(1 << 18): h.update(d)
print(h.hexdigest(), flush=True)
"""

SOURCE = """
import hashlib, os, socket
s = socket.create_server(("", 7101), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
c, _ = s.accept()
data = os.urandom(20 << 20)
print(hashlib.sha256(data).hexdigest(), flush=True)
c.sendall(data); c.close()
"""

ECHO = """
import socket, threading
s = socket.create_server(("", 7102), backlog=100, family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
def serve(c):
    with c:
        while d := c.recv(65536): c.sendall(d)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

ABORTS = """
import socket, struct
s = socket.create_server(("", 7103), family=socket.AF_INET6, dualstack_ipv6=True); print("ready", flush=True)
c, _ = s.accept()
c.sendall(b"so far"); c.recv(1)
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()
s.accept()
"""

MANY = """
import socket, sys
for number in range(200):
    with socket.create_connection((sys.argv[1], 7200), timeout=5) as c:
        c.sendall(b"%d\\n" % number); c.shutdown(socket.SHUT_WR)
        assert c.recv(100) == b"", number
print("all served")
"""


def start(network, program: str) -> subprocess.Popen[str]:
    server = network.start_peer([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    return server


def opened(network, address: str) -> int:
    return os.open(network.mount.path / "tcp" / address, os.O_RDWR)


def drain(descriptor: int) -> str:
    digest = hashlib.sha256()
    while data := os.read(descriptor, 1 << 20):
        digest.update(data)
    return digest.hexdigest()


def status(network, descriptor: int) -> dict[str, str]:
    name = os.getxattr(descriptor, "user.conversation").decode()
    return dict(line.split("=", 1) for line in (network.mount.path / name / "status").read_text().splitlines())


def test_a_linux_reader_that_is_late(module_tap_network, family):
    """Its window closes, and is probed; the transfer goes on once it opens again."""
    server = start(module_tap_network, SLOW_SINK)
    data = os.urandom(20 << 20)
    descriptor = opened(module_tap_network, family.peer.at(7100))
    os.set_blocking(descriptor, False)
    rest = memoryview(data)

    def fill_until_closed() -> bool:
        nonlocal rest
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            pass
        return status(module_tap_network, descriptor)["snd_wnd"] == "0"

    wait_until(fill_until_closed, lambda: str(status(module_tap_network, descriptor)))
    sent = int(status(module_tap_network, descriptor)["segments_out"])
    wait_until(lambda: int(status(module_tap_network, descriptor)["segments_out"]) > sent, "no probe")
    assert rest
    server.stdin.write("read\n")
    server.stdin.flush()
    os.set_blocking(descriptor, True)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.close(descriptor)
    assert server.stdout.readline().strip() == hashlib.sha256(data).hexdigest()


def next_probe(network, port: int) -> float:
    """Return the seconds until the peer's socket of *port* probes our closed window; 0.0: it does not wait for that."""
    shown = network.run_peer(["ss", "-tnoH", f"sport = :{port}"]).stdout
    timer = re.search(r"timer:\(persist,(?:(\d+)min)?(?:([\d.]+)sec)?(?:(\d+)ms)?,", shown)
    minutes, seconds, milliseconds = (float(part or 0) for part in timer.groups()) if timer else (0.0, 0.0, 0.0)
    return minutes * 60 + seconds + milliseconds / 1000


def test_we_are_late_reading(module_tap_network, family):
    """Our window closes; the update goes out with the first read, not with the answer to the peer's next probe."""
    server = start(module_tap_network, SOURCE)
    descriptor = opened(module_tap_network, family.peer.at(7101))
    sent = server.stdout.readline().strip()
    wait_until(lambda: next_probe(module_tap_network, 7101) > 2.0, "the peer does not back off its probes")
    began = time.monotonic()
    assert drain(descriptor) == sent
    assert time.monotonic() - began < 2.0
    os.close(descriptor)


def test_a_round_trip_of_one_octet_waits_for_no_timer(module_tap_network, family):
    start(module_tap_network, ECHO)
    descriptor = opened(module_tap_network, f"{family.peer.at(7102)},nodelay")
    times = []
    for _ in range(200):
        began = time.monotonic()
        os.write(descriptor, b"x")
        assert os.read(descriptor, 10) == b"x"
        times.append(time.monotonic() - began)
    os.close(descriptor)
    assert statistics.median(times) < 0.010


def test_a_hundred_connections_at_once(module_tap_network, family):
    start(module_tap_network, ECHO)
    descriptors = [opened(module_tap_network, family.peer.at(7102)) for _ in range(100)]
    for number, descriptor in enumerate(descriptors):
        os.write(descriptor, str(number).encode())
    for number, descriptor in enumerate(descriptors):
        assert os.read(descriptor, 100) == str(number).encode()
        os.close(descriptor)


def test_reset_delivers_what_had_arrived(module_tap_network, family):
    start(module_tap_network, ABORTS)
    descriptor = opened(module_tap_network, family.peer.at(7103))
    assert os.read(descriptor, 3) == b"so "
    os.write(descriptor, b"x")
    poll = select.poll()
    poll.register(descriptor, 0)
    assert poll.poll(5000)  # the reset has come
    assert os.read(descriptor, 100) == b"far"
    with pytest.raises(OSError) as caught:
        os.read(descriptor, 1)
    assert caught.value.errno == errno.ECONNRESET
    assert os.read(descriptor, 1) == b""
    with pytest.raises(OSError) as caught:
        os.write(descriptor, b"x")
    assert caught.value.errno == errno.EPIPE
    os.close(descriptor)


def test_nobody_there_is_said_within_seconds(module_tap_network, family):
    began = time.monotonic()
    with pytest.raises(OSError) as caught:
        opened(module_tap_network, family.absent.at(80))
    assert caught.value.errno == errno.EHOSTUNREACH
    assert time.monotonic() - began < 4.0


def test_the_connect_timeout_option(module_tap_network, family):
    began = time.monotonic()
    with pytest.raises(OSError) as caught:
        opened(module_tap_network, f"{family.unrouted.at(80)},timeout=1")
    assert caught.value.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
    assert time.monotonic() - began < 3.0


def test_two_hundred_short_connections_to_us(module_tap_network, family):
    tcp = module_tap_network.mount.path / "tcp"
    listener = os.open(tcp / ":7200", os.O_RDWR)
    client = module_tap_network.start_peer([sys.executable, "-c", MANY, family.ours], stdout=subprocess.PIPE)
    for number in range(200):
        accepted = os.read(listener, 100).split()[0].decode()
        descriptor = os.open(tcp / accepted / "data", os.O_RDWR)
        assert os.read(descriptor, 100) == b"%d\n" % number
        os.close(descriptor)
    assert client.communicate(timeout=20)[0] == "all served\n"
    os.close(listener)
    wait_until(lambda: not any(name.isdecimal() for name in os.listdir(tcp)), lambda: os.listdir(tcp), patience=10)
