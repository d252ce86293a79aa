"""Each measurement of `./dev bench`, tiny: it runs at each candidate and returns its figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.candidates import Candidates
from tests.bench.installation import Installation
from tests.bench.measurement import OURS, Measurement
from tests.bench.rows import ALSO, TABLE
from tests.bench.runner import Measured, Runner
from tests.bench.sizes import TINY

pytestmark = [pytest.mark.full, pytest.mark.needs("fuse", "tap", "root")]


@pytest.fixture(autouse=True)
def _servers_end_with_their_test() -> None:
    """Let the servers of the candidates serve the next measurement too, other than in the rest of this folder."""


@pytest.fixture(scope="module")
def candidates() -> Iterator[Candidates]:
    with Candidates({OURS: Installation()}) as made:
        yield made


@pytest.mark.parametrize("measurement", [*TABLE, *ALSO], ids=lambda each: each.name)
def test_a_measurement_returns_its_figures(candidates: Candidates, measurement: Measurement) -> None:
    found: list[Measured] = []
    Runner(candidates, [], 1, TINY).run([measurement], found.append)
    assert not found[0].failures
    measured = set(measurement.candidates) & set(candidates.names)
    for row in found[0].rows:
        assert set(row.values) == (measured if row.figure.key != "cpu" else measured - {"kernel"})
