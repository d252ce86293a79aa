"""How fast the mount of a user without root is, as ratios to the TAP's in the same run. Needs root for the namespaces.

    tap      cat <DIR/tcp/10.9.0.1:PORT        the stack on a TAP, the peer is the kernel at its other side
    passt    the same, by passt(1)             one more process, which makes sockets of the host of our segments

Both have their defaults: an MTU of 1500 with super-segments, and one of 65520. Their rounds take turns, so that a busy
moment of the machine meets both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from transfers import SINK_PORT, SOURCE_PORT, cpu, linked, peers, pin_congestion_control, run, seconds

OCTETS: Final = 256 << 20
ROUNDS: Final = 5
GOAL: Final = 0.8
HERE: Final = "10.9.0.1"  # passt's --no-map-gw: the address of the gateway is not that of the host
DRIVERS: Final = ("tap", "passt")


@contextmanager
def mounted(where: str, scratch: Path, driver: str) -> Iterator[tuple[Path, int]]:
    """Mount with a driver in a namespace: yield the mount point and the daemon's process id."""
    mount, pid_file = scratch / driver, scratch / f"{driver}.pid"
    mount.mkdir()
    command = (sys.executable, "-m", "schemefs", "mount", mount, "--driver", driver, "--pid-file", pid_file)
    run("nsenter", f"--net=/run/netns/{where}", *command)
    try:
        yield mount, int(pid_file.read_text())
    finally:
        run(sys.executable, "-m", "schemefs", "umount", mount)


def main() -> None:
    """Measure both directions of each driver in turns, and compare."""
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    used: dict[tuple[str, str], float] = defaultdict(float)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, ExitStack() as stack:
        scratch = Path(directory)
        data = scratch / "data"
        data.write_bytes(bytes(OCTETS))
        where, _ = stack.enter_context(linked())
        run("ip", "-n", where, "route", "add", "default", "via", "10.9.0.2")
        stack.enter_context(peers(where, OCTETS))
        mounts = [(driver, *stack.enter_context(mounted(where, scratch, driver))) for driver in DRIVERS]
        pin_congestion_control(where)
        for number in range(ROUNDS + 1):
            for driver, mount, pid in mounts:
                receive = f"cat <{mount}/tcp/{HERE}:{SOURCE_PORT} >/dev/null"
                send = f"cat {data} >{mount}/tcp/{HERE}:{SINK_PORT}"
                for way, script in (("receive", receive), ("send", send)):
                    before = sum(cpu(pid))
                    took = seconds(where, script)
                    if number:  # the first warms up
                        rates[driver, way].append(OCTETS / 1e6 / took)
                        used[driver, way] += sum(cpu(pid)) - before
    short = False
    gib = ROUNDS * OCTETS / (1 << 30)
    for way in ("receive", "send"):
        tap, passt = (statistics.median(rates[driver, way]) for driver in DRIVERS)
        short |= passt / tap < GOAL
        print(f"{way}: passt {passt:.0f} MB/s, tap {tap:.0f} MB/s, ratio {passt / tap:.2f} (goal {GOAL})")
        costs = ", ".join(f"{driver} {used[driver, way] / gib:.2f} s" for driver in DRIVERS)
        print(f"{way}: the daemon used per GiB: {costs}")
    sys.exit(short)


if __name__ == "__main__":
    main()
