"""Better first hops that routers told of (RFC 4861 §8): destination -> first hop, bounded.

A redirect is believed only from the router that is the first hop to its destination (§8.1). It ends when the new first
hop does not answer, when the router that sent it is no longer one, or when newer ones need its room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from schemes.ip.v6.nd_messages import Redirect

MAX_REDIRECTS: Final = 256


class _Entry(NamedTuple):
    first_hop: bytes
    router: bytes  # the sender of the redirect


class Redirects:
    """The redirects of one interface."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[bytes, _Entry] = {}

    def __len__(self) -> int:
        return len(self._table)

    def items(self) -> list[tuple[bytes, bytes]]:
        """Return each destination with its first hop, the oldest first."""
        return [(destination, entry.first_hop) for destination, entry in self._table.items()]

    def first_hop(self, destination: bytes) -> bytes:
        """Return the first hop to *destination*, which may be itself; empty: that of the routing table."""
        entry = self._table.get(destination)
        return entry.first_hop if entry is not None else b""

    def receive(self, message: Redirect, source: bytes, first_hop: bytes) -> bool:
        """Take a checked redirect from *source*; False: *first_hop*, that of the routing table, is another (§8.1)."""
        entry = self._table.get(message.destination)
        if source != (entry.first_hop if entry is not None else first_hop):
            return False
        self._table.pop(message.destination, None)
        if message.target != first_hop:
            if len(self._table) >= MAX_REDIRECTS:
                del self._table[next(iter(self._table))]
            self._table[message.destination] = _Entry(message.target, source)
        return True

    def forget(self, address: bytes) -> bool:
        """Remove the redirects to a first hop that does not answer, and those of a router that is none any more."""
        kept = {key: entry for key, entry in self._table.items() if address not in entry}
        is_changed = len(kept) != len(self._table)
        self._table = kept
        return is_changed

    def clear(self) -> None:
        """Remove all: the interface went down."""
        self._table.clear()
