"""The values a user may read and change while a connection or listener lives: `settings/`, ctl verbs, path options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.conversation import Setting
from schemefs.net.addresses import parse_number, parse_seconds
from schemes.tcp import timeouts, user_timeout
from schemes.tcp.congestion import CONTROLS, CongestionControl
from schemes.tcp.control_block import USER_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemes.tcp.control_block import ControlBlock

MAX_BACKLOG = 4096
KEEPALIVE_TIME = 7200.0  # when only the word is said (RFC 9293 MUST-28)

HELP = {
    "nodelay": "1: send short segments at once; 0: Nagle's algorithm",
    "ecn": "1: ask for explicit congestion notification when connecting (RFC 3168); who asks us is answered always",
    "hop_limit": "TTL of outgoing datagrams, 1 to 255",
    "dscp": "Diffserv field of outgoing datagrams, 0 to 63",
    "keepalive": "seconds of silence until the peer is probed; 0: never",
    "keepalive_interval": "seconds between probes",
    "keepalive_count": "probes without an answer until the connection fails",
    "user_timeout": "seconds that sent octets may stay unacknowledged until the connection fails",
    "advertise_timeout": "seconds to tell the peer by RFC 5482, and to hear what it says; 0: neither",
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
        message = f"no congestion control is called {text!r}; there is: {', '.join(CONTROLS)}"
        raise ValueError(message)
    return kind


CHECKS: Mapping[str, Callable[[str], object]] = {
    "nodelay": _flag,
    "ecn": _flag,
    "hop_limit": lambda text: parse_number(text, 1, 255),
    "dscp": lambda text: parse_number(text, 0, 63),
    "keepalive": lambda text: parse_seconds(text) if text else KEEPALIVE_TIME,
    "keepalive_interval": _positive_seconds,
    "keepalive_count": lambda text: parse_number(text, 1, 127),
    "user_timeout": _positive_seconds,
    "advertise_timeout": lambda text: parse_seconds(text) if text else USER_TIMEOUT,
    "linger": _seconds_or_minus_one,
    "congestion": _congestion,
}
"""What turns a setting's text into its value; raises ValueError with a sentence."""


def of_connection(tcb: ControlBlock) -> Mapping[str, Setting]:
    """Return the settings of a connection."""
    found = {name: _value(tcb, name) for name in CHECKS if name not in ("congestion", "advertise_timeout")}
    found["advertise_timeout"] = Setting(
        lambda: f"{tcb.advertised_timeout:g}",
        lambda text: user_timeout.advertise(tcb, float(str(CHECKS["advertise_timeout"](text)))),
        HELP["advertise_timeout"],
    )
    found["congestion"] = Setting(
        lambda: tcb.congestion.name, lambda text: _set_congestion(tcb, text), HELP["congestion"]
    )
    found["urgent"] = Setting(
        lambda: str(int(tcb.snd.up > tcb.snd.una)),
        lambda text: _set_urgent(tcb, text),
        HELP["urgent"],
    )
    found["mss"] = Setting(lambda: str(tcb.mss), None, HELP["mss"])
    return found


def _value(tcb: ControlBlock, name: str) -> Setting:
    """Return a setting that is an attribute of the connection."""
    attribute = "ecn_requested" if name == "ecn" else name

    def get() -> str:
        current = getattr(tcb, attribute)
        return f"{current:d}" if isinstance(current, int) else f"{current:g}"

    def put(text: str) -> None:
        setattr(tcb, attribute, CHECKS[name](text))
        if name == "user_timeout":
            tcb.is_timeout_fixed = True
        elif name == "keepalive":
            timeouts.start_keepalive(tcb)
        elif name == "nodelay":
            tcb.tcp.transmit_soon(tcb)  # what Nagle held back goes now, as on Linux

    return Setting(get, put, HELP[name])


def _set_congestion(tcb: ControlBlock, text: str) -> None:
    """Change the congestion control; the window goes on as it is."""
    before = tcb.congestion
    control = _congestion(text)(tcb.mss)
    control.cwnd, control.ssthresh = before.cwnd, before.ssthresh
    tcb.congestion = tcb.recovery.congestion = control


def _set_urgent(tcb: ControlBlock, text: str) -> None:
    """Mark what is queued (RFC 9293 §3.8.5): segments sent from now on say so."""
    tcb.snd.up = tcb.send_buffer.end if _flag(text) else tcb.snd.una
