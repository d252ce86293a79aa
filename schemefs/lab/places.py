"""Where the parts of a lab are in its root directory."""

from __future__ import annotations

from typing import Final

SCHEME: Final = "/scheme"  # the tree of the first router; /scheme/NAME: that of each router
MACHINERY: Final = "/.schemefs-lab"  # what the lab itself needs
PROGRAMS: Final = f"{MACHINERY}/bin"  # in PATH: `on`
NETWORKS: Final = f"{MACHINERY}/networks"  # a file for each host: its network namespace
ENVIRONMENTS: Final = f"{MACHINERY}/environments"  # a file of shell for each host: its variables
TREES: Final = f"{MACHINERY}/trees"  # a mount point for each router
LOGS: Final = f"{MACHINERY}/logs"  # what the daemon of each router says


def network_of(host: str) -> str:
    """Return the path of a host's network namespace."""
    return f"{NETWORKS}/{host}"


def tree_of(router: str) -> str:
    """Return the path of a router's mount."""
    return f"{TREES}/{router}"
