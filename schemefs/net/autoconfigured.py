"""What an interface has from its routers without configuration (RFC 4861, RFC 4862): the contract of ip and netcfg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AdvertisedRouter:
    """What this host advertises of itself as a router. Lifetimes in seconds."""

    prefixes: tuple[tuple[bytes, int], ...] = ()  # (network, length), from which hosts form addresses
    lifetime: int = 1800  # as a default router; 0: it is none
    preference: int = 0  # -1, 0 or 1 (RFC 4191)
    valid_lifetime: int = 86400  # of the prefixes
    preferred_lifetime: int = 14400
    mtu: int = 0  # octets; 0: none is advertised
    name_servers: tuple[bytes, ...] = ()
    domains: tuple[str, ...] = ()
    other: bool = False  # whether DHCPv6 has more configuration


class Autoconfigured(Protocol):
    """The autoconfiguration of one interface. The setters act at once."""

    @property
    def accepts(self) -> bool:
        """Whether router advertisements have an effect, unless this host is a router."""

    def set_accepts(self, on: bool, now: float) -> None:
        """Accept advertisements from now on, or forget what they gave."""

    @property
    def temporary(self) -> bool:
        """Whether each network has temporary addresses too (RFC 8981)."""

    def set_temporary(self, on: bool, now: float) -> None:
        """Form temporary addresses, or remove them."""

    @property
    def advertised(self) -> AdvertisedRouter | None:
        """What this host advertises of itself on this interface; None: nothing."""

    def advertise(self, router: AdvertisedRouter | None, now: float) -> None:
        """Advertise *router* from now on; None: stop. EOPNOTSUPP: the medium has no link-local addresses."""

    def lines(self, now: float) -> list[str]:
        """Return what routers advertise, one fact a line."""

    def describe(self, address: bytes, now: float) -> str:
        """Return `ADDRESS/LENGTH scope S origin O valid T preferred T` for an IPv6 address; seconds, or forever."""
