"""Hundreds of seeds: every one must end well. A failure names its seed; `./dev sim --seed N` replays it."""

from __future__ import annotations

import pytest
from simulation import Simulation

SEEDS = 200
SEEDS_IN_FULL = 2000
BLOCK = 50


@pytest.mark.parametrize("seed", range(SEEDS))
def test_seed(seed: int) -> None:
    Simulation(seed).run()


@pytest.mark.full
@pytest.mark.parametrize("first", range(SEEDS, SEEDS_IN_FULL, BLOCK))
def test_more_seeds(first: int) -> None:
    for seed in range(first, first + BLOCK):
        Simulation(seed).run()


def test_a_seed_replays_exactly() -> None:
    first, again = Simulation(3), Simulation(3)
    first.run()
    again.run()
    assert first.replay() == again.replay()
    assert len(first.trace) > 10
