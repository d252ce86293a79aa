"""The values a user may read and change while a connection or listener exists: `settings/`, ctl verbs, path options.

A change that can have no effect any more is refused: EISCONN for `ecn` once the SYN has been sent, ENOTCONN else.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.conversation import Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_number, parse_seconds
from schemes.tcp import timeouts, user_timeout
from schemes.tcp.congestion import CONTROLS, CongestionControl
from schemes.tcp.control_block import USER_TIMEOUT
from schemes.tcp.states import CLOSED, CLOSING, FIN_WAIT_2, LAST_ACK, SYN_SENT, TIME_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemes.tcp.control_block import ControlBlock

MAX_BACKLOG: Final = 4096
KEEPALIVE_TIME: Final = 7200.0  # seconds, for the word `keepalive` without a value (RFC 9293 MUST-28)

HELP: Final = {
    "nodelay": "1: send short segments at once; 0: Nagle's algorithm",
    "ecn": "1: ask for explicit congestion notification when connecting (RFC 3168); a peer that asks is answered",
    "hop_limit": "TTL of outgoing datagrams, 1 to 255",
    "dscp": "Diffserv field of outgoing datagrams, 0 to 63",
    "keepalive": "seconds of silence until the peer is probed; 0: never",
    "keepalive_interval": "seconds between probes",
    "keepalive_count": "probes without an answer until the connection fails",
    "user_timeout": "seconds that sent octets may stay unacknowledged until the connection fails",
    "advertise_timeout": "seconds to send as user timeout option (RFC 5482), and to adapt to the peer's; 0: neither",
    "linger": "seconds to send what is left after close; 0: reset; -1: as long as it takes",
    "congestion": "congestion control: " + ", ".join(CONTROLS),
    "mss": "octets of payload in a segment",
    "urgent": "1: all that is written so far is urgent; reads as 1 until it is acknowledged",
    "backlog": "connections that may wait for accept",
}


def _flag(text: str) -> bool:
    """Return a switch; the bare word of a path option means on."""
    if text in ("", "1", "on", "true", "yes"):
        return True
    if text in ("0", "off", "false", "no"):
        return False
    message = f"{text!r} is neither 1 nor 0"
    raise ValueError(message)


def _seconds_or_minus_one(text: str) -> float:
    return -1.0 if text == "-1" else parse_seconds(text)


def _positive_seconds(text: str) -> float:
    value = parse_seconds(text)
    if not value:
        message = "0 seconds is too short"
        raise ValueError(message)
    return value


def backlog(text: str) -> int:
    """Parse a backlog."""
    return parse_number(text, 1, MAX_BACKLOG)


def _congestion(text: str) -> type[CongestionControl]:
    kind = CONTROLS.get(text)
    if kind is None:
        message = f"there is no congestion control {text!r}; there are: {', '.join(CONTROLS)}"
        raise ValueError(message)
    return kind


CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    "nodelay": _flag,
    "ecn": _flag,
    "hop_limit": lambda text: parse_number(text, 1, 255),
    "dscp": lambda text: parse_number(text, 0, 63),
    "keepalive": lambda text: parse_seconds(text) if text else KEEPALIVE_TIME,
    "keepalive_interval": _positive_seconds,
    "keepalive_count": lambda text: parse_number(text, 1, 127),
    "user_timeout": _positive_seconds,
    "linger": _seconds_or_minus_one,
    "advertise_timeout": lambda text: parse_seconds(text) if text else USER_TIMEOUT,
    "congestion": _congestion,
    "urgent": _flag,
}
"""What turns a setting's text into its value; raises ValueError with a sentence."""


class _Span(NamedTuple):
    """How long a setting has an effect, once the SYN has been sent or has come."""

    holds: Callable[[ControlBlock], bool]
    words: str


def _may_ask_again(tcb: ControlBlock) -> bool:
    """Return whether a SYN may still ask for ECN: the one to the next address."""
    return tcb.state == SYN_SENT and bool(tcb.alternatives)


def _is_alive(tcb: ControlBlock) -> bool:
    return tcb.state not in (CLOSED, TIME_WAIT)


def _may_be_probed(tcb: ControlBlock) -> bool:
    return _is_alive(tcb) and tcb.state not in (CLOSING, LAST_ACK)


