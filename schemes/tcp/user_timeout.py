"""The user timeout option (RFC 5482): each side says how long its octets may stay unacknowledged, and both adapt.

    USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))

It is off unless the setting `advertise_timeout` turns it on (ENABLED). A time-out that was set by hand is not changed
by the peer's option (CHANGEABLE). The option is sent in the SYN, with the first ACK after it, and with an ACK when the
value changes; never with text, whose segments have no room for more options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.tcp.control_block import ACK_DUE, USER_TIMEOUT

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

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


def advertise(tcb: ControlBlock, seconds: float) -> None:
    """Send *seconds* to the peer from now on, and take over its option; 0: neither."""
    tcb.advertised_timeout = seconds
    tcb.timeout_due = seconds > 0
    _adapt(tcb, None)
    if seconds and tcb.established_at >= 0:
        tcb.reply = ACK_DUE
        tcb.tcp.transmit_soon(tcb)


def arrives(tcb: ControlBlock, seconds: int, now: float) -> None:
    """Apply the peer's option (§3.1), unless it is 0, which is reserved, or as before."""
    if tcb.advertised_timeout and seconds not in (0, tcb.remote_timeout):
        tcb.remote_timeout = seconds
        _adapt(tcb, now)


def user_closes(tcb: ControlBlock, now: float) -> None:
    """The user has closed: the peer's option must not keep the connection for up to a day."""
    if tcb.remote_timeout > USER_TIMEOUT:
        _adapt(tcb, now)


def _adapt(tcb: ControlBlock, now: float | None) -> None:
    if tcb.is_timeout_fixed:
        return
    ours, remote = tcb.advertised_timeout, tcb.remote_timeout
    considered = min(remote, USER_TIMEOUT) if tcb.closed else remote
    tcb.user_timeout = min(U_LIMIT, max(ours, considered, L_LIMIT)) if ours else USER_TIMEOUT
    text = f"user timeout {tcb.user_timeout:g} s: ours {ours:g}, the peer's {remote or 'not given'}"
    tcb.log_event(now, text, "transport:parameters_set", {"user_timeout": tcb.user_timeout})
