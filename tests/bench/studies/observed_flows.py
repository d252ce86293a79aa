"""What a router pays to observe TCP connections: `./dev bench --study observed_flows`, microseconds per datagram.

forwarded   from the link of one network to that of the other, without the observer, in memory
observed    what the observer adds (`netcfg/stats/flows`)

The least of 30 rounds of processor time, which a busy machine changes little.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemes.ip.forwarded_flows import ForwardedFlows

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / "tests/trace/ip")]

from test_forwarded_flows import ACK, Between, client_frame  # noqa: E402 # the path above is pytest's when it runs

ROUNDS: Final = 30
DATAGRAMS: Final = 16  # in each round; few, so that they stay in the processor's cache
MSS: Final = 1448


def main() -> None:
    """Print a line for each size."""
    for size in (MSS, 44 * MSS):
        offload = Offload(NEEDS_CHECKSUM, GSO_TCPV4, 54, MSS, 34, 16) if size > MSS else NO_OFFLOAD
        frames = [client_frame(ACK, 101 + size * number, bytes(size)) for number in range(DATAGRAMS)]
        costs = f"forwarded {forwarded(frames, offload):.2f} µs, observed {observed(frames, offload):.2f} µs"
        print(f"{size:6d} octets: {costs}")


def forwarded(frames: Sequence[memoryview], offload: Offload) -> float:
    """Return the microseconds of the forwarder for one of *frames*."""
    router = Between()
    router.network.observe_flows(False, 0.0)

    def forward() -> None:
        for frame in frames:
            router.link.receive(frame, offload, 1.0)

    return least(forward, router.far.sent.clear)


def observed(frames: Sequence[memoryview], offload: Offload) -> float:
    """Return the microseconds of the observer for one of *frames*."""
    flows = [ForwardedFlows()]
    datagrams = [frame[14:] for frame in frames]

    def begin() -> None:
        flows[0] = ForwardedFlows()
        flows[0].datagram_passes(datagrams[0], 20, offload, 1.0)

    def observe() -> None:
        take = flows[0].datagram_passes
        for datagram in datagrams[1:]:
            take(datagram, 20, offload, 1.0)

    return least(observe, begin)


def least(call: Callable[[], None], before: Callable[[], None]) -> float:
    """Return the least processor time of a datagram, in microseconds."""
    found = []
    for _ in range(ROUNDS):
        before()
        began = time.process_time()
        call()
        found.append((time.process_time() - began) / DATAGRAMS * 1e6)
    return min(found)


if __name__ == "__main__":
    main()
