"""The numbers of interfaces in addresses of a link (sin6_scope_id): a mount has names. lo is 1, the others follow.

The order is that of `netcfg/ifaces/list`. The kernel's numbers are those of the host's interfaces, which the program
does not have.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final

from schemefs.run.call import Failed
from schemefs.run.tree import Tree

_LIST: Final = "netcfg/ifaces/list"
_LOOPBACK: Final = "lo"


class Zones:
    """Names and numbers of the interfaces of a mount."""

    def __init__(self, tree: Tree | None = None) -> None:
        self._tree = tree

    def name(self, number: int) -> str:
        """Return the name of an interface. ENODEV: there is none of this number."""
        names = self._names()
        if not 0 < number <= len(names):
            raise Failed(errno.ENODEV)
        return names[number - 1]

    def number(self, name: str) -> int:
        """Return the number of an interface; 0: there is none of this name."""
        names = self._names()
        return names.index(name) + 1 if name in names else 0

    def first(self) -> int:
        """Return the number of the first interface that leads to other hosts; that of lo where there is none."""
        return min(2, len(self._names()))

    def _names(self) -> Sequence[str]:
        if self._tree is None:
            return ()
        others = (line.split()[0] for line in self._tree.text(_LIST).splitlines() if line.strip())
        return (_LOOPBACK, *(name for name in others if name != _LOOPBACK))
