"""Sends UDP datagrams at a rate: flood_sender.py HOST PORT RATE SECONDS, and prints how many it has sent a second.

It sends what is due each millisecond, so that a late wake-up changes no average.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Final

PAYLOAD: Final = bytes(100)


def main() -> None:
    """Send for so long, then end."""
    host, port, rate, lasting = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((host, port))
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < lasting:
            due = int(elapsed * rate)
            while sent < due:
                sender.send(PAYLOAD)
                sent += 1
            time.sleep(0.001)
        print(int(sent / elapsed))


if __name__ == "__main__":
    main()
