"""Datagrams: how many leave each second, how many pings are answered, and what is left of the goodput in a flood.

    udp    client.py reads `udp/:PORT`
    raw    it reads `ip/PROTOCOL` of a mount
    echo   the daemon answers ICMP echo requests: no process reads

A flood comes from the other side at one rate after the other. The peak is the most that is read, or answered, at any of
them; the lowest rate with nearly as much is the peak's load. What is compared with the peak is what is read at four
times that load.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import accumulate, repeat
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.candidate import PYTHON, Candidate
from tests.bench.sizes import Sizes

Figures = dict[str, float]
SENDER: Final = Path(__file__).with_name("flood_sender.py")
LOWEST, STEP, HIGHEST = 10_000, 1.5, 300_000  # datagrams a second
NEARLY: Final = 0.95
OVERLOAD: Final = 4
AGAIN: Final = 3  # the peak's load and four times as much are offered so often
SETTLES: Final = 0.2  # seconds of a flood that are not counted
UDP_PORT, RAW_PROTOCOL = 9500, 200


def udp_sent(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return how many datagrams arrive on the other side each second."""
    place = candidate.place("udp", candidate.serve("datagrams"))
    before = arrived(candidate)
    found = candidate.ask("send_datagrams", place, sizes.seconds)
    return {"rate": (arrived(candidate) - before) / found["seconds"]}


def arrived(candidate: Candidate) -> int:
    """Return how many datagrams have reached a socket of the server: read, or dropped there for want of memory."""
    names, values = (
        line.split()[1:] for line in candidate.server.run(["grep", "^Udp:", "/proc/net/snmp"]).stdout.splitlines()
    )
    counts = dict(zip(names, map(int, values), strict=True))
    return counts["InDatagrams"] + counts["InErrors"]


def pings(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return how many are answered each second by `ping -f`; slirp4netns answers its client."""
    where, target = (candidate.server, candidate.address) if candidate.address else (candidate.client, candidate.host)
    shown = where.run(["ping", "-f", "-q", "-w", str(sizes.ping_seconds), target]).stdout
    match = re.search(r"(\d+) received.* time (\d+)ms", shown)
    assert match, shown
    return {"rate": int(match[1]) / (max(int(match[2]), 1) / 1000)}


def udp_flood(candidate: Candidate, sizes: Sizes) -> Figures:
    place = candidate.own(f"udp/:{UDP_PORT}")
    return flood(lambda rate: read(candidate, f"udp:{UDP_PORT}", place, rate, sizes))


def raw_flood(candidate: Candidate, sizes: Sizes) -> Figures:
    place = candidate.own(f"ip/{RAW_PROTOCOL:x}")
    return flood(lambda rate: read(candidate, f"raw:{RAW_PROTOCOL}", place, rate, sizes))


def echo_flood(candidate: Candidate, sizes: Sizes) -> Figures:
    return flood(lambda rate: answered(candidate, rate, sizes))


def flood(goodput: Callable[[int], float]) -> Figures:
    """Find the peak, then offer four times as much."""
    found: dict[int, float] = {}
    for rate in rates():
        found[rate] = goodput(rate)
        if found[rate] < NEARLY * max(found.values()) and rate > 3 * max(found.values()):
            break
    load = next(rate for rate, value in found.items() if value >= NEARLY * max(found.values()))
    peaks, overloads = zip(*((goodput(load), goodput(OVERLOAD * load)) for _ in range(AGAIN)), strict=True)
    return {"peak": median(peaks), "left": median(overloads) / median(peaks)}


def rates() -> Iterator[int]:
    for rate in accumulate(repeat(STEP), float.__mul__, initial=float(LOWEST)):
        if rate > HIGHEST:
            return
        yield int(rate)


def sender(candidate: Candidate, kind: str, rate: int, sizes: Sizes, stdout: int) -> subprocess.Popen[str]:
    lasts = SETTLES + 1.5 * sizes.flood_seconds
    command = (*PYTHON, SENDER, kind, candidate.address, rate, lasts)
    return candidate.server.start(list(map(str, command)), stdout=stdout)


def read(candidate: Candidate, kind: str, place: str, rate: int, sizes: Sizes) -> float:
    """Return how many datagrams a process reads each second."""
    command = candidate.command("read_datagrams", place, SETTLES, sizes.flood_seconds)
    with candidate.client.start(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        with sender(candidate, kind, rate, sizes, subprocess.DEVNULL):
            return json.loads(reader.stdout.read())["rate"]


def answered(candidate: Candidate, rate: int, sizes: Sizes) -> float:
    """Return how many echo requests are answered each second of a flood."""
    before = replies(candidate)
    with sender(candidate, "echo", rate, sizes, subprocess.PIPE) as process:
        seconds = float(process.communicate()[0])
    return (replies(candidate) - before) / seconds


def replies(candidate: Candidate) -> int:
    """Return how many echo replies have come back to the sender's side."""
    names, values = (
        line.split()[1:] for line in candidate.server.run(["grep", "^Icmp:", "/proc/net/snmp"]).stdout.splitlines()
    )
    return dict(zip(names, map(int, values), strict=True))["InEchoReps"]
