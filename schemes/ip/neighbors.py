"""The neighbor table of one interface: bounded, and entries in use are kept longest."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemes.ip.neighbor import DELAY, FAILED, PERMANENT, REACHABLE, STALE, Neighbor, NeighborLink

CAPACITY: Final = 1024
_SPARED: Final = (DELAY, PERMANENT, REACHABLE)


class NeighborTable:
    """Address -> Neighbor, the longest unused first."""

    __slots__ = ("_entries", "_link")

    def __init__(self, link: NeighborLink) -> None:
        self._link = link
        self._entries: dict[bytes, Neighbor] = {}

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, address: bytes) -> Neighbor | None:
        """Return the entry; None: there is none."""
        return self._entries.get(address)

    def use(self, address: bytes, now: float) -> Neighbor:
        """Return the entry for *address*, a new one if needed; it becomes the last to be evicted."""
        entry = self._entries.pop(address, None)
        if entry is None:
            entry = Neighbor(address, self._link)
            self._make_room(now)
        self._entries[address] = entry
        return entry

    def remove(self, address: bytes, now: float) -> None:
        """Remove an entry; its queued datagrams are reported as undeliverable. ENOENT: there is none."""
        entry = self._entries.pop(address, None)
        if entry is None:
            raise SchemeError(errno.ENOENT, f"{presentation(address)} is not in the neighbor table")
        entry.forget(now)
        self._link.neighbor_changed()

    def clear(self, now: float) -> None:
        """Remove all entries."""
        for address in tuple(self._entries):
            self.remove(address, now)

    def forget_learned(self, now: float) -> None:
        """Remove the entries that ARP has made: without a carrier none answers, and another end has others."""
        for entry in tuple(self._entries.values()):
            if entry.state != PERMANENT:
                self.remove(entry.address, now)

    def _make_room(self, now: float) -> None:
        """Evict an entry of a full table: first FAILED and unused ones, last those in use."""
        if len(self._entries) < CAPACITY:
            return
        # Second chance: entries that are kept move to the end, so the next search doesn't begin with them.
        for address, entry in tuple(self._entries.items()):
            if entry.state == FAILED or (entry.state == STALE and not entry.queue):
                self.remove(address, now)
                return
            del self._entries[address]
            self._entries[address] = entry
        for address, entry in self._entries.items():
            if entry.state not in _SPARED:
                self.remove(address, now)
                return
        self.remove(next(iter(self._entries)), now)
