"""The sentences for faults that several modules find, so that one fault reads the same everywhere.

Each says what is wrong, then what is allowed. The caller raises it: a parser in a ValueError, an operation in a
SchemeError with its errno. Parameters are what the user wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def bad_number(text: str, low: int, high: int) -> str:
    """For a decimal number that is malformed or out of range."""
    return f"{text!r} is not a number from {low} to {high}"


def bad_seconds(text: str) -> str:
    """For a duration that is not written as decimal seconds."""
    return f"{text!r} is not a number of seconds"


def bad_address(text: str) -> str:
    """For an address where no name may stand."""
    return f"{text!r} is not an IP address; names are not resolved here"


def bad_zone(text: str) -> str:
    """For `fe80::2%nope`."""
    return f"{text!r} is not a link-local address on an interface of this host, such as fe80::2%eth0"


def bad_host(text: str) -> str:
    """For a host that may be a name or an address."""
    return f"{text!r} is not a host name or an address"


def not_ipv4(shown: str) -> str:
    """For an address of another family."""
    return f"{shown} is not an IPv4 address; only IPv4 is possible here"


def bad_cidr(text: str) -> str:
    """For an address with its prefix length."""
    return f"{text!r} is not ADDRESS/PREFIXLENGTH, such as 10.0.2.15/24"


def bad_cidr6(text: str) -> str:
    """For the same of IPv6."""
    return f"{text!r} is not ADDRESS/PREFIXLENGTH, such as fd00::15/64"


def not_unicast(shown: str) -> str:
    """For an address that no host can have."""
    return f"{shown} is not a unicast address"


def no_zone(shown: str, interfaces: Iterable[str]) -> str:
    """For an address of a link without the name of its interface."""
    return f"{shown} means another host on each link: write {shown}%INTERFACE, with one of {', '.join(interfaces)}"


def bad_mac(text: str) -> str:
    """For the text of a hardware address."""
    return f"{text!r} is not a hardware address, such as 52:54:00:12:34:56"


def not_unicast_mac(shown: str) -> str:
    """For a hardware address that no station can have."""
    return f"{shown} is not a unicast hardware address: its first octet must be even, and one not zero"


def not_one_host(shown: str, scheme: str) -> str:
    """For a destination that must be a single host."""
    return f"{shown} is a broadcast or multicast address; {scheme} needs one host"


def no_route(shown: str) -> str:
    """For a destination that no rule of the routing table matches."""
    return f"no route to {shown}"


def no_interface(name: str, known: Iterable[str]) -> str:
    """For the name of an interface that this mount does not have."""
    return f"there is no interface {name!r}; there are: {', '.join(known)}"


def only_lo(shown: str) -> str:
    """For the same, where lo is the only interface."""
    return f"this mount has only lo: no route to {shown}; a TAP reaches other hosts (schemefs mount --driver tap)"


def not_privileged(action: str) -> str:
    """For what `SchemeContext.is_privileged` forbids the caller; *action* is a verb with its object."""
    return f"only root and the daemon's user may {action}"
