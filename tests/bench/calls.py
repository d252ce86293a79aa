"""Calls that wait for the other side: one octet there and back, alone and beside a transfer; connects; lines."""

from __future__ import annotations

from typing import Final

from tests.bench.candidate import Candidate
from tests.bench.sizes import Sizes

Figures = dict[str, float]
ENDLESS: Final = 1 << 60


def trips(candidate: Candidate, sizes: Sizes) -> Figures:
    return some_trips(candidate, sizes.seconds)


def trips_during_receive(candidate: Candidate, sizes: Sizes) -> Figures:
    with candidate.meanwhile(f"cat <{candidate.redirection(candidate.serve('source', ENDLESS))} >/dev/null"):
        return some_trips(candidate, sizes.loaded_seconds)


def trips_during_send(candidate: Candidate, sizes: Sizes) -> Figures:
    with candidate.meanwhile(f"cat /dev/zero >{candidate.redirection(candidate.serve('sink'))}"):
        return some_trips(candidate, sizes.loaded_seconds)


def some_trips(candidate: Candidate, seconds: float) -> Figures:
    return timed(candidate, "trips", candidate.place("tcp", candidate.serve("echo"), "nodelay"), seconds)


def texts(candidate: Candidate, sizes: Sizes) -> Figures:
    return timed(candidate, "texts", candidate.own("netcfg/resolv/hosts"), sizes.seconds)


def timed(candidate: Candidate, verb: str, place: str, seconds: float) -> Figures:
    """Return the median and the 99th percentile of a call in µs, and the daemon's time for each."""
    used: Figures = {}
    with candidate.daemon_used(used, 1e-6):
        found = candidate.ask(verb, place, seconds)
    count = found.pop("count")
    return found | {name: value / count for name, value in used.items()}


def connects(candidate: Candidate, sizes: Sizes) -> Figures:
    return candidate.ask("connects", candidate.place("tcp", candidate.serve("echo")), sizes.connects)


def lines(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return how late a line is read, in ms: from the other side, at the other side, and over lo."""
    ways = {
        "received": ("read_lines", candidate.place("tcp", candidate.serve("lines", sizes.lines))),
        "sent": ("write_lines", candidate.place("tcp", candidate.serve("late_lines", sizes.lines))),
        "loopback": ("loopback_lines", candidate.own("")),
    }
    found = {way: candidate.ask(verb, place, sizes.lines) for way, (verb, place) in ways.items()}
    return {f"{way}_{name}": value for way, figures in found.items() for name, value in figures.items()}
