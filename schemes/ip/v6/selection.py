"""Default address selection (RFC 6724): the source for a destination, and the order of destinations. Pure functions.

IPv4 addresses take part as IPv4-mapped ones (§3.2), so one order holds for both families. An address is 4 or 16 packed
octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from schemefs.net.addresses import network_of
from schemes.ip.v6.scopes import scope_of

_MAPPED: Final = bytes(10) + b"\xff\xff"


class Policy(NamedTuple):
    """A row of the policy table (§2.1)."""

    network: bytes
    length: int
    precedence: int
    label: int


def _policy(text: str) -> Policy:
    prefix, precedence, label = text.split()
    address, _, length = prefix.partition("/")
    return Policy(IPv6Address(address).packed, int(length), int(precedence), int(label))


POLICIES: Final = tuple(
    map(
        _policy,
        (
            "::1/128 50 0",
            "::ffff:0:0/96 35 4",
            "::/96 1 3",
            "2001::/32 5 5",
            "2002::/16 30 2",
            "3ffe::/16 1 12",
            "fec0::/10 1 11",
            "fc00::/7 3 13",
            "::/0 40 1",
        ),
    )
)
"""The default table of §2.1, the longest prefixes first."""


class Candidate(NamedTuple):
    """An address of this host that may be a source."""

    address: bytes
    prefix_length: int  # of its network; rule 8 compares no further
    interface: str = ""
    is_deprecated: bool = False
    is_temporary: bool = False
    next_hops: frozenset[bytes] = frozenset()  # routers that advertise its prefix (rule 5.5)


def mapped(address: bytes) -> bytes:
    """Return the 16 octets of an address; an IPv4 address becomes an IPv4-mapped one."""
    return _MAPPED + address if len(address) == 4 else address


def policy_of(address: bytes, policies: Sequence[Policy] = POLICIES) -> Policy:
    """Return the first row whose prefix *address* is in; *policies* has the longest prefixes first."""
    address = mapped(address)
    return next(row for row in policies if network_of(address, row.length) == row.network)


def common_prefix_length(one: bytes, other: bytes, limit: int = 128) -> int:
    """Return how many leading bits two addresses share, at most *limit* (§2.2)."""
    difference = int.from_bytes(mapped(one), "big") ^ int.from_bytes(mapped(other), "big")
    return min(128 - difference.bit_length(), limit)


def select_source(
    destination: bytes,
    candidates: Iterable[Candidate],
    *,
    interface: str = "",
    next_hop: bytes = b"",
    prefer_temporary: bool = True,
) -> Candidate | None:
    """Return the best source by the rules of §5; None: there is no candidate.

    *interface* and *next_hop* are those of the route to *destination*. The caller leaves out what can't be a source at
    all (§4): tentative addresses, and for a destination of link-local scope those of other interfaces.
    """
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or _better_source(candidate, best, destination, interface, next_hop, prefer_temporary):
            best = candidate
    return best


def _better_source(
    one: Candidate, other: Candidate, destination: bytes, interface: str, next_hop: bytes, prefer_temporary: bool
) -> bool:
    """Return whether *one* is preferred to *other*."""
    if destination in (one.address, other.address):  # rule 1: prefer the same address
        return one.address == destination
    scope = scope_of(mapped(destination))
    mine, theirs = scope_of(mapped(one.address)), scope_of(mapped(other.address))
    if mine != theirs:  # rule 2: prefer the smallest scope that is enough
        return mine >= scope if mine < theirs else theirs < scope
    label = policy_of(destination).label
    rules = (
        (not one.is_deprecated, not other.is_deprecated),  # rule 3
        (one.interface == interface, other.interface == interface),  # rule 5
        (next_hop in one.next_hops, next_hop in other.next_hops),  # rule 5.5
        (policy_of(one.address).label == label, policy_of(other.address).label == label),  # rule 6
        (one.is_temporary is prefer_temporary, other.is_temporary is prefer_temporary),  # rule 7
        (_shared(one, destination), _shared(other, destination)),  # rule 8
    )
    return next((bool(mine > theirs) for mine, theirs in rules if mine != theirs), False)


def _shared(candidate: Candidate, destination: bytes) -> int:
    # §2.2 limits the comparison to the prefix of the source; an IPv4-mapped one is 96 bits longer.
    limit = candidate.prefix_length + 96 if len(candidate.address) == 4 else candidate.prefix_length
    return common_prefix_length(candidate.address, destination, limit)


def order_destinations(destinations: Iterable[bytes], source_for: Callable[[bytes], Candidate | None]) -> list[bytes]:
    """Return *destinations*, the best first, by the rules of §6; equal ones keep their order (rule 10).

    *source_for* returns the source that would be used for a destination; None: the destination is unreachable.
    """
    pairs = [(destination, source_for(destination)) for destination in destinations]
    return [pair[0] for pair in sorted(pairs, key=cmp_to_key(_compare))]


_Pair = tuple[bytes, Candidate | None]


def _compare(one: _Pair, other: _Pair) -> int:
    """Return a negative number if *one* is preferred, a positive one if *other* is."""
    (a, source_a), (b, source_b) = one, other
    if source_a is None or source_b is None:  # rule 1: avoid unusable destinations
        return (source_a is None) - (source_b is None)
    scope_a, scope_b = scope_of(mapped(a)), scope_of(mapped(b))
    policy_a, policy_b = policy_of(a), policy_of(b)
    preferred = (
        (scope_a == scope_of(mapped(source_a.address)), scope_b == scope_of(mapped(source_b.address))),  # rule 2
        (not source_a.is_deprecated, not source_b.is_deprecated),  # rule 3
        (policy_a.label == policy_of(source_a.address).label, policy_b.label == policy_of(source_b.address).label),
        (policy_a.precedence, policy_b.precedence),  # rule 6; the row above is rule 5
        (-scope_a, -scope_b),  # rule 8
    )
    for mine, theirs in preferred:
        if mine != theirs:
            return -1 if mine > theirs else 1
    if len(a) == len(b):  # rule 9: the longest match, for addresses of one family
        return _shared(source_b, b) - _shared(source_a, a)
    return 0
