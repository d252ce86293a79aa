"""The neighbor table of one interface: bounded, whoever is in use stays."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemes.ip.neighbor import DELAY, FAILED, PERMANENT, REACHABLE, STALE, Attachment, Neighbor

CAPACITY: Final = 1024
_SPARED: Final = (DELAY, PERMANENT, REACHABLE)


class NeighborTable:
    """Address -> Neighbor, the longest unused first."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._entries: dict[bytes, Neighbor] = {}

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, address: bytes) -> Neighbor | None:
        """Return the entry, when there is one."""
        return self._entries.get(address)

    def use(self, address: bytes, now: float) -> Neighbor:
        """Return the entry for *address*, making it when it is new; it becomes the last to be evicted."""
        entry = self._entries.pop(address, None)
        if entry is None:
            entry = Neighbor(address, self._attachment)
            self._make_room(now)
        self._entries[address] = entry
        return entry

    def remove(self, address: bytes, now: float) -> None:
        """Forget an entry. ENOENT: there is none."""
        entry = self._entries.pop(address, None)
        if entry is None:
            raise SchemeError(errno.ENOENT, f"{presentation(address)} is not in the neighbor table")
        entry.forget(now)
        self._attachment.neighbor_changed()

    def clear(self, now: float) -> None:
        """Forget everything."""
        for address in tuple(self._entries):
            self.remove(address, now)

    def _make_room(self, now: float) -> None:
        """Evict one when the table is full: FAILED and unused ones before those that somebody talks to."""
        if len(self._entries) < CAPACITY:
            return
        # Second chance: those spared go to the end, so that the next look doesn't begin with them.
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
