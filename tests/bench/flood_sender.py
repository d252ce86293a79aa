"""Sends datagrams at a rate: flood_sender.py KIND HOST RATE SECONDS. KIND is udp:PORT, raw:PROTOCOL or echo.

It sends what is due each millisecond, so that a late wake-up changes no average, and prints how long it took.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Final

PAYLOAD: Final = bytes(64)
ECHO_REQUEST: Final = b"\x08\0\xf7\xff" + bytes(4) + PAYLOAD  # its checksum: the complement of 0x0800


def opened(kind: str, host: str) -> tuple[socket.socket, bytes]:
    """Return a connected socket and what to send."""
    what, _, number = kind.partition(":")
    if what == "udp":
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect((host, int(number)))
        return sender, PAYLOAD
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(number) if number else socket.IPPROTO_ICMP)
    sender.connect((host, 0))
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the answers are not read
    return sender, ECHO_REQUEST if what == "echo" else PAYLOAD


def main() -> None:
    """Send for so long, or until no process reads any more."""
    kind, host, rate, lasting = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    sender, payload = opened(kind, host)
    began = time.monotonic()
    with sender, suppress(ConnectionRefusedError):
        flood(sender, payload, rate, began + lasting)
    print(time.monotonic() - began)


def flood(sender: socket.socket, payload: bytes, rate: float, end: float) -> None:
    sent, began = 0, time.monotonic()
    while (now := time.monotonic()) < end:
        due = int((now - began) * rate)
        while sent < due:
            sender.send(payload)
            sent += 1
        time.sleep(0.001)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is the bench's to report
    main()
