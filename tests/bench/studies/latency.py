"""How long one octet takes through two files over loopback, and what a waiting crowd costs the others.

    octet    write(2) into one end of a connection, read(2) from the other; each end in turn      a file's round trip
    bare     the same two calls on a scheme with no protocol behind, in the same daemon            the mount's part
    stack    the same write and read on the same engine in this process, without mount or daemon   the protocol's part

The goal is octet <= 1.3 x (bare + stack): whatever the mount and the engine cost by themselves, putting them together
costs no more than a third besides. All three take turns, so the machine's mood is the same for all; each is the best of
several medians. Daemon and client are pinned, to a processor each and then both to one: left alone, the scheduler moves
them together and apart in the middle of a run, which changes every figure by half. The goal is for a processor each.

    crowd    the same calls, and opening and reading a text, while 2,000 reads and 500 polls are parked on other files
    idle     processor time of a mount with 1,000 connections open where nothing happens
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from schemefs.testing.mount import SchemeMount
from schemes.tcp import TcpScheme
from tests.bench.bare_scheme import BareScheme
from tests.support.crowd import Crowd
from tests.support.loopback_pair import LoopbackPair

GOAL: Final = 1.3
CROWD_GOAL: Final = 1.2
IDLE_GOAL: Final = 0.005  # of one processor
ROUNDS: Final = 9
TRIPS: Final = 500  # in a round
CONNECTIONS: Final = 1000
IDLE_SECONDS: Final = 10.0
READERS, POLLERS = 2000, 500

Ends = tuple[int, int]


def connection(path: Path, port: int) -> Ends:
    """Return both ends of a connection over loopback."""
    listener = os.open(path / f"tcp/:{port}", os.O_RDWR)
    client = os.open(path / f"tcp/127.0.0.1:{port}", os.O_RDWR)
    server = os.open(path / "tcp" / os.read(listener, 100).split()[0].decode() / "data", os.O_RDWR)
    os.close(listener)
    return client, server


def trip(ends: Ends) -> float:
    """Return the median seconds from the write of an octet at one end to its having been read at the other."""
    write, read, clock = os.write, os.read, time.perf_counter
    there, here = ends
    took = []
    for _ in range(TRIPS):
        began = clock()
        write(there, b"x")
        read(here, 1)
        took.append(clock() - began)
        there, here = here, there
    return statistics.median(took)


def open_and_read(text: Path) -> float:
    """Return the median seconds that opening, reading and closing a text takes."""
    took = []
    for _ in range(TRIPS // 5):
        began = time.perf_counter()
        text.read_bytes()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def stack_trip(pair: LoopbackPair) -> float:
    """As `trip`: what is sent is delivered at once, timers run as they are due."""
    clock = time.perf_counter
    there, here = pair.client, pair.server
    took = []
    for _ in range(TRIPS):
        began = clock()
        there.write(memoryview(b"x"), time.monotonic())
        pair.deliver(time.monotonic())
        taken = here.read(1, time.monotonic())
        took.append(clock() - began)
        assert taken
        there, here = here, there
        if pair.timers.next_deadline() <= time.monotonic():
            pair.timers.on_deadline(time.monotonic())
    return statistics.median(took)


def in_turns(measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the best of several rounds of each, taken in turns, after one that warms up."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(ROUNDS + 1):
        for name, measure in measures.items():
            took = measure()
            if number:
                found[name].append(took)
    return {name: min(values) for name, values in found.items()}


def latency(path: Path, where: str) -> bool:
    """Measure an octet's trip; return whether the goal was met."""
    ends = connection(path, 8001)
    bare = os.open(path / "bare/one", os.O_RDWR), os.open(path / "bare/two", os.O_RDWR)
    stack = LoopbackPair(time.monotonic())
    costs = in_turns({"octet": lambda: trip(ends), "bare": lambda: trip(bare), "stack": lambda: stack_trip(stack)})
    for file in (*ends, *bare):
        os.close(file)
    ratio = costs["octet"] / (costs["bare"] + costs["stack"])
    parts = ", ".join(f"{name} {cost * 1e6:.0f} µs" for name, cost in costs.items())
    sys.stdout.write(f"one octet through two files, {where}: {parts}; ratio {ratio:.2f} (goal {GOAL})\n")
    return ratio <= GOAL


def crowd(path: Path) -> bool:
    """Measure the same calls alone and among a crowd, in turns; return whether the goal was met."""
    ends = connection(path, 8002)
    measures = {"octet": lambda: trip(ends), "text": lambda: open_and_read(path / "README")}
    alone: dict[str, list[float]] = {name: [] for name in measures}
    among: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(3):
        for name, measure in measures.items():
            took = statistics.median(measure() for _ in range(3))
            if number:
                alone[name].append(took)
        with Crowd(path, READERS, POLLERS):
            for name, measure in measures.items():
                measure()
                among[name].append(statistics.median(measure() for _ in range(3)))
    for file in ends:
        os.close(file)
    met = True
    for name in measures:
        before, after = min(alone[name]), min(among[name])
        met &= after / before <= CROWD_GOAL
        costs = f"{after * 1e6:.0f} µs, alone {before * 1e6:.0f} µs; ratio {after / before:.2f} (goal {CROWD_GOAL})"
        sys.stdout.write(f"{name} among {READERS} parked reads and {POLLERS} polls: {costs}\n")
    return met


def cpu_seconds(pid: int) -> float:
    """Return the processor time of the process, threads that have ended included (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def idle(mount: SchemeMount) -> bool:
    """Measure the daemon with many connections and nothing to do; return whether the goal was met."""
    with ExitStack() as stack:
        listener = os.open(mount.path / "tcp/:8003,backlog=1024", os.O_RDWR)
        stack.callback(os.close, listener)
        for _ in range(CONNECTIONS):
            stack.callback(os.close, os.open(mount.path / "tcp/127.0.0.1:8003", os.O_RDWR))
            number = os.read(listener, 100).split()[0].decode()
            stack.callback(os.close, os.open(mount.path / f"tcp/{number}/data", os.O_RDWR))
        before = cpu_seconds(mount.pid)
        time.sleep(IDLE_SECONDS)  # the span is what is measured
        share = (cpu_seconds(mount.pid) - before) / IDLE_SECONDS
    sys.stdout.write(f"idle with {CONNECTIONS} connections: {share:.3%} of a processor (goal {IDLE_GOAL:.1%})\n")
    return share <= IDLE_GOAL


def pin(daemon: int, allowed: list[int]) -> None:
    """Put this process on the first of *allowed* processors and the daemon on the last."""
    os.sched_setaffinity(0, allowed[:1])
    os.sched_setaffinity(daemon, allowed[-1:])


def main() -> None:
    """Measure all."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with SchemeMount(schemes=[BareScheme, TcpScheme], log_level="warning") as mount:
        allowed = sorted(os.sched_getaffinity(0))
        pin(mount.pid, allowed[:1])
        latency(mount.path, "daemon and client on one processor")
        pin(mount.pid, allowed)
        good = [latency(mount.path, "on a processor each"), crowd(mount.path), idle(mount)]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
