"""Multicast groups of a bound endpoint or a listener: `join=GROUP[+GROUP…]`, and ctl's `join` and `leave`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from schemefs.conversation import Setting, Verb
from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, packed, presentation

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer


class Member(Protocol):
    """Who has joined groups."""

    groups: set[bytes]

    @property
    def network(self) -> NetworkLayer:
        """Where it has."""


def parse_groups(text: str) -> set[bytes]:
    """Return the packed addresses of GROUP[+GROUP…]. ValueError: one is no group."""
    groups = {group: packed(group) for group in text.split("+")}
    for group, address in groups.items():
        if address is None or not is_multicast(address):
            message = f"{group!r} is no multicast group"
            raise ValueError(message)
    return {address for address in groups.values() if address is not None}


def join(member: Member, groups: set[bytes], now: float) -> None:
    """Hear *groups* too, all or none of them."""
    joined: set[bytes] = set()
    try:
        for group in groups - member.groups:
            member.network.join_group(group, now)
            joined.add(group)
    except SchemeError:
        _leave(member.network, joined, now)
        raise
    member.groups |= joined


def leave(member: Member, groups: set[bytes], now: float) -> None:
    """Hear *groups* no more. ValueError: one was not joined."""
    for group in groups - member.groups:
        message = f"{presentation(group)} was not joined"
        raise ValueError(message)
    member.groups -= groups
    _leave(member.network, groups, now)


def _leave(network: NetworkLayer, groups: set[bytes], now: float) -> None:
    for group in groups:
        network.leave_group(group, now)


def setting_of(member: Member) -> Setting:
    """Return what `settings/groups` shows."""
    return Setting(lambda: " ".join(map(presentation, sorted(member.groups))), None, "groups it has joined")


def _hears_anybody(side: object) -> Member:
    groups, remote = getattr(side, "groups", None), getattr(side, "remote", "")
    if groups is None or remote:
        message = f"it hears {remote or 'one peer'} alone; who is announced can join groups"
        raise ValueError(message)
    return cast("Member", side)


VERBS: Final = {
    "join": Verb(
        "GROUP",
        "hear a multicast group as well",
        lambda side, text, now: join(_hears_anybody(side), parse_groups(text), now),
    ),
    "leave": Verb(
        "GROUP", "hear it no more", lambda side, text, now: leave(_hears_anybody(side), parse_groups(text), now)
    ),
}
