"""How fast, as ratios to the kernel's own path in the same run: `./dev bench`. Needs root, /dev/fuse and TAP.

    kernel   cat </dev/tcp/PEER/PORT       in one network namespace, the peer in another, a veth pair between
    ours     cat <DIR/tcp/PEER:PORT        the stack on a TAP, the peer on the other side of it
    slirp    slirp4netns, in C, where it is installed: slirp.py says what is alike

Ours is measured by IPv4 and by IPv6 in turn. `octet` is one octet to an echo server and back; the kernel's is by a
socket.

Absolute figures depend on the machine and its mood; the ratio of two medians in one run is what is compared.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Final

from slirp import slirp
from transfers import (
    ECHO_PORT,
    SINK_PORT,
    SOURCE_PORT,
    linked,
    measured_in_turn,
    mounted,
    peers,
    round_trip,
    run,
    seconds,
    speed,
)

KERNEL_OCTETS: Final = 2 << 30
OUR_OCTETS: Final = 1 << 30
GOALS: Final = {"receive": 0.15, "send": 0.10}
FAMILIES: Final = {"IPv4": "10.0.2.2", "IPv6": "[fd00:a02::2]"}
FAMILY_GOAL: Final = 0.95  # of IPv6 to IPv4


def kernel(data: Path) -> dict[str, float]:
    """Measure the kernel's own path."""
    with linked() as (a, b), peers(b, KERNEL_OCTETS):
        receive = f"cat </dev/tcp/10.9.0.2/{SOURCE_PORT} >/dev/null"
        send = f"cat {data} {data} >/dev/tcp/10.9.0.2/{SINK_PORT}"
        return {
            "receive": speed(KERNEL_OCTETS, lambda: seconds(a, receive)),
            "send": speed(2 * OUR_OCTETS, lambda: seconds(a, send)),
            "octet": round_trip(a, "10.9.0.2", ECHO_PORT),
        }


def ours(data: Path, scratch: Path) -> dict[str, dict[str, list[float]]]:
    """Measure the mount, and print where the daemon's time went; name -> family -> MB/s of each round, or µs."""
    with mounted(scratch) as (where, mount, pid), peers(where, OUR_OCTETS):
        run("ip", "-n", where, "-6", "address", "add", "fd00:a02::2/64", "dev", "schemefs0", "nodad")
        (mount / "netcfg/ifaces/eth0/addr/add").write_text("fd00:a02::15/64\n")
        receive = {
            family: partial(seconds, where, f"cat <{mount}/tcp/{peer}:{SOURCE_PORT} >/dev/null")
            for family, peer in FAMILIES.items()
        }
        send = {
            family: partial(seconds, where, f"cat {data} >{mount}/tcp/{peer}:{SINK_PORT}")
            for family, peer in FAMILIES.items()
        }
        return {
            "receive": measured_in_turn("receive", pid, OUR_OCTETS, receive),
            "send": measured_in_turn("send", pid, OUR_OCTETS, send),
            "octet": {
                family: [round_trip(where, f"{mount}/tcp/{peer}:{ECHO_PORT},nodelay")]
                for family, peer in FAMILIES.items()
            },
        }


def main() -> None:
    """Measure both and compare."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        scratch = Path(directory)
        data = scratch / "data"
        with data.open("wb") as file:
            for _ in range(OUR_OCTETS >> 20):
                file.write(bytes(1 << 20))
        theirs = kernel(data)
        mine = ours(data, scratch)
        in_c = slirp(data)
    short = False
    for name, goal in GOALS.items():
        by_v4, by_v6 = (median(mine[name][family]) for family in ("IPv4", "IPv6"))
        of_families = median(map(truediv, mine[name]["IPv6"], mine[name]["IPv4"]))
        ratio = by_v4 / theirs[name]
        short |= ratio < goal or of_families < FAMILY_GOAL
        print(f"{name}: {by_v4:.0f} MB/s, the kernel {theirs[name]:.0f} MB/s, ratio {ratio:.3f} (goal {goal})")
        print(f"{name}: by IPv6 {by_v6:.0f} MB/s, ratio to IPv4 {of_families:.2f} (goal {FAMILY_GOAL})")
        if in_c:
            print(f"{name}: slirp4netns {in_c[name]:.0f} MB/s, ratio {by_v4 / in_c[name]:.2f}")
    (by_v4,), (by_v6,), its = mine["octet"]["IPv4"], mine["octet"]["IPv6"], theirs["octet"]
    print(f"octet: {by_v4:.0f} µs there and back, the kernel {its:.0f} µs, ratio {by_v4 / its:.1f}")
    print(f"octet: by IPv6 {by_v6:.0f} µs, ratio to IPv4 {by_v6 / by_v4:.2f}")
    sys.exit(short)


if __name__ == "__main__":
    main()
