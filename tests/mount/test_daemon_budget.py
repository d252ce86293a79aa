"""What a daemon holds for others it lets go of with them; and a mount where nothing happens costs next to nothing."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from schemefs.testing import observing
from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import FAMILIES, Family

pytestmark = pytest.mark.needs("fuse")

SOON = 20.0
FEW = pytest.param(2_000, id="some")
MANY = pytest.param(100_000, id="a-hundred-thousand", marks=pytest.mark.full)
TICKS = os.sysconf("SC_CLK_TCK")

# What a round may leave behind, whatever its length: free lists, caches of Python and of ours that fill once.
BLOCKS = 6_000
MEMORY = 12 << 20  # octets
NO_OBJECTS = ("blocks", "resident", "tasks", "collections", "longest_collection_us")


def stats(mount: SchemeMount) -> dict[str, int]:
    return observing.stats(mount.path / "stats")


def objects(mount: SchemeMount) -> dict[str, int]:
    return {name: value for name, value in stats(mount).items() if name not in NO_OBJECTS}


def forget_names() -> None:
    """Have the kernel forget the inodes that nobody uses."""
    if os.geteuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("2\n")


@contextmanager
def nothing_is_left(mount: SchemeMount) -> Iterator[None]:
    """The objects are as many as before, the tasks too (but for the few idle workers), the memory within its budget."""
    before, objects_before = stats(mount), objects(mount)
    yield
    wait_until(lambda: objects(mount) == objects_before, lambda: (objects_before, objects(mount)))
    wait_until(lambda: stats(mount)["tasks"] <= before["tasks"] + 10, lambda: (before, stats(mount)))
    after = stats(mount)
    assert after["blocks"] - before["blocks"] < BLOCKS
    assert after["resident"] - before["resident"] < MEMORY


def warm_up(mount: SchemeMount, use: Callable[[SchemeMount, int], None]) -> None:
    use(mount, 200)
    wait_until(lambda: stats(mount)["parked"] == 0, lambda: stats(mount))


def look_up(mount: SchemeMount, times: int) -> None:
    names = [
        *(f"tcp/{family.lo.at(80)}" for family in FAMILIES),
        "udp/:0",
        "tcp/clone",
        "README",
        "netcfg/route/list",
        "tcp/nothing",
        "icmp/echo/1.2.3.4",
    ]
    for number in range(times):
        try:
            os.stat(mount.path / names[number % len(names)])
        except FileNotFoundError:
            pass


def open_and_close(mount: SchemeMount, times: int) -> None:
    names = ["udp/:0", "tcp/clone", "README", "netcfg/route/list", "tcp/:0", "event/queue"]
    names += [f"icmp/echo/{family.lo}" for family in FAMILIES]
    for number in range(times):
        file = os.open(mount.path / names[number % len(names)], os.O_RDONLY | os.O_NONBLOCK)
        os.close(file)


def list_directories(mount: SchemeMount, times: int) -> None:
    for _ in range(times // 10):
        os.listdir(mount.path / "tcp")


def poll_and_leave(mount: SchemeMount, times: int) -> None:
    for _ in range(times):
        file = os.open(mount.path / "udp/:0", os.O_RDWR | os.O_NONBLOCK)
        with select.epoll() as poller:
            poller.register(file, select.EPOLLIN)
            poller.poll(0)
        os.close(file)


def watch_and_leave(mount: SchemeMount, times: int) -> None:
    conversation = os.open(mount.path / "udp/:0", os.O_RDWR)
    name = os.getxattr(conversation, "user.conversation")
    for _ in range(times):
        queue = os.open(mount.path / "event/queue", os.O_RDWR)
        os.write(queue, name + b" read\n")
        os.close(queue)
    os.close(conversation)


# Forks, since a Python that starts takes longer than all that is tried here. Each child is killed while it opens, right
# before it parks in a read or a poll, or in it: the moment is the parent's luck.
KILLER = """
import os, random, select, signal, sys
os.chdir(sys.argv[1])
chance = random.Random(1)
told, tell = os.pipe()
def live(call):
    files = [os.open(name, os.O_RDWR) for name in ('udp/:0', 'tcp/:0', 'event/queue', 'tcp/clone')]
    poller = select.poll()
    for file in files[:3]: poller.register(file, select.POLLIN)
    os.write(tell, b'.')
    poller.poll() if call else os.read(files[0], 10)
for number in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        try: live(number % 2)
        finally: os._exit(1)
    if chance.random() < 0.9: os.read(told, 1)
    else: os.set_blocking(told, False)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        while not os.get_blocking(told): os.read(told, 1)
    except BlockingIOError: os.set_blocking(told, True)
"""


def kill_clients(mount: SchemeMount, times: int) -> None:
    """Each with four files open, in a parked read or a parked poll."""
    subprocess.run([sys.executable, "-S", "-c", KILLER, mount.path, str(times)], check=True, timeout=3000)


@pytest.mark.parametrize("times", [FEW, MANY])
@pytest.mark.parametrize(
    "use", [look_up, open_and_close, list_directories, poll_and_leave, watch_and_leave, kill_clients],
    ids=lambda use: use.__name__,
)  # fmt: skip
@pytest.mark.needs("root")
def test_nothing_is_left(module_scheme_mount: SchemeMount, use: Callable[[SchemeMount, int], None], times: int) -> None:
    warm_up(module_scheme_mount, use)
    forget_names()
    with nothing_is_left(module_scheme_mount):
        use(module_scheme_mount, times)
        forget_names()
    assert stats(module_scheme_mount)["unexpected"] == 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=pytest.mark.full)])
def test_a_thousand_idle_connections_cost_no_time(scheme_mount: SchemeMount, seconds: float, family: Family) -> None:
    """At most 0.5 % of a processor: no tick, no timer that only looks whether there is something to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2200:
        pytest.skip(f"{hard} open files are all that is allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    with ExitStack() as stack:
        listener = os.open(scheme_mount.path / "tcp/:80,backlog=1024", os.O_RDWR)
        stack.callback(os.close, listener)
        for _ in range(1000):
            stack.callback(os.close, os.open(scheme_mount.path / f"tcp/{family.lo.at(80)}", os.O_RDWR))
            number = os.read(listener, 100).split()[0].decode()
            stack.callback(os.close, os.open(scheme_mount.path / f"tcp/{number}/data", os.O_RDWR))
        assert stats(scheme_mount)["streams"] == 2001
        before = cpu_seconds(scheme_mount.pid)
        time.sleep(seconds)  # this is the measurement: nothing is to happen in it
        used = cpu_seconds(scheme_mount.pid) - before
    assert used <= 0.005 * seconds + 1 / TICKS
