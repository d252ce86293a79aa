"""The end of what is under way in a lab: a FIN that a link delays when the command has ended belongs to its report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from schemefs.lab.router_files import read_impair
from schemefs.lab.topology import Topology

LONGEST: Final = 0.5  # seconds; programs that still run may send for ever
_PAUSE: Final = 0.02  # seconds: that a router has nothing to pass on can't be waited for


def settle(topology: Topology, trees: Mapping[str, Path], longest: float = LONGEST) -> None:
    """Return when no link holds a frame and the connections have not changed for a moment. OSError: a tree is gone."""
    deadline = time.monotonic() + longest
    before = None
    while time.monotonic() < deadline:
        flows = [(tree / "netcfg/stats/flows").read_text() for tree in trees.values()]
        if flows == before and not _is_under_way(topology, trees):
            return
        before = flows
        time.sleep(_PAUSE)


def _is_under_way(topology: Topology, trees: Mapping[str, Path]) -> bool:
    ends = [link.impaired for link in topology.links]
    impaired = [read_impair(trees[end.owner] / "netcfg/ifaces" / end.name / "impair") for end in ends]
    return any(counters.get("held") for one in impaired for counters in one.directions.values())
