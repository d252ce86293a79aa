"""Takes the candidates in turn, round after round, so that what else the machine does meets all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from tests.bench.candidate import Candidate
from tests.bench.measurement import OLDER, Figure, Goal, Measurement
from tests.bench.sizes import Sizes


class Making(Protocol):
    """What makes the candidates."""

    @property
    def names(self) -> Sequence[str]:
        """Those that can be measured here."""

    def get(self, name: str, setting: str) -> Candidate:
        """Return one in a setting."""


@dataclass(frozen=True)
class Row:
    """One figure, with its value in each round for each candidate."""

    measurement: str
    figure: Figure
    values: Mapping[str, Sequence[float]]
    older: str  # the candidate that OLDER means

    def judged(self) -> list[tuple[Goal, float]]:
        """Return each goal whose other candidate was measured, with what is compared with its bound."""
        medians = {name: median(values) for name, values in self.values.items()}
        if self.older in medians:
            medians[OLDER] = medians[self.older]
        found = [(goal, goal.measured(medians)) for goal in self.figure.goals]
        return [(goal, value) for goal, value in found if value is not None]


@dataclass(frozen=True)
class Measured:
    """What one measurement gave."""

    rows: Sequence[Row]
    failures: Mapping[str, str]  # of candidates, with the reason


class Runner:
    """Runs measurements at the candidates that there are; *older* are the names of those that OLDER stands for."""

    def __init__(self, candidates: Making, older: Sequence[str], rounds: int, sizes: Sizes) -> None:
        self._candidates = candidates
        self._older = tuple(older)
        self._rounds = rounds
        self._sizes = sizes

    def run(self, measurements: Iterable[Measurement], done: Callable[[Measured], None]) -> None:
        """Run each, and hand over what it gave."""
        for measurement in measurements:
            done(self._measured(measurement))

    def _measured(self, measurement: Measurement) -> Measured:
        names = self._participants(measurement)
        values: dict[str, dict[str, list[float]]] = {name: {} for name in names}
        failures: dict[str, str] = {}
        for number, name in self._turns(measurement, names):
            if name in failures:
                continue
            try:
                found = measurement.measure(self._candidates.get(name, measurement.setting), self._sizes)
            except Exception as error:  # one that fails must not end a run of ten minutes
                failures[name] = reason(error)
                continue
            for key, value in found.items() if number else ():
                values[name].setdefault(key, []).append(value)
        rows = [self._row(measurement, figure, values) for figure in measurement.figures]
        return Measured(rows, {f"{measurement.name}, {name}": text for name, text in failures.items()})

    def _turns(self, measurement: Measurement, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield each candidate of each round; round 0 warms up."""
        for number in range(0 if measurement.warms_up else 1, min(self._rounds, measurement.rounds) + 1):
            yield from ((number, name) for name in names[:: -1 if number % 2 else 1])

    def _row(self, measurement: Measurement, figure: Figure, values: Mapping[str, Mapping[str, list[float]]]) -> Row:
        found = {name: figures[figure.key] for name, figures in values.items() if figure.key in figures}
        return Row(measurement.name, figure, found, self._older[0] if self._older else "")

    def _participants(self, measurement: Measurement) -> list[str]:
        meant = [
            name
            for candidate in measurement.candidates
            for name in (self._older if candidate == OLDER else (candidate,))
        ]
        return [name for name in meant if name in self._candidates.names]


def reason(error: Exception) -> str:
    """Return what went wrong, with the last line that a program has printed about it."""
    shown = getattr(error, "stderr", None) or ""
    return f"{type(error).__name__}: {error} {shown.strip().rpartition(chr(10))[2]}".strip()
