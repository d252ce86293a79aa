"""READ and WRITE with the entry of the hooks off; what must go on while a program and its peer answer at once."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

OFF = {"SCHEMEFS_ENTRY": "off"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def off() -> Iterator[Path]:
    with SchemeMount(environment=OFF, log_level="info") as mount:
        yield mount.path


def connection(mount: Path, family: Family, port: int) -> tuple[int, int]:
    listener = os.open(mount / f"tcp/:{port}", os.O_RDWR)
    client = os.open(mount / f"tcp/{family.lo.at(port)}", os.O_RDWR)
    server = os.open(mount / "tcp" / os.read(listener, 100).split()[0].decode() / "data", os.O_RDWR)
    os.close(listener)
    return client, server


def test_octets_poll_and_o_nonblock_without_the_entry(off: Path, family: Family) -> None:
    client, server = connection(off, family, 7001)
    os.set_blocking(server, False)
    with pytest.raises(BlockingIOError):
        os.read(server, 1)
    os.set_blocking(server, True)
    assert os.write(client, b"octets") == 6
    assert select.select([server], [], [], 20.0)[0]
    assert os.read(server, 100) == b"octets"
    large = bytes(3 << 20)
    writer = threading.Thread(target=lambda: os.write(client, large), daemon=True)
    writer.start()
    got = 0
    while got < len(large):
        got += len(os.read(server, 1 << 20))
    writer.join()
    os.close(client)
    assert os.read(server, 1) == b""
    os.close(server)
    assert "netcfg" in (off / "README").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_a_parked_read_without_the_entry(off: Path, number: int) -> None:
    reader = subprocess.Popen(["cat", off / "tcp/:0"], stderr=subprocess.DEVNULL)
    wait_until(lambda: observing.stats(off / "stats")["parked"] == 1, "not parked")
    reader.send_signal(number)
    assert reader.wait(20) == -number
    wait_until(lambda: observing.stats(off / "stats")["parked"] == 0, "still parked")


@pytest.mark.full
def test_every_test_of_the_mount_passes_without_the_entry() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/mount", f"--ignore={__file__}"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | OFF, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_nothing_is_starved_while_octets_go_to_and_fro(scheme_mount: SchemeMount, family: Family) -> None:
    """Opens that wait, timers, tasks and threads of the daemon go on while its worker finds a request at each look."""
    mount = scheme_mount.path
    ends = connection(mount, family, 7002)
    stop = threading.Event()
    trips = [0]

    def play() -> None:
        there, here = ends
        while not stop.is_set():
            os.write(there, b"x")
            os.read(here, 1)
            there, here = here, there
            trips[0] += 1

    player = threading.Thread(target=play)
    player.start()
    try:
        began = time.monotonic()
        listener = os.open(mount / "tcp/:7003", os.O_RDWR)
        for _ in range(20):
            os.close(os.open(mount / f"tcp/{family.lo.at(7003)}", os.O_RDWR))  # waits for the handshake
        os.close(listener)
        answers = (mount / f"icmp/ping/{family.lo},count=2,interval=0.2").read_text()  # by timers
        seconds = time.monotonic() - began
    finally:
        stop.set()
        player.join()
        for descriptor in ends:
            os.close(descriptor)
    assert "2 packets received" in answers
    assert trips[0] > 20
    assert seconds < 10.0
