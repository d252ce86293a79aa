"""What the compiled core gives, as ratios in one run. Needs root, and `./dev test --compiled` run before.

Two mounts, each on a TAP in a namespace of its own: one by the checkout's Python, one by .venv/compiled. They take
turns; each figure is a median of rounds. `cpu` is the daemon's processor time, which a busy machine changes least.

    receive, send     cat of 256 MiB
    plain frames      the same on a TAP without offloads: each segment is a frame, with its checksum
    octet             one octet to an echo server and back
    connects          a file opened and closed, one after the other
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from transfers import ECHO_PORT, OCTET, SINK_PORT, SOURCE_PORT, cpu, namespace, peers, pin_congestion_control, run

OCTETS: Final = 256 << 20
FRAMED: Final = 32 << 20  # octets, without offloads
ROUNDS: Final = 5
CONNECTS: Final = 500
PEER: Final = "10.0.2.2"
COMPILED: Final = Path(__file__).parents[2] / ".venv/compiled/env/bin/python"

OPENING: Final = f"""
import os
for _ in range({CONNECTS}):
    os.close(os.open("%s", os.O_RDWR))
"""


class Mount:
    """A mount on a TAP in a namespace, by one Python."""

    def __init__(self, stack: ExitStack, scratch: Path, python: Path | str, *options: str) -> None:
        self.where = stack.enter_context(namespace(f"var{len(list(scratch.iterdir()))}"))
        self.path = Path(tempfile.mkdtemp(dir=scratch))
        pid_file = self.path.with_suffix(".pid")
        self.enter = ("nsenter", f"--net=/run/netns/{self.where}")
        # Not from the checkout, whose sources would be imported instead of the compiled modules.
        self.python = ("env", "-C", "/", str(python))
        run(*self.enter, *self.python, "-m", "schemefs", "mount", self.path, "--pid-file", pid_file, *options)
        stack.callback(run, *self.python, "-m", "schemefs", "umount", self.path)
        pin_congestion_control(self.where)
        self.pid = int(pid_file.read_text())

    def timed(self, *command: object) -> tuple[float, float]:
        """Return the seconds of a command in the namespace, and the daemon's processor seconds."""
        before, began = sum(cpu(self.pid)), time.perf_counter()
        run(*self.enter, *command)
        return time.perf_counter() - began, sum(cpu(self.pid)) - before

    def measure(self, data: Path, name: str) -> tuple[float, float]:
        """Measure *name* once: seconds of time and of the daemon's processor."""
        tcp = self.path / "tcp"
        if name == "octet":
            return self.timed(sys.executable, OCTET, f"{tcp}/{PEER}:{ECHO_PORT},nodelay")
        if name == "connects":
            return self.timed(sys.executable, "-c", OPENING % f"{tcp}/{PEER}:{ECHO_PORT}")
        if name.endswith("receive"):
            return self.timed("bash", "-c", f"head -c {data.stat().st_size} <{tcp}/{PEER}:{SOURCE_PORT} >/dev/null")
        return self.timed("bash", "-c", f"cat {data} >{tcp}/{PEER}:{SINK_PORT}")


def compare(scratch: Path, names: tuple[str, ...], octets: int, *options: str) -> None:
    """Measure each of *names* in turns on a mount of either variant, and print the ratios."""
    data = scratch / "data"
    data.write_bytes(bytes(octets))
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    with ExitStack() as stack:
        mounts = {}
        for variant, python in (("plain", sys.executable), ("compiled", COMPILED)):
            mounts[variant] = Mount(stack, scratch, python, *options)
            stack.enter_context(peers(mounts[variant].where, octets))
        for number in range(ROUNDS + 1):
            for name in names:
                for variant, mount in mounts.items():
                    once = mount.measure(data, name)
                    if number:  # the first warms up
                        found[variant, name].append(once)
    for name in names:
        medians = [
            [statistics.median(column) for column in zip(*found[variant, name], strict=True)] for variant in mounts
        ]
        (time_plain, cpu_plain), (time_compiled, cpu_compiled) = medians
        print(
            f"{name}: {time_plain:.3f} s plain, {time_compiled:.3f} compiled: {time_plain / time_compiled:.2f} times;",
            end="",
        )
        print(f" cpu {cpu_plain:.3f} and {cpu_compiled:.3f} s: {cpu_plain / max(cpu_compiled, 0.01):.2f} times")


def main() -> None:
    """Compare with offloads, then without."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        scratch = Path(directory)
        compare(scratch, ("receive", "send", "octet", "connects"), OCTETS)
        compare(scratch, ("plain frames receive", "plain frames send"), FRAMED, "--offload", "off")


if __name__ == "__main__":
    main()
