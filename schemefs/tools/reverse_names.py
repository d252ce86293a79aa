"""The names of addresses, for output: from the hosts file and the name servers of the mount, by `dns/ADDRESS,type=ptr`.

A name only decorates a line, so a server that does not answer costs one second and is not asked again.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Final

_LONGEST: Final = 1000  # milliseconds that a line waits for a name
_CHUNK: Final = 4096


class ReverseNames:
    """The names of addresses, each asked for once."""

    def __init__(self, tree: Path, *, are_wanted: bool) -> None:
        self._tree = tree
        self._are_wanted = are_wanted
        self._is_silent = False  # no server has answered in time
        self._names: dict[str, str] = {}

    def of(self, address: str) -> str:
        """Return the name of *address*, or *address* itself if it has none."""
        if address not in self._names:
            self._names[address] = self._found(address) or address
        return self._names[address]

    def both(self, address: str) -> str:
        """Return `NAME (ADDRESS)`, or the address alone where no names are wanted."""
        return f"{self.of(address)} ({address})" if self._are_wanted else address

    def _found(self, address: str) -> str:
        if not self._are_wanted or self._is_silent or "%" in address:  # no server knows the links of this host
            return ""
        try:
            descriptor = os.open(self._tree / f"dns/{address},type=ptr", os.O_RDONLY | os.O_NONBLOCK)
            try:
                poller = select.poll()
                poller.register(descriptor, select.POLLIN)
                if poller.poll(_LONGEST):
                    return os.read(descriptor, _CHUNK).decode().partition("\n")[0]
            finally:
                os.close(descriptor)
        except OSError:
            return ""
        self._is_silent = True
        return ""
