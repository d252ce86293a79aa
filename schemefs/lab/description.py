"""What a lab's file or options say, as they say it: nothing is worked out here, and only names are checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

LONGEST_NAME: Final = 253  # RFC 1123 §2.1
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DescribedHost:
    """A host or a router. The addresses belong to its links, in their order; "": not given."""

    name: str
    addresses: tuple[str, ...] = ()
    addresses6: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    directory: str = ""
    guest: bool = False


@dataclass(frozen=True, slots=True)
class DescribedLink:
    """A link between the named hosts and routers."""

    between: tuple[str, ...]
    name: str = ""
    network: str = ""
    network6: str = ""  # "none": the link has no IPv6
    mtu: int = 0
    impair: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """One lab, in the order of its text."""

    hosts: tuple[DescribedHost, ...]
    routers: tuple[DescribedHost, ...]
    links: tuple[DescribedLink, ...]
    seed: int | None = None
    internet: bool = False
    ipv6: bool = True

    def __post_init__(self) -> None:
        """Check the names. ValueError with a sentence."""
        if not any(not host.guest for host in self.hosts):
            message = "a lab needs a host; name it by --hosts or [host.NAME]"
            raise ValueError(message)
        if not self.routers:
            message = "a lab needs a router; write [router.NAME]"
            raise ValueError(message)
        seen: set[str] = set()
        for owner in self.owners:
            check_host_name(owner.name)
            if owner.name.lower() in seen:
                message = f"the name {owner.name!r} is given twice; each host and router has a name of its own"
                raise ValueError(message)
            seen.add(owner.name.lower())

    @property
    def owners(self) -> Iterator[DescribedHost]:
        """Hosts, then routers."""
        yield from self.hosts
        yield from self.routers


def check_host_name(name: str) -> None:
    """Raise ValueError unless *name* is a host name of RFC 1123 §2.1 and neither an address nor localhost."""
    try:
        ip_address(name)
        is_address = True
    except ValueError:
        is_address = name.rpartition(".")[2].isdecimal()  # the last label of a name has a letter
    labels = name.split(".")
    if is_address or len(name) > LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        message = f"{name!r} is not a host name; letters, digits and hyphens are allowed, such as client-1"
        raise ValueError(message)
    if labels[-1].lower() == "localhost":
        message = f"{name!r} is the name of the loopback interface in each host; choose another name"
        raise ValueError(message)
