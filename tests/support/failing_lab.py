"""A test that fails, run by pytest from within another test: what its report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemefs.testing.lab import Lab


def test_it(lab: Lab) -> None:
    lab.hosts("a", seed=5)
    raise AssertionError
