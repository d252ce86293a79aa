"""Sixteen transfers at once: their sum, as a ratio to one alone, and how evenly they share (Jain's index)."""

from __future__ import annotations

from typing import Final

from tests.bench.calls import ENDLESS
from tests.bench.candidate import Candidate
from tests.bench.sizes import Sizes

Figures = dict[str, float]
COUNT: Final = 16


def receive(candidate: Candidate, sizes: Sizes) -> Figures:
    return compared(candidate, "parallel_receive", candidate.serve("source", ENDLESS, workers=COUNT), sizes)


def send(candidate: Candidate, sizes: Sizes) -> Figures:
    return compared(candidate, "parallel_send", candidate.serve("sink", workers=COUNT), sizes)


def compared(candidate: Candidate, verb: str, port: int, sizes: Sizes) -> Figures:
    place = candidate.place("tcp", port)
    one, many = (candidate.ask(verb, place, count, sizes.parallel_seconds) for count in (1, COUNT))
    return {"speed": sum(many) / 1e6, "to_one": sum(many) / sum(one), "jain": jain(many)}


def jain(shares: list[float]) -> float:
    """Return 1.0 where all are equal, 1/n where one has all."""
    assert any(shares), "no octet has passed"
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
