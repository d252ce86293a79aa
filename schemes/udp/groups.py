"""Multicast groups of a bound endpoint or a listener: option `join=GROUP[+GROUP…]`, ctl verbs `join` and `leave`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from schemefs.conversation import Setting, Verb
from schemefs.errors import SchemeError
from schemefs.net.addresses import is_multicast, packed, presentation

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer


class Member(Protocol):
    """An endpoint or listener that can join groups."""

    groups: set[bytes]

    @property
    def network(self) -> NetworkLayer:
        """The network layer in which it joins them."""


def parse_groups(text: str) -> set[bytes]:
    """Return the packed addresses of GROUP[+GROUP…]. ValueError: an address is not a multicast group."""
    groups = {group: packed(group) for group in text.split("+")}
    for group, address in groups.items():
        if address is None or not is_multicast(address):
            message = f"{group!r} is not a multicast group"
            raise ValueError(message)
    return {address for address in groups.values() if address is not None}


def join(member: Member, groups: set[bytes], now: float) -> None:
    """Join *groups*, all or none of them."""
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
    """Leave *groups*. ValueError: one is not joined, and none is left."""
    for group in groups - member.groups:
        message = f"{presentation(group)} is not joined"
        raise ValueError(message)
    member.groups -= groups
    _leave(member.network, groups, now)


def _leave(network: NetworkLayer, groups: set[bytes], now: float) -> None:
    for group in groups:
        network.leave_group(group, now)


def setting_of(member: Member) -> Setting:
    """Return the setting `groups`, which is read-only."""
    return Setting(lambda: " ".join(map(presentation, sorted(member.groups))), None, "multicast groups joined")


def _announced(side: object) -> Member:
    groups, remote = getattr(side, "groups", None), getattr(side, "remote", "")
    if groups is None or remote:
        message = f"it is connected to {remote or 'a peer'}; only an announced conversation can join groups"
        raise ValueError(message)
    return cast("Member", side)


VERBS: Final = {
    "join": Verb(
        "GROUP",
        "join a multicast group",
        lambda side, text, now: join(_announced(side), parse_groups(text), now),
    ),
    "leave": Verb(
        "GROUP", "leave a multicast group", lambda side, text, now: leave(_announced(side), parse_groups(text), now)
    ),
}
