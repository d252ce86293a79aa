"""What a ring of recent frames costs: bulk with `netcfg/ifaces/eth0/history` on and off, in turn, and with a capture.

.venv/bin/python tests/bench/history.py            needs root, /dev/fuse and TAP; the goal of `on` is 0.9 of `off`
"""

from __future__ import annotations

import sys
import tempfile
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Final

from transfers import SINK_PORT, SOURCE_PORT, measured_in_turn, mounted, peers, seconds

OCTETS: Final = 256 << 20
SIZE: Final = 4 << 20  # of the ring
GOAL: Final = 0.9


def main() -> None:
    """Measure both ways and compare."""
    short = False
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        scratch = Path(directory)
        data = scratch / "data"
        data.write_bytes(bytes(OCTETS))
        with mounted(scratch) as (where, mount, pid), peers(where, OCTETS):
            history = mount / "netcfg/ifaces/eth0/history"
            scripts = {
                "receive": f"cat <{mount}/tcp/10.0.2.2:{SOURCE_PORT} >/dev/null",
                "send": f"cat {data} >{mount}/tcp/10.0.2.2:{SINK_PORT}",
            }
            for name, script in scripts.items():

                def timed(size: int, script: str = script) -> float:
                    history.write_text(f"{size}\n")
                    return seconds(where, script)

                found = measured_in_turn(name, pid, OCTETS, {"off": lambda: timed(0), "on": lambda: timed(SIZE)})
                ratio = median(map(truediv, found["on"], found["off"]))
                short |= ratio < GOAL
                print(f"{name}: {median(found['on']):.0f} MB/s with a history, ratio {ratio:.2f} (goal {GOAL})")
    sys.exit(short)


if __name__ == "__main__":
    main()
