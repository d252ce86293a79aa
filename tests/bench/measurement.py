"""What is measured: a Measurement is one program at each candidate, its Figures, and what each Figure should reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.bench.candidate import Candidate
from tests.bench.sizes import Sizes

OURS: Final = "ours"
KERNEL: Final = "kernel"
SLIRP: Final = "slirp4netns"
OLDER: Final = "older"  # the first of `--against`, whatever its name


@dataclass(frozen=True)
class Goal:
    """A bound of the ratio to another candidate's figure, or of the figure itself."""

    bound: float
    at_least: bool
    of: str = OURS  # OURS: no ratio

    @property
    def text(self) -> str:
        """Return the bound with its sign."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    def measured(self, medians: Mapping[str, float]) -> float | None:
        """Return what is compared with the bound; None: the other candidate was not measured."""
        if self.of == OURS:
            return medians.get(OURS)
        if OURS not in medians or not medians.get(self.of):
            return None
        return medians[OURS] / medians[self.of]

    def reached(self, value: float) -> float:
        """Return how far the goal is reached: 1.0 is exactly, 2.0 twice as good."""
        if self.at_least:
            return value / self.bound
        return self.bound / value if value else float("inf")


def least(bound: float, of: str = OURS) -> Goal:
    return Goal(bound, at_least=True, of=of)


def most(bound: float, of: str = OURS) -> Goal:
    return Goal(bound, at_least=False, of=of)


@dataclass(frozen=True)
class Figure:
    """One of the figures that a measurement returns."""

    key: str
    title: str
    unit: str  # "": a ratio
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """A row of the table, or several that one run gives."""

    name: str  # of the command line
    measure: Callable[[Candidate, Sizes], Mapping[str, float]]
    candidates: tuple[str, ...]
    figures: tuple[Figure, ...]
    setting: str = "tap"  # of the candidates
    rounds: int = 99  # at most: some take long
    warms_up: bool = True  # the first round is not counted
    is_of_daemon: bool = True  # a profile of the daemon says where the time goes
