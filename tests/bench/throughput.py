"""How fast, as ratios to the kernel's own path in the same run: `./dev bench`. Needs root, /dev/fuse and TAP.

    kernel   cat </dev/tcp/PEER/PORT       in one network namespace, the peer in another, a veth pair between
    ours     cat <DIR/tcp/PEER:PORT        the stack on a TAP, the peer on the other side of it
    slirp    slirp4netns, in C, where it is installed: slirp.py says what is alike

`octet` is one octet to an echo server and back; the kernel's is by a socket.

Absolute figures depend on the machine and its mood; the ratio of two medians in one run is what is compared.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from slirp import slirp
from transfers import ECHO_PORT, SINK_PORT, SOURCE_PORT, linked, measured, mounted, peers, round_trip, seconds, speed

KERNEL_OCTETS: Final = 2 << 30
OUR_OCTETS: Final = 1 << 30
GOALS: Final = {"receive": 0.15, "send": 0.10}


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


def ours(data: Path, scratch: Path) -> dict[str, float]:
    """Measure the mount, and print where the daemon's time went."""
    with mounted(scratch) as (where, mount, pid), peers(where, OUR_OCTETS):
        receive = f"cat <{mount}/tcp/10.0.2.2:{SOURCE_PORT} >/dev/null"
        send = f"cat {data} >{mount}/tcp/10.0.2.2:{SINK_PORT}"
        return {
            "receive": measured("receive", pid, OUR_OCTETS, lambda: seconds(where, receive)),
            "send": measured("send", pid, OUR_OCTETS, lambda: seconds(where, send)),
            "octet": round_trip(where, f"{mount}/tcp/10.0.2.2:{ECHO_PORT},nodelay"),
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
        ratio = mine[name] / theirs[name]
        short |= ratio < goal
        print(f"{name}: {mine[name]:.0f} MB/s, the kernel {theirs[name]:.0f} MB/s, ratio {ratio:.3f} (goal {goal})")
        if in_c:
            print(f"{name}: slirp4netns {in_c[name]:.0f} MB/s, ratio {mine[name] / in_c[name]:.2f}")
    octets = mine["octet"], theirs["octet"]
    print(f"octet: {octets[0]:.0f} µs there and back, the kernel {octets[1]:.0f} µs, ratio {octets[0] / octets[1]:.1f}")
    sys.exit(short)


if __name__ == "__main__":
    main()
