"""slirp4netns, a user-space TCP/IP stack in C on a TAP, at the same work: what `./dev bench` compares ours with.

    cat </dev/tcp/10.0.2.2/PORT ──> the namespace's kernel ──TAP──> slirp4netns ──> a socket of the host's namespace

Not the same thing: it joins two kernels, ours is an end of the connection. What is alike is what costs: a process that
carries every octet between a TAP and somebody who reads or writes a file. Its largest MTU, which is its fastest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from transfers import SINK_PORT, SOURCE_PORT, namespace, peers, pin_congestion_control, run, seconds, speed

OCTETS: Final = 512 << 20
MTU: Final = 65520


def slirp(data: Path) -> dict[str, float]:
    """Return MB/s received and sent; nothing where it is not installed. *data* has `OCTETS` at least."""
    program = shutil.which("slirp4netns")
    if program is None:
        return {}
    prefix = f"slirp{os.getpid()}"
    with namespace(f"{prefix}h") as host, namespace(f"{prefix}g") as guest, peers(host, OCTETS):
        pin_congestion_control(host)
        command = [program, "--configure", f"--mtu={MTU}", "--netns-type=path", f"/run/netns/{guest}", "tap0"]
        process = subprocess.Popen(
            ["ip", "netns", "exec", host, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(lambda: _has_address(guest), process)
            pin_congestion_control(guest)
            receive = f"cat </dev/tcp/10.0.2.2/{SOURCE_PORT} >/dev/null"
            send = f"head -c {OCTETS} {data} >/dev/tcp/10.0.2.2/{SINK_PORT}"
            return {
                "receive": speed(OCTETS, lambda: seconds(guest, receive)),
                "send": speed(OCTETS, lambda: seconds(guest, send)),
            }
        finally:
            process.kill()
            process.wait()


def _has_address(guest: str) -> bool:
    links = json.loads(run("ip", "-json", "-n", guest, "-4", "address"))
    return any(link.get("ifname") == "tap0" and link["addr_info"] for link in links)


def _wait(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        if process.poll() is not None or time.monotonic() > end:
            message = "slirp4netns did not come up"
            raise RuntimeError(message)
