"""Sends any frames: `python -m tests.support.flood FAMILY DEVICE OURS THEIRS SEED BURSTS PORT…`.

FAMILY is 4 or 6. OURS is the hardware address of the receiver.
"""

from __future__ import annotations

import socket
import sys
from random import Random

from tests.support.any_frames import AnyFrames
from tests.support.any_frames6 import AnyFrames6


def main() -> None:
    family, device, ours, theirs, seed, bursts, *ports = sys.argv[1:]
    macs = (bytes.fromhex(ours), bytes.fromhex(theirs))
    random, numbers = Random(int(seed)), [int(port) for port in ports]
    frames = AnyFrames(random, *macs, numbers) if family == "4" else AnyFrames6(random, numbers, *macs)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((device, 0))
        for _ in range(int(bursts)):
            for frame in frames.burst():
                if len(frame) >= 14:  # the kernel sends no shorter ones
                    raw.send(frame)


if __name__ == "__main__":
    main()