def _may_await_ack(tcb: ControlBlock) -> bool:
    return _is_alive(tcb) and tcb.state != FIN_WAIT_2


def _may_send_text(tcb: ControlBlock) -> bool:
    return _may_await_ack(tcb) and (not tcb.fin_queued or len(tcb.send_buffer) > 0)


def _may_send_new_text(tcb: ControlBlock) -> bool:
    return _may_await_ack(tcb) and not tcb.fin_sent


_BEFORE_SYN: Final = _Span(_may_ask_again, "in the path that connects")
_ALIVE: Final = _Span(_is_alive, "until the connection ends")
_PROBED: Final = _Span(_may_be_probed, "until both sides have closed")
_AWAITS_ACK: Final = _Span(_may_await_ack, "until all that was sent is acknowledged")
_SENDS_TEXT: Final = _Span(_may_send_text, "until all that was written is acknowledged")
_SENDS_NEW_TEXT: Final = _Span(_may_send_new_text, "until the FIN is sent")

_SPANS: Final[Mapping[str, _Span]] = {
    "nodelay": _SENDS_NEW_TEXT,
    "ecn": _BEFORE_SYN,
    "hop_limit": _ALIVE,
    "dscp": _ALIVE,
    "keepalive": _PROBED,
    "keepalive_interval": _PROBED,
    "keepalive_count": _PROBED,
    "user_timeout": _AWAITS_ACK,
    "advertise_timeout": _ALIVE,
    "linger": _ALIVE,
    "congestion": _AWAITS_ACK,
    "urgent": _SENDS_TEXT,
}


def of_connection(tcb: ControlBlock) -> Mapping[str, Setting]:
    """Return the settings of a connection; `mss` can only be read."""
    found = {name: _setting(tcb, name) for name in CHECKS}
    found["mss"] = Setting(lambda: str(tcb.mss), None, HELP["mss"])
    return found


def _setting(tcb: ControlBlock, name: str) -> Setting:
    def change(text: str) -> None:
        CHECKS[name](text)  # a bad value is that in every state
        _check_effect(tcb, name)
        _put(tcb, name, text)

    return Setting(lambda: _get(tcb, name), change, HELP[name])


def _check_effect(tcb: ControlBlock, name: str) -> None:
    span = _SPANS[name]
    if tcb.opened_at >= 0 and not span.holds(tcb):
        number = errno.EISCONN if name == "ecn" and _is_alive(tcb) else errno.ENOTCONN
        raise SchemeError(number, f"{name} has no effect in state {tcb.state}; it can be set {span.words}")


def _get(tcb: ControlBlock, name: str) -> str:
    if name == "congestion":
        return tcb.congestion.name
    if name == "hop_limit":
        return str(tcb.hop_limit or tcb.path.hop_limit)
    if name == "urgent":
        return str(int(tcb.snd.up > tcb.snd.una))
    current = getattr(tcb, _ATTRIBUTES.get(name, name))
    return f"{current:d}" if isinstance(current, int) else f"{current:g}"


_ATTRIBUTES: Final = {"ecn": "ecn_requested", "advertise_timeout": "advertised_timeout"}


def _put(tcb: ControlBlock, name: str, text: str) -> None:
    if name == "congestion":
        _set_congestion(tcb, _congestion(text))
    elif name == "urgent":
        # RFC 9293 §3.8.5: segments sent from now on carry the pointer.
        tcb.snd.up = tcb.send_buffer.end if _flag(text) else tcb.snd.una
    elif name == "advertise_timeout":
        user_timeout.advertise(tcb, parse_seconds(text) if text else USER_TIMEOUT)
    else:
        setattr(tcb, _ATTRIBUTES.get(name, name), CHECKS[name](text))
        if name == "user_timeout":
            tcb.is_timeout_fixed = True
        elif name == "keepalive":
            timeouts.start_keepalive(tcb)
        elif name == "nodelay":
            tcb.tcp.transmit_soon(tcb)  # what Nagle held back goes now, as on Linux


def _set_congestion(tcb: ControlBlock, kind: type[CongestionControl]) -> None:
    """Change the congestion control; the window goes on as it is."""
    before = tcb.congestion
    control = kind(tcb.mss)
    control.cwnd, control.ssthresh, control.hystart = before.cwnd, before.ssthresh, before.hystart
    tcb.congestion = tcb.recovery.congestion = control
