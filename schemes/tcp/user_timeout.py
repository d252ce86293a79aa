"""The user timeout option (RFC 5482): each side tells how long its octets may stay unacknowledged, and both adapt.

    USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))

Off unless the setting `advertise_timeout` turns it on (ENABLED), and a time-out that was set by hand is not changed by
what the peer says (CHANGEABLE). It is advice: sent in the SYN, with the first ACK after it, and with one when it
changes; never with text, whose segments have no room for more options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemes.tcp.connection import Connection

USER_TIMEOUT: Final = 900.0  # seconds, until somebody says otherwise: R2 of RFC 9293 §3.8.3; Linux takes 924
L_LIMIT: Final = 100.0  # seconds; RFC 5482 §3.1, from R2 of RFC 9293 §3.8.3
U_LIMIT: Final = 86400.0
LARGEST: Final = 0x7FFF  # in seconds, or in minutes where the option says so


def encode(seconds: float) -> int:
    """Return the granularity bit and the 15 bits of the option (§3): seconds, or minutes for what is longer."""
    whole = max(1, round(seconds))
    return whole if whole <= LARGEST else 0x8000 | min(-(-whole // 60), LARGEST)


def decode(value: int) -> int:
    """Return the seconds of an option."""
    return (value & LARGEST) * (60 if value & 0x8000 else 1)


def advertise(connection: Connection, seconds: float) -> None:
    """Tell the peer of *seconds* from now on, and listen to what it says; 0: neither."""
    c = connection
    c.advertised_timeout = seconds
    c.timeout_due = seconds > 0
    if seconds:
        _adapt(c, 0)
    if seconds and c.established_at >= 0:
        c.ack_now = True
        c.tcp.transmit_soon(c)


def arrives(connection: Connection, seconds: int) -> None:
    """The peer's option came: §3.1, unless it is 0, which means nothing."""
    if connection.advertised_timeout and seconds:
        _adapt(connection, seconds)


def _adapt(c: Connection, remote: int) -> None:
    if c.is_timeout_fixed:
        return
    c.user_timeout = min(U_LIMIT, max(c.advertised_timeout, remote, L_LIMIT))
    c.tell(
        c.heard_at,
        f"user timeout {c.user_timeout:g} s: ours {c.advertised_timeout:g}, the peer's {remote or 'not told'}",
    )
