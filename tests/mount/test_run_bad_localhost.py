"""The example of README and docs/run.md: an unchanged test suite on a bad localhost, as an ordinary user."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ordinary_user import USER
from tests.support.run_as_user import Done, run_as_user

SUITE = Path(__file__).parents[2] / "examples/bad_localhost"
WITHOUT = ("cacheprovider", "hypothesispytest", "xdist")  # plugins that the user may not run, or that load slowly
OPTIONS = ["-q", "--tb=short", "-l", *(f"-pno:{name}" for name in WITHOUT)]
PYTEST = [sys.executable, "-m", "pytest", *OPTIONS, str(SUITE)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chown(name, USER, USER)
        yield Path(name)


@pytest.mark.needs("root", "userns", "fuse")
def test_the_suite_fails_in_the_same_place_each_time(folder: Path) -> None:
    first, second = (failed(run_as_user(folder, ["--impair", "loss 5% seed 7"], PYTEST)) for _ in range(2))
    assert first == second


def failed(done: Done) -> str:
    """Return where the count has stopped."""
    assert (done.status, done.counters) == (1, {}), done.output + done.errors
    assert "1 failed, 3 passed" in done.output
    assert re.search(r"^schemefs run: lo: loss 5% seed 7: .*dropped_lost=[1-9]", done.errors, re.MULTILINE)
    return re.findall(r"^ *number += (\d+)$", done.output, re.MULTILINE)[0]


@pytest.mark.full
@pytest.mark.needs("root", "userns", "fuse")
def test_without_loss_it_passes(folder: Path) -> None:
    done = run_as_user(folder, ["--driver", "loopback"], PYTEST)
    assert (done.status, done.counters) == (0, {}), done.output + done.errors
