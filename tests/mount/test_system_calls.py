"""What the mount costs for each super-segment, round trip, and file opened and closed: system calls of the daemon.

They are counted, so that no machine is too busy. Each request of the kernel is a read and a writev. Of several rounds
the least counts: on a busy machine the daemon looks in vain more often, or falls asleep before each request.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "strace")

ROUNDS = 3
TIMES = 50
PORT = 7000
SUPER_SEGMENT = bytes(60_000)


class Calls:
    """What a program does with the mount: over lo, so both ends are the daemon's."""

    def __init__(self, mount: Path, family: Family) -> None:
        self.mount = mount
        self.endpoint = mount / "tcp" / family.lo.at(PORT)
        self.listener = os.open(mount / f"tcp/:{PORT}", os.O_RDWR)
        self.client = os.open(self.endpoint, os.O_RDWR)
        self.server = self._accepted()

    def _accepted(self) -> int:
        return os.open(self.mount / "tcp" / os.read(self.listener, 100).split()[0].decode() / "data", os.O_RDWR)

    def round_trip(self) -> None:
        os.write(self.client, b"x")
        os.read(self.server, 1)
        os.write(self.server, b"y")
        os.read(self.client, 1)

    def super_segment(self) -> None:
        os.write(self.client, SUPER_SEGMENT)
        left = len(SUPER_SEGMENT)
        while left:
            left -= len(os.read(self.server, left))

    def open_and_close(self) -> None:
        os.close(os.open(self.endpoint, os.O_RDWR))
        os.close(self._accepted())

    def text(self) -> None:
        (self.mount / "netcfg/iface/lo/addr").read_bytes()


REQUESTS = {Calls.round_trip: 4, Calls.super_segment: 2, Calls.open_and_close: 10, Calls.text: 10}  # of the kernel
ANSWERS = {"writev"}
LOOKS = {"read", "epoll_wait", "poll", "pselect6", "ppoll"}


@pytest.fixture(scope="module")
def calls(module_scheme_mount: SchemeMount, module_family: Family) -> Iterator[Calls]:
    made = Calls(module_scheme_mount.path, module_family)
    yield made
    for descriptor in (made.server, made.client, made.listener):
        os.close(descriptor)


@pytest.mark.parametrize("action", REQUESTS, ids=lambda action: action.__name__)
def test_the_daemon_makes_few_system_calls(
    module_scheme_mount: SchemeMount, calls: Calls, tmp_path: Path, action: Callable[[Calls], None]
) -> None:
    rounds = [counted(module_scheme_mount, lambda: action(calls), tmp_path / "report") for _ in range(ROUNDS)]
    requests = REQUESTS[action]
    assert least(rounds, lambda name: name in ANSWERS) <= requests + 1, rounds
    assert least(rounds, lambda name: name in LOOKS) <= 2 * requests + 2, rounds
    assert least(rounds, lambda name: name not in ANSWERS | LOOKS) <= 1, rounds


def least(rounds: list[dict[str, float]], counts: Callable[[str], bool]) -> float:
    """Return the least number of those calls in a round."""
    return min(sum(number for name, number in numbers.items() if counts(name)) for numbers in rounds)


def counted(mount: SchemeMount, action: Callable[[], None], report: Path) -> dict[str, float]:
    """Return how often the daemon makes each system call for one *action*."""
    command = ["strace", "-f", "-c", "-o", str(report), "-p", str(mount.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        for _ in range(TIMES):
            action()
        tracer.send_signal(signal.SIGINT)
    rows = [line.split() for line in report.read_text().splitlines()[2:-2]]
    return {row[-1]: int(row[3]) / TIMES for row in rows}
