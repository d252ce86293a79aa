"""Name servers and search domains that routers advertise (RFC 8106): bounded, and only of routers that are used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar

from schemes.ip.v6.nd_options import INFINITE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemes.ip.v6.nd_options import Options

T = TypeVar("T")

MAX_SERVERS: Final = 8  # of all routers of an interface; RFC 8106 §5.3.1 asks for at least three
MAX_DOMAINS: Final = 8


class AdvertisedNames:
    """The lists of one interface. A value belongs to each router that advertises it, with its own lifetime."""

    __slots__ = ("_domains", "_servers")

    def __init__(self) -> None:
        self._servers: dict[tuple[bytes, bytes], float] = {}  # (router, server) -> end of its lifetime
        self._domains: dict[tuple[bytes, str], float] = {}

    @property
    def servers(self) -> tuple[bytes, ...]:
        """The name servers, in the order of their first advertisement."""
        return tuple(dict.fromkeys(server for _, server in self._servers))

    @property
    def domains(self) -> tuple[str, ...]:
        """The search domains, in the order of their first advertisement."""
        return tuple(dict.fromkeys(domain for _, domain in self._domains))

    @property
    def next_end(self) -> float:
        """When the next lifetime ends."""
        return min((*self._servers.values(), *self._domains.values()), default=math.inf)

    def receive(self, router: bytes, options: Options, now: float) -> int:
        """Take the options of an advertisement; return how many values found no room."""
        servers = ((each.lifetime, each.addresses) for each in options.name_servers)
        domains = ((each.lifetime, each.domains) for each in options.search_lists)
        refused = _receive(self._servers, router, servers, MAX_SERVERS, now)
        return refused + _receive(self._domains, router, domains, MAX_DOMAINS, now)

    def forget_router(self, router: bytes) -> None:
        """Remove what a router has advertised that is no longer used."""
        self._servers = {key: until for key, until in self._servers.items() if key[0] != router}
        self._domains = {key: until for key, until in self._domains.items() if key[0] != router}

    def expire(self, now: float) -> None:
        """Remove what has reached the end of its lifetime."""
        self._servers = {key: until for key, until in self._servers.items() if until > now}
        self._domains = {key: until for key, until in self._domains.items() if until > now}

    def clear(self) -> None:
        """Remove all."""
        self._servers.clear()
        self._domains.clear()


def _receive(
    table: dict[tuple[bytes, T], float],
    router: bytes,
    groups: Iterable[tuple[int, tuple[T, ...]]],
    limit: int,
    now: float,
) -> int:
    refused = 0
    for lifetime, values in groups:
        for value in values:
            key = (router, value)
            if not lifetime:
                table.pop(key, None)
            elif key in table or len(table) < limit:
                table[key] = math.inf if lifetime == INFINITE else now + lifetime
            else:
                refused += 1
    return refused
