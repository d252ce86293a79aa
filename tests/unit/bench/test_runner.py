"""The runner with measurements that measure nothing: turns, rounds, goals, and candidates that fail or are missing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import pytest

from tests.bench import report
from tests.bench.measurement import KERNEL, OLDER, OURS, SLIRP, Figure, Measurement, least, most
from tests.bench.rows import ALSO, TABLE
from tests.bench.runner import Measured, Runner
from tests.bench.sizes import TINY

FASTER = "speed"


class Fakes:
    """Candidates that are their names."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[tuple[str, str]] = []

    def get(self, name: str, setting: str) -> str:
        self.asked.append((name, setting))
        return name


def measured(candidates: Fakes, measurement: Measurement, *, older: tuple[str, ...] = (), rounds: int = 3) -> Measured:
    found: list[Measured] = []
    Runner(candidates, older, rounds, TINY).run([measurement], found.append)
    return found[0]


def measurement(speeds: Mapping[str, float], *goals: object, **options: object) -> Measurement:
    figure = Figure(FASTER, "receive", "MB/s", goals)
    candidates = (KERNEL, SLIRP, OURS, OLDER)
    return Measurement("receive", lambda name, sizes: {FASTER: speeds[name]}, candidates, (figure,), **options)


def test_candidates_take_turns_from_the_front_and_from_the_back() -> None:
    candidates = Fakes(KERNEL, OURS)
    measured(candidates, measurement({KERNEL: 4.0, OURS: 2.0}, setting="frames"), rounds=2)
    assert candidates.asked == [(name, "frames") for name in (KERNEL, OURS, OURS, KERNEL, KERNEL, OURS)]


def test_the_first_round_warms_up() -> None:
    numbers = count()
    figures = (Figure(FASTER, "receive", "MB/s"),)
    row = measured(Fakes(OURS), Measurement("x", lambda *_: {FASTER: next(numbers)}, (OURS,), figures)).rows[0]
    assert row.values == {OURS: [1, 2, 3]}
    cold = Measurement("x", lambda *_: {FASTER: next(numbers)}, (OURS,), figures, warms_up=False, rounds=2)
    assert measured(Fakes(OURS), cold).rows[0].values == {OURS: [4, 5]}


def test_a_goal_is_a_ratio_of_medians_in_the_run() -> None:
    goals = least(0.45, KERNEL), least(2.0, OLDER), least(300)
    speeds = {KERNEL: 1000.0, OURS: 400.0, "5cfa2e8": 100.0, "also": 1.0}
    row = measured(Fakes(*speeds), measurement(speeds, *goals), older=("5cfa2e8", "also")).rows[0]
    assert row.judged() == [(goals[0], 0.4), (goals[1], 4.0), (goals[2], 400.0)]
    assert report.missed([report.row_json(row)]) == ["receive: 0.4 (goal ≥ 0.45 of kernel's)"]


def test_a_goal_of_a_candidate_that_is_not_there_is_not_judged() -> None:
    row = measured(Fakes(OURS), measurement({OURS: 400.0}, least(1.8, SLIRP), least(2.0, OLDER))).rows[0]
    assert row.judged() == []


@pytest.mark.parametrize(
    ("goal", "value", "reached"), [(least(0.5), 1.0, 2.0), (most(0.5), 1.0, 0.5), (most(8), 0, float("inf"))]
)
def test_how_far_a_goal_is_reached(goal: object, value: float, reached: float) -> None:
    assert goal.reached(value) == reached


def test_a_candidate_that_fails_is_reported_and_the_others_are_measured() -> None:
    def measure(name: str, sizes: object) -> dict[str, float]:
        if name == SLIRP:
            raise AssertionError("slirp4netns did not come up")
        return {FASTER: 1.0}

    figures = (Figure(FASTER, "receive", "MB/s", (least(2.0, SLIRP),)),)
    found = measured(Fakes(SLIRP, OURS), Measurement("receive", measure, (SLIRP, OURS), figures))
    assert found.rows[0].values == {OURS: [1.0, 1.0, 1.0]}
    assert found.failures == {"receive, slirp4netns": "AssertionError: slirp4netns did not come up"}
    assert "failed: receive, slirp4netns: AssertionError: slirp4netns did not come up" in report.lines(found)


def test_the_lines_say_which_goals_are_missed() -> None:
    row = measured(Fakes(KERNEL, OURS), measurement({KERNEL: 5000.0, OURS: 1234.0}, least(0.45, KERNEL)))
    assert report.lines(row) == [
        "receive, MB/s: kernel 5,000 (5,000 – 5,000), ours 1,234 (1,234 – 1,234)",
        "    0.247 (goal ≥ 0.45 of kernel's): missed",
    ]


def test_every_measurement_has_its_own_name_and_measures_ours() -> None:
    names = [each.name for each in (*TABLE, *ALSO)]
    assert len(set(names)) == len(names)
    assert all(OURS in each.candidates for each in (*TABLE, *ALSO))
