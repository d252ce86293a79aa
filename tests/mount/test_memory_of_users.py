"""What one user's buffers hold is bounded; another user is served meanwhile; and the memory goes back."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import stats, wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("root", "fuse")

LIMIT = 64 << 20
SHARE = LIMIT // 4
STEP = 256 << 10
SOON = 30.0

PAIR = """
import os, sys
listener = os.open('tcp/:0', os.O_RDWR)
port = open(os.getxattr(listener, 'user.conversation').decode() + '/local').read().strip().rpartition(':')[2]
def pair():
    client = os.open(f'tcp/[LO]:{port}', os.O_RDWR)
    return client, os.open('tcp/' + os.read(listener, 100).split()[0].decode() + '/data', os.O_RDWR)
"""
# Writes to 30 connections that it never reads, until none takes more.
TAKES = """
ends, block = [pair() for _ in range(30)], bytes(1 << 20)
for client, _ in ends: os.set_blocking(client, False)
taken = 0
for client, _ in ends:
    try:
        while True: taken += os.write(client, block)
    except BlockingIOError: pass
print(taken, flush=True)
sys.stdin.read()
for client, server in ends:
    os.close(server)
"""
# In pieces that a send buffer takes at every level (FLOOR): a longer write would wait for this program's own reads.
TALKS = """
client, server = pair()
sent = 0
while sent < 3 << 20:
    piece = os.write(client, bytes(1 << 14))
    sent += piece
    while piece: piece -= len(os.read(server, piece))
print('done')
"""


def user(uid: int, mounted: SchemeMount, family: Family, script: str) -> subprocess.Popen[str]:
    as_user = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all")
    command = [*as_user, sys.executable, "-S", "-c", family.fill(PAIR) + script]
    return subprocess.Popen(command, cwd=mounted.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def mounted(_no_leftovers: None) -> Iterator[SchemeMount]:
    with SchemeMount("--driver", "loopback", "--memory", "64M", log_level="info") as mount:
        yield mount
        assert "Traceback" not in mount.log()


def test_one_user_holds_its_share_and_the_other_is_served(mounted: SchemeMount, family: Family) -> None:
    before = stats(mounted.path / "stats")
    assert (before["held"], before["held_limit"], before["held_level"]) == (0, LIMIT, 0)
    greedy = user(65534, mounted, family, TAKES)
    assert greedy.stdout is not None
    taken = int(greedy.stdout.readline())
    held = stats(mounted.path / "stats")["held"]
    assert SHARE // 2 < held <= SHARE + 4 * STEP
    assert taken <= held + (2 << 20)
    other = user(65533, mounted, family, TALKS)
    assert other.communicate(timeout=SOON)[0] == "done\n"
    greedy.communicate(timeout=SOON)
    wait_until(lambda: stats(mounted.path / "stats")["held"] <= STEP, lambda: stats(mounted.path / "stats"))


def test_beyond_the_limit_each_user_still_gets_through(mounted: SchemeMount, family: Family) -> None:
    config = mounted.path / "netcfg/config"
    text = config.read_text()
    assert 'memory = "64M"\n' in text
    config.write_text(text.replace('memory = "64M"', 'memory = "16M"'))
    greedy = user(0, mounted, family, TAKES)  # root has no share
    assert greedy.stdout is not None
    greedy.stdout.readline()
    now = stats(mounted.path / "stats")
    assert now["held_level"] >= 2
    assert now["held"] <= (16 << 20) + 30 * (16 << 10) + 4 * STEP
    other = user(65533, mounted, family, TALKS)
    assert other.communicate(timeout=SOON)[0] == "done\n"
    greedy.communicate(timeout=SOON)
    config.write_text(text)


def test_memory_goes_back_when_the_daemon_is_idle(mounted: SchemeMount, family: Family) -> None:
    def resident() -> int:  # `stats` asked again and again would keep the daemon busy
        return int(Path(f"/proc/{mounted.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    greedy = user(0, mounted, family, TAKES)
    assert greedy.stdout is not None
    greedy.stdout.readline()
    peak = resident()
    assert peak > before + (20 << 20)
    greedy.communicate(timeout=SOON)
    # Python's own arenas and glibc's fragments keep a part.
    wait_until(lambda: resident() < (before + peak) // 2, lambda: (before, peak, resident()), SOON)
