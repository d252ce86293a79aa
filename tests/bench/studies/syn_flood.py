"""A flood of SYNs from hosts that never answer, while others are to be served: `./dev bench --study syn_flood`.

    flood      AF_PACKET on the other side of the TAP: frames made before, sent by sendmmsg, each from another host
    connects   a Linux client opens 20 connections a second and has an octet echoed over each
    files      a text of another scheme is opened and read every 5 ms

The goal, at 16,000 SYNs a second: 95 of 100 connects succeed within 5 s, none is reset, and 99 of 100 texts are read
within 50 ms. Flood, clients, server and reader need a part of the processors too: the figures are those of all of them.

./dev bench --study syn_flood [RATE] [SECONDS]
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from struct import Struct
from typing import Final

from schemefs.testing.network import TapNetwork
from tests.support.syn_frames import frame_size, syn_frames

RATE: Final = 16_000
SECONDS: Final = 20.0
PORT: Final = 7911
DEADLINE: Final = 5.0  # seconds for a connect
CONNECTS: Final = 20  # a second
READ_EVERY: Final = 0.005  # seconds
GOAL_CONNECTS: Final = 0.95
GOAL_READ: Final = 0.050  # seconds, of the slowest of 99 %

BATCH: Final = 64  # frames in one call
_IOVEC: Final = Struct("=QQ")
_MESSAGE: Final = Struct("=QIIQQQQiIII")  # struct mmsghdr of 64-bit Linux


def flood(rate: int, seconds: float, interface: str, mac: bytes) -> None:
    """Send for so long; print how many frames the TAP took, and how many its queue refused."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
    raw.bind((interface, 0))
    count = int(rate * seconds) // BATCH * BATCH
    address = bytes((10, 0, 2, 15))
    octets, size = syn_frames(count, mac, raw.getsockname()[4], address, PORT), frame_size(address)
    at = ctypes.addressof(ctypes.c_char.from_buffer(octets))
    vectors = bytearray(_IOVEC.size * count)
    messages = bytearray(_MESSAGE.size * count)
    vectors_at = ctypes.addressof(ctypes.c_char.from_buffer(vectors))
    messages_at = ctypes.addressof(ctypes.c_char.from_buffer(messages))
    for number in range(count):
        _IOVEC.pack_into(vectors, _IOVEC.size * number, at + size * number, size)
        vector = vectors_at + _IOVEC.size * number
        _MESSAGE.pack_into(messages, _MESSAGE.size * number, 0, 0, 0, vector, 1, 0, 0, 0, 0, 0, 0)
    send = ctypes.CDLL(None).sendmmsg
    print("ready", flush=True)
    sys.stdin.readline()
    taken = sent = 0
    began = time.monotonic()
    while sent < count:
        ahead = began + (sent + BATCH) / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        done = send(raw.fileno(), ctypes.c_void_p(messages_at + _MESSAGE.size * sent), BATCH, 0)
        taken += max(done, 0)
        sent += BATCH
    print(taken, sent, time.monotonic() - began, flush=True)


