"""What one router of a link advertises of itself, and which one makes room for another (RFC 4861 §6.3.4, RFC 4191)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

UNREACHABLE: Final = 0  # the router does not answer
UNPROVEN: Final = 1  # it was not asked yet
PROVEN: Final = 2  # it has answered a solicitation


class AdvertisingRouter:
    """One router. It may be a default router, or the way to some networks alone."""

    __slots__ = (
        "address",  # link-local
        "heard_at",  # when the last advertisement came
        "managed",  # whether it says that DHCPv6 gives addresses
        "messages",  # advertisements that came
        "networks",  # of the addresses that hosts form: network -> end of the valid lifetime
        "other",  # whether it says that DHCPv6 has more configuration
        "preference",  # of its default route (RFC 4191)
        "routes",  # (network, length) -> (preference, end of the lifetime)
        "slot",  # a small number that no other router has: it makes metrics differ
        "until",  # end of its lifetime as a default router
    )

    def __init__(self, address: bytes, slot: int) -> None:
        self.address = address
        self.slot = slot
        self.heard_at = 0.0
        self.messages = 0
        self.managed = False
        self.other = False
        self.preference = 0
        self.until = 0.0
        self.networks: dict[bytes, float] = {}
        self.routes: dict[tuple[bytes, int], tuple[int, float]] = {}


def least_useful(
    routers: Iterable[AdvertisingRouter], reachability: Callable[[bytes], int]
) -> AdvertisingRouter | None:
    """Return the router to forget for a new one; None: all have answered.

    A stranger can invent routers, but not let them answer for less than a message each. So a router that has answered
    is kept, and of the others one that was heard once goes before one that repeats itself.
    """
    worst = min(
        routers, key=lambda each: (reachability(each.address), min(each.messages, 2), each.preference, each.heard_at)
    )
    return worst if reachability(worst.address) != PROVEN else None
