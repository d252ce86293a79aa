"""The driver of `schemefs mount` without --driver, and the reason for the ready line. Nothing is opened or changed.

The candidates are tap, passt and loopback (AS_DEFAULT in a driver's module). An option that only one of them has
decides: `--tap lab1` is tap's. Otherwise the best one that this user can have on this machine is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemefs.driver_option import AsDefault, Tables, option_named


@dataclass(frozen=True, slots=True)
class Choice:
    """A driver, and what stands in the way of better ones: "no tap: …; no passt: …". Empty: it is the best."""

    driver: str
    reason: str = ""


def choose(candidates: Mapping[str, AsDefault], tables: Tables, given: Iterable[str]) -> Choice:
    """Return the default driver. *given*: the names of the drivers' options on the command line."""
    names = list(given)
    ranked = sorted(candidates, key=lambda driver: candidates[driver].rank)
    able = [driver for driver in ranked if all(option_named(tables.get(driver), name) for name in names)] or ranked
    if len(able) == 1:
        return Choice(able[0])
    obstacles: list[str] = []
    for driver in able:
        obstacle = candidates[driver].obstacle()
        if not obstacle:
            return Choice(driver, "; ".join(obstacles))
        obstacles.append(f"no {driver}: {obstacle}")
    return Choice(ranked[0])  # it says itself what is wrong
