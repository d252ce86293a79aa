"""Signals: how soon each kind of blocked call ends, and that a transfer full of them loses and doubles nothing."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

PROMPT = 0.050  # seconds from the signal to the end of the process
TRIES = 5  # the machine may be busy; a call that waits for anything but the signal is late every time
SOON = 20.0

# Each ends up in a call that does not return by itself; the descriptors in the set-up stay open.
BLOCKED = {
    "accept": "os.open('tcp/:0,accept', os.O_RDWR)",
    "listen": """
        ctl = os.open('tcp/clone', os.O_RDWR); number = os.read(ctl, 10).decode().strip(); os.write(ctl, b'announce :0')
        os.open(f'tcp/{number}/listen', os.O_RDWR)""",
    "connect": """
        os.open(f'tcp/[LO]:{full()}', os.O_RDWR)""",
    "connect by ctl": """
        ctl = os.open('tcp/clone', os.O_RDWR); os.write(ctl, b'connect [LO]:%d' % full())""",
    "connect to a name": "silent(); os.open('tcp/example.com:80', os.O_RDWR)",
    "look up": "silent(); os.open('dns/example.com', os.O_RDONLY)",
    "tls handshake": "file, port = listener(); os.open(f'tls/[LO]:{port},verify=no', os.O_RDWR)",
    "accept udp": "os.open('udp/:0,accept', os.O_RDWR)",
    "read ping": """
        ping = os.open('icmp/ping/LO,interval=60', os.O_RDONLY)
        while True: os.read(ping, 1 << 20)""",
    "read tcp": "a, b = pair(); os.read(a, 1)",
    "write tcp": """
        a, b = pair()
        while True: os.write(a, bytes(1 << 20))""",
    "fsync tcp": """
        a, b = pair(); os.set_blocking(a, False)
        try:
            while True: os.write(a, bytes(1 << 16))
        except BlockingIOError: os.fsync(a)""",
    "read listener": "os.read(os.open('tcp/:0', os.O_RDWR), 100)",
    "read udp": "os.read(os.open('udp/:0', os.O_RDWR), 100)",
    "read icmp": "os.read(os.open('icmp/echo/LO', os.O_RDWR), 100)",
    "read icmp errors": "os.read(os.open('icmp/errors', os.O_RDONLY), 100)",
    "read ip": "os.read(os.open('ip/fd', os.O_RDWR), 100)",
    "read frames": "os.read(os.open('network/lo/frames', os.O_RDWR), 100)",
    "read events": "os.read(os.open('event/queue', os.O_RDWR), 100)",
    "poll": """
        poller = select.poll(); poller.register(os.open('event/queue', os.O_RDWR), select.POLLIN); poller.poll()""",
}
# Python would turn SIGINT into an exception and a traceback, which is its own time and not the call's.
SETUP = """
import os, select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
def listener(options=''):
    file = os.open('tcp/:0' + options, os.O_RDWR)
    name = os.getxattr(file, 'user.conversation').decode()
    return file, int(open(name + '/local').read().strip().rpartition(':')[2])
def pair():
    file, port = listener()
    client = os.open(f'tcp/[LO]:{port}', os.O_RDWR)
    return client, os.open('tcp/' + os.read(file, 100).split()[0].decode() + '/data', os.O_RDWR)
def silent():
    # A name server that never answers.
    global server
    server = os.open('udp/:53,reuse', os.O_RDWR)
    open('netcfg/resolv/nameserver', 'w').write('LO')
def full():
    global held
    file, port = listener(',backlog=1')
    held = file, os.open(f'tcp/[LO]:{port}', os.O_RDWR)
    return port
"""


def state_of(pid: int) -> tuple[str, str]:
    return Path(f"/proc/{pid}/wchan").read_text(), Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@contextmanager
def blocked(mount: SchemeMount, family: Family, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in that call; seen twice, so that it is not one that is about to be answered."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", family.fill(SETUP + textwrap.dedent(code))],
        cwd=mount.path,
        stderr=subprocess.PIPE,
    )
    try:
        seen = 0

        def is_blocked() -> bool:
            nonlocal seen
            where, state = state_of(process.pid)
            if state == "Z":
                pytest.fail(process.stderr.read().decode() if process.stderr else "it has ended")
            seen = seen + 1 if "request_wait_answer" in where or "poll" in where else 0
            return seen == 5

        wait_until(is_blocked, lambda: state_of(process.pid))
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("call", BLOCKED)
def test_a_signal_ends_a_blocked_call_at_once(
    module_scheme_mount: SchemeMount, call: str, number: signal.Signals, family: Family
) -> None:
    if os.geteuid() != 0 and call in ("read ip", "read frames", "connect to a name", "look up"):
        pytest.skip("privileged")
    took = []
    for _ in range(TRIES):
        with blocked(module_scheme_mount, family, BLOCKED[call]) as process:
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(SOON) == -number
            took.append(time.monotonic() - began)
        if took[-1] <= PROMPT:
            return
    pytest.fail(f"{call}: {took} seconds to end on {number.name}")


WRITER = """
import hashlib, os, random, signal, sys
handled = 0
going = True
def handle(*_):
    global handled
    handled += 1
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGUSR1, handle)
signal.signal(signal.SIGTERM, stop)
file = os.open(sys.argv[1], os.O_WRONLY)
chance, digest, total = random.Random(1), hashlib.sha256(), 0
print('ready', flush=True)
while going:
    data = chance.randbytes(chance.choice((1, 100, 5000, 200_000, 1 << 20)))
    while data:
        count = os.write(file, data)
        digest.update(data[:count])
        total += count
        data = data[count:]
os.close(file)
print(digest.hexdigest(), total, handled)
"""

READER = """
import hashlib, os, random, signal, sys
handled = 0
def handle(*_):
    global handled
    handled += 1
signal.signal(signal.SIGUSR1, handle)
file = os.open(sys.argv[1], os.O_RDONLY)
chance, digest, total = random.Random(2), hashlib.sha256(), 0
print('ready', flush=True)
while data := os.read(file, chance.choice((1, 100, 5000, 200_000, 1 << 20))):
    digest.update(data)
    total += len(data)
print(digest.hexdigest(), total, handled)
"""


@pytest.mark.parametrize(
    "interrupts", [300, pytest.param(10_000, marks=pytest.mark.full)], ids=["some", "ten-thousand"]
)
def test_interrupts_during_a_transfer_lose_and_double_nothing(
    module_scheme_mount: SchemeMount, interrupts: int, family: Family
) -> None:
    """Random ones, to both ends; each call in which one falls begins anew, as Python does it after a handled signal."""
    chance = random.Random(3)
    path = module_scheme_mount.path
    port = 7000 + interrupts % 1000
    with open(path / f"tcp/:{port}", "rb", buffering=0) as listener:
        writer = _start(WRITER, path / f"tcp/{family.lo.at(port)}")
        reader = _start(READER, path / "tcp" / listener.read(100).split()[0].decode() / "rx")
        try:
            for _ in range(interrupts):
                chance.choice((writer, reader)).send_signal(signal.SIGUSR1)
                time.sleep(chance.random() * 0.002)  # the moment is what is being tried
            writer.terminate()
            sent = writer.communicate(timeout=60)[0].split()
            received = reader.communicate(timeout=60)[0].split()
        finally:
            writer.kill()
            reader.kill()
    assert received[:2] == sent[:2]
    assert int(sent[1]) > 0
    assert sent[0] != hashlib.sha256().hexdigest()
    assert int(sent[2]) + int(received[2]) > interrupts / 4  # the others found one pending already


def _start(program: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process
