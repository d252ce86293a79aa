"""How late the lines of a one-way stream are read: one every 5 ms, Nagle's algorithm on. Needs root, /dev/fuse and TAP.

    kernel     a socket writes, another reads, a veth pair between
    receive    a Linux socket on the other side of the TAP writes, the mount reads
    send       the mount writes, a Linux socket reads
    loopback   both ends are files of one mount

Each line carries the time at which it was written. A reader that only reads sends no text, so if its ACKs were delayed
for text to carry them, the sender would hold each line back for up to 40 ms. The goal is a median of 1 ms.

    lines.py                    all of it, as part of `./dev bench`
    lines.py write TO [COUNT]   one writer; TO and FROM: a file, `HOST:PORT`, or `:PORT` to accept one connection
    lines.py read FROM [COUNT]  one reader: prints the median and the worst delay, in microseconds
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from transfers import linked, mounted, pin_congestion_control

PERIOD: Final = 0.005  # seconds
COUNT: Final = 400
SIZE: Final = 20  # octets of a line
GOAL: Final = 1000.0  # µs, of the median
PORT: Final = 9004


def opened(place: str) -> int:
    """Return a descriptor of a stream; `ready` on standard output says that a listener listens."""
    host, colon, port = place.rpartition(":")
    if "/" in place:
        return os.open(place, os.O_RDWR)
    assert colon
    if host:
        return socket.create_connection((host, int(port))).detach()
    with socket.create_server(("", int(port))) as listener:
        print("ready", flush=True)
        return listener.accept()[0].detach()


def write(place: str, count: int) -> None:
    """Write *count* lines, one each PERIOD, then wait for the reader to end."""
    stream = opened(place)
    due = time.monotonic()
    for _ in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        os.write(stream, b"%0*d\n" % (SIZE - 1, time.monotonic_ns()))
        due += PERIOD
    sys.stdin.read()


def read(place: str, count: int) -> None:
    """Read *count* lines and print how late they were."""
    stream = opened(place)
    late: list[float] = []
    rest = b""
    while len(late) < count:
        octets = os.read(stream, 1 << 16)
        now = time.monotonic_ns()
        assert octets, "the stream ended early"
        *lines, rest = (rest + octets).split(b"\n")
        late += [(now - int(line)) / 1000 for line in lines]
    print(f"{statistics.median(late):.1f} {max(late):.1f}")


def accepted(mount: Path, port: int) -> tuple[str, str]:
    """Return the `data` files of both ends of a connection over the loopback of a mount, opened by this process."""
    listener = os.open(mount / f"tcp/:{port}", os.O_RDWR)
    client = os.open(mount / f"tcp/127.0.0.1:{port}", os.O_RDWR)
    server = os.open(mount / "tcp" / os.read(listener, 100).split()[0].decode() / "data", os.O_RDWR)
    os.close(listener)
    return f"/dev/fd/{client}", f"/dev/fd/{server}"


def delays(writer: tuple[str, str], reader: tuple[str, str], files: tuple[str, ...] = ()) -> tuple[float, float]:
    """Run both, each (namespace, place), the one that accepts first; return the median and the worst delay in µs."""
    roles = sorted([("write", *writer), ("read", *reader)], key=lambda role: not role[2].startswith(":"))
    kept = [int(file.rpartition("/")[2]) for file in files]
    running: dict[str, subprocess.Popen[str]] = {}
    for verb, where, place in roles:
        command = ("nsenter", f"--net=/run/netns/{where}", sys.executable, __file__, verb, place, str(COUNT))
        pipe = subprocess.PIPE
        process = running[verb] = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, pass_fds=kept)
        if place.startswith(":"):
            assert process.stdout is not None
            process.stdout.readline()
    shown, _ = running["read"].communicate(timeout=60)
    running["write"].communicate(timeout=60)
    median, worst = map(float, shown.split())
    return median, worst


def main() -> None:
    """Measure all and compare."""
    with linked() as (a, b):
        found = {"kernel": delays((a, f"10.9.0.2:{PORT}"), (b, f":{PORT}"))}
    with tempfile.TemporaryDirectory() as directory, mounted(Path(directory)) as (where, mount, _):
        pin_congestion_control(where)
        to_peer = f"{mount}/tcp/10.0.2.2:{PORT}"
        found["receive"] = delays((where, f":{PORT}"), (where, to_peer))
        found["send"] = delays((where, to_peer), (where, f":{PORT}"))
        files = accepted(mount, PORT)
        found["loopback"] = delays((where, files[0]), (where, files[1]), files)
        for file in files:
            os.close(int(file.rpartition("/")[2]))
    for name, (median, worst) in found.items():
        ratio = median / found["kernel"][0]
        print(f"lines, {name}: read {median:.0f} µs after the write, {worst:.0f} at worst; ratio {ratio:.1f}")
    sys.exit(any(median > GOAL for median, _ in found.values()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"write": write, "read": read}[sys.argv[1]](sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else COUNT)
    else:
        main()
