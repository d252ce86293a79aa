"""The programs on a candidate's own side. client.py VERB PLACE …: what it has measured, as JSON.

trips PLACE SECONDS               one octet to an echo and back, again and again; the first fifth is not counted
texts PLACE SECONDS               a text opened, read and closed, again and again
connects PLACE COUNT              opened and closed, one after the other
read_lines, write_lines PLACE COUNT   the other end writes or reads them, and says how late it read
loopback_lines MOUNT COUNT        both ends are here, over lo; MOUNT is "" for sockets
send_datagrams PLACE SECONDS      of 64 octets, as fast as they are taken
read_datagrams PLACE SETTLES SECONDS  how many come each second, after some seconds; prints `ready` first
parallel_receive, parallel_send PLACE COUNT SECONDS   the octets that each of COUNT processes gets through
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from streams import opened, percentiles, read_lines, write_lines

DATAGRAM: Final = bytes(64)
SHARE: Final = 256 << 10  # octets in a call of one of several transfers


def trips(place: str, seconds: str) -> dict[str, float]:
    stream, write, read = opened(place), os.write, os.read

    def trip() -> None:
        write(stream, b"x")
        assert read(stream, 1) == b"x", "the peer has ended"

    return timed(trip, float(seconds))


def texts(place: str, seconds: str) -> dict[str, float]:
    def text() -> None:
        descriptor = os.open(place, os.O_RDONLY)
        os.read(descriptor, 4096)
        os.close(descriptor)

    return timed(text, float(seconds))


def timed(call: Callable[[], None], seconds: float) -> dict[str, float]:
    """Call again and again; the first fifth of the time is not counted."""
    taken, count, clock = [], 0, time.perf_counter
    now = clock()
    counted, end = now + seconds / 5, now + seconds
    while now < end or not taken:
        began = clock()
        call()
        now = clock()
        count += 1
        if began >= counted:
            taken.append((now - began) * 1e6)
    return percentiles(taken) | {"count": count}


def connects(place: str, count: str) -> dict[str, float]:
    began = time.perf_counter()
    for _ in range(int(count)):
        os.close(opened(place))
    return {"rate": int(count) / (time.perf_counter() - began)}


def receive_lines(place: str, count: str) -> dict[str, float]:
    return read_lines(opened(place), int(count))


def send_lines(place: str, count: str) -> dict[str, float]:
    stream = opened(place)
    write_lines(stream, int(count))
    return json.loads(os.read(stream, 1000))


def loopback_lines(mount: str, count: str) -> dict[str, float]:
    client, server = both_ends(mount)
    if not os.fork():
        write_lines(client, int(count))
        os._exit(0)
    found = read_lines(server, int(count))
    os.wait()
    return found


def both_ends(mount: str) -> tuple[int, int]:
    """Return both ends of a connection over lo."""
    if not mount:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            return client.detach(), listener.accept()[0].detach()
    listener = os.open(f"{mount}/tcp/:9100", os.O_RDWR)
    client = os.open(f"{mount}/tcp/127.0.0.1:9100", os.O_RDWR)
    server = os.open(f"{mount}/tcp/{os.read(listener, 100).split()[0].decode()}/data", os.O_RDWR)
    os.close(listener)
    return client, server


def send_datagrams(place: str, seconds: str) -> dict[str, float]:
    stream, write, clock = opened(place), os.write, time.perf_counter
    began = clock()
    end, count = began + float(seconds), 0
    while clock() < end:
        write(stream, DATAGRAM)
        count += 1
    return {"count": count, "seconds": clock() - began}


def read_datagrams(place: str, settles: str, seconds: str) -> dict[str, float]:
    stream, read, clock = opened(place), os.read, time.monotonic
    print("ready", flush=True)
    read(stream, 2000)
    began = clock() + float(settles)
    end, count = began + float(seconds), 0
    while (now := clock()) < end:
        read(stream, 2000)
        count += now >= began
    return {"rate": count / (clock() - began)}


def parallel_receive(place: str, count: str, seconds: str) -> list[float]:
    block = bytearray(SHARE)
    return parallel(place, int(count), float(seconds), lambda stream: os.readv(stream, [block]))


def parallel_send(place: str, count: str, seconds: str) -> list[float]:
    block = bytes(SHARE)
    return parallel(place, int(count), float(seconds), lambda stream: os.write(stream, block))


def parallel(place: str, count: int, seconds: float, call: Callable[[int], int]) -> list[float]:
    """Begin in all processes at once; return the octets a second of each."""
    begin, go = os.pipe()
    results, result = os.pipe()
    for _ in range(count):
        if not os.fork():
            os.close(go)
            stream = opened(place)
            os.write(result, b"opened\n")
            os.read(begin, 1)  # its end: all are open
            os.write(result, b"%d\n" % transferred(stream, seconds, call))
            os._exit(0)
    os.close(result)
    with open(results) as lines:
        for _ in range(count):
            lines.readline()
        os.close(go)
        found = [int(line) / seconds for line in lines]
    assert len(found) == count, "a process has failed"
    return found


def transferred(stream: int, seconds: float, call: Callable[[int], int]) -> int:
    """Return how many octets pass until the time is over."""
    total, end = 0, time.monotonic() + seconds
    while True:
        octets = call(stream)
        if time.monotonic() > end:
            return total
        assert octets, "the peer has ended"
        total += octets


VERBS: Final[dict[str, Callable[..., object]]] = {
    "trips": trips,
    "texts": texts,
    "connects": connects,
    "read_lines": receive_lines,
    "write_lines": send_lines,
    "loopback_lines": loopback_lines,
    "send_datagrams": send_datagrams,
    "read_datagrams": read_datagrams,
    "parallel_receive": parallel_receive,
    "parallel_send": parallel_send,
}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is the bench's to report
    verb, *arguments = sys.argv[1:]
    print(json.dumps(VERBS[verb](*arguments)))
