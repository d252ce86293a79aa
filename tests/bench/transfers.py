"""Transfers between network namespaces, timed: what the benchmarks of throughput share."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

ROUNDS: Final = 3
TURNS: Final = 6  # of what is compared with something measured beside it
CONGESTION_CONTROL: Final = "cubic"
PEER: Final = Path(__file__).with_name("peer.py")
OCTET: Final = Path(__file__).with_name("octet.py")
SOURCE_PORT, SINK_PORT, ECHO_PORT = 9001, 9002, 9003


def run(*command: object) -> str:
    """Run a command that must succeed."""
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """Make a network namespace, and remove it."""
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


def pin_congestion_control(where: str) -> None:
    """Have every connection of Linux in a namespace run cubic, which is Linux's default and what our stack runs.

    A machine's default may be another (BBR doubles or halves the speed of a sender): a ratio would then compare
    congestion controls. Routes carry it, since a machine may also restrict cubic to what root asks for by socket.
    """
    for table in ("main", "local"):
        for route in run("ip", "-n", where, "-4", "route", "show", "table", table).splitlines():
            if not route.startswith("broadcast"):
                command = ("ip", "-n", where, "route", "change", *route.replace("linkdown", "").split(), "table", table)
                run(*command, "congctl", CONGESTION_CONTROL)


@contextmanager
def peers(where: str, octets: int, *pem: Path) -> Iterator[None]:
    """Run a source, a sink and an echo in a namespace; of TLS, with a certificate and its key."""
    with ExitStack() as stack:
        for arguments in (("source", SOURCE_PORT, octets), ("sink", SINK_PORT), ("echo", ECHO_PORT)):
            command = ["ip", "netns", "exec", where, sys.executable, PEER, *arguments, *pem]
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


@contextmanager
def linked() -> Iterator[tuple[str, str]]:
    """Make two namespaces with a veth pair between them: 10.9.0.1 and 10.9.0.2."""
    prefix = f"bench{os.getpid()}"
    with namespace(f"{prefix}a") as a, namespace(f"{prefix}b") as b:
        run("ip", "-n", a, "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", b)
        for where, address in ((a, "10.9.0.1/24"), (b, "10.9.0.2/24")):
            run("ip", "-n", where, "address", "add", address, "dev", "veth0")
            run("ip", "-n", where, "link", "set", "veth0", "up")
        pin_congestion_control(a)
        pin_congestion_control(b)
        yield a, b


@contextmanager
def mounted(scratch: Path) -> Iterator[tuple[str, Path, int]]:
    """Mount on a TAP in a namespace: yield its name, the mount point, the daemon's process id."""
    mount, pid_file = scratch / "scheme", scratch / "pid"
    mount.mkdir()
    with namespace(f"bench{os.getpid()}s") as where, ExitStack() as undo:
        # Not `ip netns exec`, which makes a mount namespace of its own: the mount would be visible to nobody else.
        command = (sys.executable, "-m", "schemefs", "mount", mount, "--pid-file", pid_file)
        run("nsenter", f"--net=/run/netns/{where}", *command)
        undo.callback(run, sys.executable, "-m", "schemefs", "umount", mount)
        pin_congestion_control(where)
        yield where, mount, int(pid_file.read_text())


def cpu(pid: int) -> tuple[float, float]:
    """Return the user and system seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def measured(name: str, pid: int, octets: int, measure: Callable[[], float]) -> float:
    """Return the `speed` of a transfer through a daemon, and print what it has cost the daemon."""
    before = cpu(pid)
    found = speed(octets, measure)
    user, system = (after - start for after, start in zip(cpu(pid), before, strict=True))
    gib = (ROUNDS + 1) * octets / (1 << 30)
    print(f"{name}: the daemon used {user / gib:.2f} s user, {system / gib:.2f} s system per GiB")
    return found


def measured_in_turn(
    name: str, pid: int, octets: int, measures: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Return MB/s of each transfer in rounds, and print what each has cost the daemon.

    A round has each of them, in turn from the front and from the back, so what else the machine does meets all alike.
    """
    speeds: dict[str, list[float]] = {label: [] for label in measures}
    spent = dict.fromkeys(measures, 0.0)
    for measure in measures.values():
        measure()
    for turn in range(TURNS):
        for label in list(measures)[:: -1 if turn % 2 else 1]:
            before = sum(cpu(pid))
            speeds[label].append(octets / 1e6 / measures[label]())
            spent[label] += sum(cpu(pid)) - before
    for label, found in spent.items():
        print(f"{name} by {label}: the daemon used {found / TURNS / (octets / (1 << 30)):.2f} s per GiB")
    return speeds


def seconds(where: str, script: str) -> float:
    """Time a bash line in a namespace."""
    start = time.perf_counter()
    run("nsenter", f"--net=/run/netns/{where}", "bash", "-c", script)
    return time.perf_counter() - start


def round_trip(where: str, *to: object) -> float:
    """Return how long one octet takes there and back, in µs: the best median of some rounds."""
    command = ("nsenter", f"--net=/run/netns/{where}", sys.executable, OCTET, *to)
    return min(float(run(*command)) for _ in range(ROUNDS))


def speed(octets: int, measure: Callable[[], float]) -> float:
    """Return the median MB/s of some rounds, after one that warms up."""
    measure()
    return octets / 1e6 / statistics.median(measure() for _ in range(ROUNDS))
