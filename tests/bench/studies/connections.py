"""What connections cost: `./dev bench --study connections`. In memory, without a driver or a mount; ratios in one run.

per segment    1000 octets in, read at once, its share of timers and ACKs, among 10, 1,000 and 10,000 connections, ten
               of them busy, or all in turn: no instruction more, but no processor's cache holds 50 MB
idle           octets of memory for each established connection that carries nothing
life           handshake, accept, and both FINs
flood          a SYN that gets a place in the SYN queue, and one that is answered with a cookie
recovery       after an outage in a stream: in how many super-segments what was lost is sent again

Time is the thread's own, so that others on the machine don't count.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from typing import Final

from schemefs.net.offload import CHECKED
from schemes.tcp.listener import SYN_QUEUE
from tests.support.many_connections import Crowd
from tests.support.tcp_trace import PEER, US, Trace, established

SEGMENTS: Final = 5000
ROUNDS: Final = 7
GOAL: Final = 1.2


def seconds_per_segment(crowds: dict[int, Crowd], busy: int) -> dict[int, float]:
    """Return the best of several rounds for each, taken in turns: the load of the machine is the same for all."""
    best = dict.fromkeys(crowds, float("inf"))
    for turn in range(ROUNDS):
        for count, crowd in crowds.items():
            segments = crowd.segments(SEGMENTS, turn, busy)
            began = time.thread_time()
            crowd.take(segments)
            best[count] = min(best[count], (time.thread_time() - began) / SEGMENTS)
    return best


def octets_when_idle(count: int = 2000) -> float:
    gc.collect()
    tracemalloc.start()
    crowd = Crowd(count)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] / len(crowd.connections)
    tracemalloc.stop()
    return used


def lives_per_second(count: int = 2000) -> float:
    began = time.thread_time()
    Crowd(count).close()
    return count / (time.thread_time() - began)


def seconds_per_syn() -> tuple[float, float]:
    """Return what a SYN costs while the SYN queue fills, and when it is full."""
    tcp = Trace()
    tcp.listen()
    octets = bytes(20) + tcp.octets("S 0:0(0) mss 1460 wscale 7 sackOK ts 1:0")
    costs = []
    for first in (1024, 1024 + SYN_QUEUE):
        segments = [
            memoryview(octets[:20] + p.to_bytes(2, "big") + octets[22:]) for p in range(first, first + SYN_QUEUE)
        ]
        began = time.thread_time()
        for segment in segments:
            tcp.tcp.receive_datagram(PEER, US, segment, 20, 0, 64, CHECKED, 1.0)
        costs.append((time.thread_time() - began) / SYN_QUEUE)
    assert tcp.tcp.statistics.syn_cookies_sent == SYN_QUEUE
    return costs[0], costs[1]


def resent_after_an_outage() -> tuple[int, int]:
    """Lose the first third of a MiB in flight; return how many segments were sent again, and in how many pieces."""
    tcp = established(mss=1460, cwnd=2 << 20, win=65535, options_text="sackOK wscale 7")
    tcp.connection.snd.wnd = 4 << 20
    tcp.write(bytes(1 << 20), now=0.1)
    lost = (1 << 20) // 3 // tcp.connection.mss * tcp.connection.mss
    tcp.receives(f". ack 1 sack {lost + 1}:{(1 << 20) + 1}", now=0.2)
    return tcp.tcp.statistics.retransmitted_segments, tcp.connection.retransmissions


def main() -> None:
    crowds = {count: Crowd(count) for count in (10, 1000, 10_000)}
    for crowd in crowds.values():
        crowd.warm_up()
    gc.collect()
    gc.freeze()
    for busy, words in ((10, "ten busy"), (0, "all busy")):
        costs = seconds_per_segment(crowds, busy)
        for count, cost in costs.items():
            ratio = cost / costs[10]
            verdict = f"  above the goal of {GOAL}" if busy and ratio > GOAL else ""
            sys.stdout.write(f"{count:6} connections, {words}: {cost * 1e6:6.1f} µs a segment, {ratio:.2f}x{verdict}\n")
    sys.stdout.write(f"idle connection: {octets_when_idle() / 1024:.1f} KiB\n")
    sys.stdout.write(f"set up and closed: {lives_per_second():.0f} connections a second\n")
    with_place, with_cookie = (cost * 1e6 for cost in seconds_per_syn())
    sys.stdout.write(f"a SYN: {with_place:.0f} µs, with a cookie {with_cookie:.0f}, {with_place / with_cookie:.1f}x\n")
    lost, pieces = resent_after_an_outage()
    sys.stdout.write(f"lost in a row and sent again: {lost} segments in {pieces} super-segments\n")


if __name__ == "__main__":
    main()
