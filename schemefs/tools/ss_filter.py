"""The filter expressions of ss(8), over the fields of a conversation's `status.json`.

    state established dport = :443          conditions one after another must all hold; `and` may stand between them
    src 10.0.2.0/24 or ( dst [fd00::9]:22 )
    not sport >= 1024

A malformed expression is a ValueError with a sentence.
"""

from __future__ import annotations

import operator
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, Final

from schemefs.net.addresses import parse_number

Status = dict[str, Any]
Filter = Callable[[Status], bool]

_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "=": operator.eq, "==": operator.eq, "eq": operator.eq, "!=": operator.ne, "ne": operator.ne, "neq": operator.ne,
    "<": operator.lt, "lt": operator.lt, "<=": operator.le, "le": operator.le, "leq": operator.le,
    ">": operator.gt, "gt": operator.gt, ">=": operator.ge, "ge": operator.ge, "geq": operator.ge,
}  # fmt: skip
_ENDS: Final = {"src": "local", "dst": "remote", "sport": "local", "dport": "remote"}
LISTENING: Final = "listening"
UNCONNECTED: Final = "unconnected"
_STATES: Final = (
    "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", UNCONNECTED, "close-wait",
    "last-ack", LISTENING, "closing",
)  # fmt: skip
# Our names, and ss's other ones, for the same states.
_SAME: Final = {
    "listen": LISTENING, "closed": UNCONNECTED, "bound": UNCONNECTED, "connected": "established",
    "syn-received": "syn-recv", "connecting": "syn-sent", "resolving": "syn-sent",
}  # fmt: skip
_BUCKET: Final = ("syn-recv", "time-wait")
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "all": _STATES,
    "connected": tuple(state for state in _STATES if state not in (LISTENING, UNCONNECTED)),
    "synchronized": tuple(state for state in _STATES if state not in (LISTENING, UNCONNECTED, "syn-sent")),
    "bucket": _BUCKET,
    "big": tuple(state for state in _STATES if state not in _BUCKET),
}
SHOWN_BY_DEFAULT: Final = tuple(
    state for state in _STATES if state not in (LISTENING, UNCONNECTED, "time-wait", "syn-recv")
)


def state_of(status: Status) -> str:
    """Return the state of a conversation by the name that ss(8) has for it."""
    name = str(status.get("state", "")).lower().replace("_", "-")
    name = _SAME.get(name, name)
    if name in _STATES:
        return name
    return "established" if status.get("remote") else UNCONNECTED  # of a protocol with states of its own


def names_a_state(words: Sequence[str]) -> bool:
    """Return whether the filter says which states it is about."""
    return "state" in words or "exclude" in words


_CONDITIONS: Final = ("state", "exclude", "src", "dst", "sport", "dport", "not", "(")
_JOINING: Final = ("and", "or", ")")


def words_after(words: Sequence[str]) -> tuple[str, ...]:
    """Return which words may follow *words*, for completion; of addresses and ports there are none."""
    last = words[-1] if words else ""
    if last in ("state", "exclude"):
        return (*_STATES, *_SAME, *_GROUPS)
    if last in ("sport", "dport"):
        return ("=", "eq", "ne", "lt", "le", "gt", "ge")
    if last in ("src", "dst") or last in _COMPARISONS:
        return ()
    is_complete = words and last not in ("and", "&", "&&", "or", "|", "||", "not", "!", "(")
    return (*_JOINING, *_CONDITIONS) if is_complete else _CONDITIONS


def parse_filter(words: Sequence[str]) -> Filter:
    """Return the condition that *words* state; no word: every conversation."""
    reader = _Reader(" ".join(words).replace("(", " ( ").replace(")", " ) ").split())
    if not reader.left:
        return lambda _status: True
    found = _any_of(reader)
    if reader.left:
        message = f"{reader.left[0]!r} in the filter has no condition before it"
        raise ValueError(message)
    return found


class _Reader:
    """The words that are not read yet."""

    def __init__(self, words: list[str]) -> None:
        self.left = words

    def next(self, what: str) -> str:
        if not self.left:
            message = f"the filter ends where {what} is expected"
            raise ValueError(message)
        return self.left.pop(0)

    def take(self, *words: str) -> bool:
        """Read one of *words* if it is the next."""
        if self.left and self.left[0] in words:
            self.left.pop(0)
            return True
        return False


def _any_of(reader: _Reader) -> Filter:
    conditions = [_all_of(reader)]
    while reader.take("or", "|", "||"):
        conditions.append(_all_of(reader))
    return lambda status: any(condition(status) for condition in conditions)


def _all_of(reader: _Reader) -> Filter:
    conditions = [_condition(reader)]
    while reader.take("and", "&", "&&") or (reader.left and reader.left[0] not in ("or", "|", "||", ")")):
        conditions.append(_condition(reader))
    return lambda status: all(condition(status) for condition in conditions)


def _condition(reader: _Reader) -> Filter:
    word = reader.next("a condition")
    if word in ("not", "!"):
        inner = _condition(reader)
        return lambda status: not inner(status)
    if word == "(":
        inner = _any_of(reader)
        if not reader.take(")"):
            message = "a '(' of the filter has no ')'"
            raise ValueError(message)
        return inner
    if word in ("state", "exclude"):
        has_state = _state(reader.next("a state"))
        return has_state if word == "state" else lambda status: not has_state(status)
    if word in ("sport", "dport"):
        return _port(_ENDS[word], reader)
    if word in ("src", "dst"):
        reader.take("=", "==", "eq")
        return _address(_ENDS[word], reader.next("an address"))
    message = f"{word!r} is no condition of a filter: state, exclude, src, dst, sport, dport, not or '('"
    raise ValueError(message)


def _state(text: str) -> Filter:
    name = text.lower().replace("_", "-")
    wanted = _GROUPS.get(name) or (_SAME.get(name, name),)
    if not set(wanted) <= set(_STATES):
        message = f"{text!r} is not a state: {', '.join((*_STATES, *_GROUPS))}"
        raise ValueError(message)
    return lambda status: state_of(status) in wanted


def _port(end: str, reader: _Reader) -> Filter:
    word = reader.next("a port")
    compare = _COMPARISONS.get(word)
    if compare is None:
        compare = operator.eq
    else:
        word = reader.next("a port")
    wanted = _number(word.removeprefix(":"))

    def holds(status: Status) -> bool:
        port = str(status.get(end, "")).rpartition(":")[2]
        return port.isdecimal() and compare(int(port), wanted)

    return holds


def _number(text: str) -> int:
    """Return the port *text*: a number, or the name of a service."""
    if text.isdecimal():
        return parse_number(text, 0, 65535)
    try:
        return socket.getservbyname(text)
    except OSError:
        message = f"{text!r} is neither a port nor a service of /etc/services"
        raise ValueError(message) from None


def _address(end: str, text: str) -> Filter:
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    has_port = _port(end, _Reader([port])) if colon else None
    try:
        network = ip_network(host.strip("[]"), strict=False) if host not in ("", "*") else None
    except ValueError:
        message = f"{host!r} is not an address or a network"
        raise ValueError(message) from None

    def holds(status: Status) -> bool:
        own = str(status.get(end, "")).rpartition(":")[0].strip("[]").partition("%")[0]
        if network is not None and (own in ("", "*") or ip_address(own) not in network):
            return False
        return has_port is None or has_port(status)

    return holds