async def connect(outcomes: list[tuple[str, float]]) -> None:
    """Open a connection and have an octet echoed."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("10.0.2.15", PORT)
    except TimeoutError:
        outcomes.append(("late", DEADLINE))
        return
    except OSError as error:
        outcomes.append((type(error).__name__, time.monotonic() - began))
        return
    took = time.monotonic() - began
    try:
        async with asyncio.timeout(4 * DEADLINE):
            writer.write(b"x")
            outcome = "served" if await reader.read(1) == b"x" else "ended"
    except TimeoutError:
        outcome = "silent"
    except OSError as error:
        outcome = type(error).__name__
    outcomes.append((outcome, took))
    writer.close()


async def clients(seconds: float) -> None:
    """Connect so many times a second; print the outcomes and their times."""
    outcomes: list[tuple[str, float]] = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * CONNECTS)):
            await asyncio.sleep(max(began + number / CONNECTS - time.monotonic(), 0))
            group.create_task(connect(outcomes))
    for outcome, took in outcomes:
        print(outcome, took)


def serve(listener: str, tcp: str) -> None:
    """Echo one octet over each connection, until the standard input ends."""
    descriptor = os.open(listener, os.O_RDWR | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(0, select.POLLIN)
    served: dict[int, int] = {}
    print("ready", flush=True)
    while True:
        for ready, _ in poller.poll():
            if ready == 0:
                return
            if ready == descriptor:
                data = os.open(f"{tcp}/{os.read(descriptor, 100).split()[0].decode()}/data", os.O_RDWR | os.O_NONBLOCK)
                served[data] = data
                poller.register(data, select.POLLIN)
                continue
            try:
                if octets := os.read(ready, 10):
                    os.write(ready, octets)
                    continue
            except OSError:
                pass
            poller.unregister(ready)
            os.close(served.pop(ready))


def read_times(text: str) -> None:
    """Open and read a text until the standard input ends; print each time."""
    took = []
    while not select.select([0], [], [], READ_EVERY)[0]:
        began = time.monotonic()
        descriptor = os.open(text, os.O_RDONLY)
        os.read(descriptor, 1000)
        os.close(descriptor)
        took.append(time.monotonic() - began)
    print(*took)


def start(network: TapNetwork | None, *arguments: object) -> subprocess.Popen[str]:
    """Run a part of this program, on the peer where *network* is given."""
    command = [sys.executable, "-m", "tests.bench.studies.syn_flood", *map(str, arguments)]
    if network is not None:
        return network.start_peer(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frames_received(mount: Path) -> int:
    return int((mount / "network/eth0/stats").read_text().split("received_frames=")[1].split()[0])


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def measure(rate: int, seconds: float) -> bool:
    """Flood a mount; print what came of it, and return whether the goals are met."""
    with TapNetwork(log_level="info") as network:
        mount = network.mount.path
        mac = bytes.fromhex((mount / "netcfg/ifaces/eth0/mac").read_text().strip().replace(":", "").replace("-", ""))
        server = start(None, "serve", mount / f"tcp/:{PORT}", mount / "tcp")
        wait_ready(server)
        parts = [server]
        if rate:
            sender = start(network, "flood", rate, seconds + 3, "schemefs0", mac.hex())
            parts.append(sender)
            wait_ready(sender)
            assert sender.stdin is not None
            sender.stdin.write("\n")
            sender.stdin.flush()
            time.sleep(1)
        reader = start(None, "read", mount / "netcfg/ifaces/eth0/mac")
        before, began, received = cpu_seconds(network.mount.pid), time.monotonic(), frames_received(mount)
        client = start(network, "clients", seconds)
        outcomes = [line.split() for line in client.communicate()[0].splitlines()]
        used = cpu_seconds(network.mount.pid) - before
        share = used / (time.monotonic() - began)
        received = frames_received(mount) - received
        took = sorted(map(float, reader.communicate()[0].split()))
        if rate:
            taken, sent, lasted = map(float, sender.communicate()[0].split())
            print(f"flood: {sent / lasted:.0f} SYNs a second, {taken / sent:.1%} taken by the TAP")
        server.communicate()
        counters = dict(line.split("=", 1) for line in (mount / "tcp/stats").read_text().split())
        shown = ("tcpPassiveOpens", "syn_cookies_sent", "syn_cookies_received", "dropped_bad_cookie", "tcpOutRsts",
                 "aborted_syn_queue_full", "dropped_listen_overflow")  # fmt: skip
        print("tcp:", ", ".join(f"{name} {counters[name]}" for name in shown if name in counters))
        print(f"daemon: {share:.0%} of a processor, {used / received * 1e6:.0f} µs for a frame of {received}")
        return judge(outcomes, took)


def judge(outcomes: list[list[str]], took: list[float]) -> bool:
    kinds = [outcome for outcome, _ in outcomes]
    within = sum(outcome != "late" and not outcome.endswith("Error") for outcome in kinds) / len(kinds)
    times = sorted(float(time) for _, time in outcomes)
    resets = sum(outcome.endswith("Error") or outcome == "ended" for outcome in kinds)
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    slow = took[len(took) * 99 // 100]
    print(
        f"connects: {within:.1%} of {len(kinds)} within {DEADLINE:.0f} s (goal {GOAL_CONNECTS:.0%}), {resets} reset; "
        f"{counts}; median {times[len(times) // 2] * 1000:.0f} ms, the slowest {times[-1]:.2f} s"
    )
    print(
        f"files: {len(took)} read, median {took[len(took) // 2] * 1000:.1f} ms, p99 {slow * 1000:.1f} ms "
        f"(goal {GOAL_READ * 1000:.0f}), the slowest {took[-1] * 1000:.0f} ms"
    )
    return within >= GOAL_CONNECTS and not resets and slow <= GOAL_READ


def main() -> None:
    """Run the part that the arguments name, or all of it."""
    match sys.argv[1:]:
        case ["flood", rate, seconds, interface, mac]:
            flood(int(rate), float(seconds), interface, bytes.fromhex(mac))
        case ["clients", seconds]:
            asyncio.run(clients(float(seconds)))
        case ["serve", listener, tcp]:
            serve(listener, tcp)
        case ["read", text]:
            read_times(text)
        case arguments:
            rate, seconds = map(float, (*arguments, *(str(RATE), str(SECONDS))[len(arguments) :]))
            sys.exit(not measure(int(rate), seconds))


if __name__ == "__main__":
    main()
