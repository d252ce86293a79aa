"""Which frames a capture keeps, in the words of pcap-filter(7) that concern this stack.

    host 10.0.2.2 and tcp port 80          not (arp or icmp)          src net 10.0.2.0/24 and portrange 1-1023

    expression = term { or term }            primitive = [src|dst] host ADDRESS | [src|dst] net ADDRESS/BITS
    term       = factor { and factor }                 | [tcp|udp] [src|dst] port N | … portrange N-M
    factor     = not factor | ( expression )           | tcp | udp | icmp | icmp6 | arp | ip | ip6 | proto NAME
               | primitive

A filter looks at the frame alone: a later fragment has no ports.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from schemefs.net import faults, frame_fields
from schemefs.net.addresses import parse_number
from schemefs.net.frame_fields import FrameFields

Filter = Callable[[FrameFields], bool]

LONGEST: Final = 4096  # octets of a filter
_DEEPEST: Final = 50  # parentheses and nots inside each other
_WORDS: Final = re.compile(r"\s*(\(|\)|!|&&|\|\||[^\s()!&|]+)|\s+$")
_SYNONYMS: Final = {"!": "not", "&&": "and", "||": "or"}
_SIDES: Final = ("src", "dst")


def every_frame(_fields: FrameFields) -> bool:
    """Keep every frame: the filter of an empty text."""
    return True


def parse_filter(text: str) -> Filter:
    """Return the filter. ValueError: a sentence that names the place."""
    if len(text) > LONGEST:
        message = f"a filter of {len(text)} characters is too long; at most {LONGEST} are allowed"
        raise ValueError(message)
    parser = _Parser(text)
    if not parser.words:
        return every_frame
    parsed = parser.expression(0)
    if parser.at < len(parser.words):
        parser.refuse("'and' or 'or'")
    return parsed


class _Parser:
    """One pass over the words, by recursive descent."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.places: list[int] = []
        position = 0
        while match := _WORDS.match(text, position):
            if match[1]:
                self.words.append(_SYNONYMS.get(match[1], match[1]))
                self.places.append(match.start(1) + 1)
            position = match.end()
            if position == len(text):
                break
        rest = text[position:].lstrip()
        if rest:
            message = f"the filter can't be read at character {len(text) - len(rest) + 1}: {rest[:20]!r}"
            raise ValueError(message)
        self.at = 0

    def expression(self, depth: int) -> Filter:
        """Parse terms that are joined by `or`."""
        parsed = self._term(depth)
        while self._takes("or"):
            parsed = _either(parsed, self._term(depth))
        return parsed

    def refuse(self, wanted: str) -> None:
        """Raise ValueError: *wanted* is missing at the present word."""
        if self.at < len(self.words):
            found = f"at character {self.places[self.at]}, {self.words[self.at]!r}"
        else:
            found = "at its end"
        message = f"the filter needs {wanted} {found}"
        raise ValueError(message)

    def _term(self, depth: int) -> Filter:
        parsed = self._factor(depth)
        while self._takes("and"):
            parsed = _both(parsed, self._factor(depth))
        return parsed

    def _factor(self, depth: int) -> Filter:
        if depth > _DEEPEST:
            message = f"a filter with more than {_DEEPEST} parentheses inside each other is too deep"
            raise ValueError(message)
        if self._takes("not"):
            inner = self._factor(depth + 1)
            return lambda fields: not inner(fields)
        if self._takes("("):
            inner = self.expression(depth + 1)
            if not self._takes(")"):
                self.refuse("')'")
            return inner
        return self._primitive()

    def _primitive(self) -> Filter:
        protocol: Filter | None = None
        if self._takes("proto"):
            if self._word() not in _PROTOCOLS:
                self.refuse(f"one of {', '.join(_PROTOCOLS)}")
            return _PROTOCOLS[self._next()]
        if self._word() in _PROTOCOLS:
            name = self._next()
            protocol = _PROTOCOLS[name]
            if name not in ("tcp", "udp") or self._word() not in (*_SIDES, "port", "portrange"):
                return protocol
        side = self._next() if self._word() in _SIDES else ""
        kind = self._word()
        if kind in ("host", "net") and protocol is None:
            self.at += 1
            return _HOSTS[kind](self._value(f"an address after '{kind}'"), side)
        if kind in ("port", "portrange"):
            self.at += 1
            ports = _ports(kind, self._value(f"a number after '{kind}'"), side)
            return ports if protocol is None else _both(protocol, ports)
        self.refuse("host, net, port, portrange, proto, not, '(' or one of " + ", ".join(_PROTOCOLS))
        raise AssertionError

    def _word(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def _next(self) -> str:
        self.at += 1
        return self.words[self.at - 1]

    def _value(self, wanted: str) -> str:
        if self.at >= len(self.words) or self.words[self.at] in ("(", ")", "and", "or", "not"):
            self.refuse(wanted)
        return self._next()

    def _takes(self, word: str) -> bool:
        if self._word() == word:
            self.at += 1
            return True
        return False


def _both(left: Filter, right: Filter) -> Filter:
    return lambda fields: left(fields) and right(fields)


def _either(left: Filter, right: Filter) -> Filter:
    return lambda fields: left(fields) or right(fields)


def _host(text: str, side: str) -> Filter:
    try:
        address = ip_address(text).packed
    except ValueError:
        raise ValueError(faults.bad_address(text)) from None
    if side == "src":
        return lambda fields: fields.source == address
    if side == "dst":
        return lambda fields: fields.destination == address
    return lambda fields: address in (fields.source, fields.destination)


def _net(text: str, side: str) -> Filter:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(faults.bad_cidr(text)) from None
    if side == "src":
        return lambda fields: _is_in(fields.source, network)
    if side == "dst":
        return lambda fields: _is_in(fields.destination, network)
    return lambda fields: _is_in(fields.source, network) or _is_in(fields.destination, network)


_HOSTS: Final = {"host": _host, "net": _net}


def _is_in(address: bytes, network: IPv4Network | IPv6Network) -> bool:
    if len(address) * 8 != network.max_prefixlen:
        return False
    return int.from_bytes(address, "big") & int(network.netmask) == int(network.network_address)


def _ports(kind: str, text: str, side: str) -> Filter:
    first, dash, last = text.partition("-")
    if kind == "portrange" and not dash:
        message = f"{text!r} is not a range of ports, such as 1-1023"
        raise ValueError(message)
    low = parse_number(first if kind == "portrange" else text, 0, 65535)
    high = parse_number(last, 0, 65535) if kind == "portrange" else low
    has_ports = frame_fields.TCP | frame_fields.UDP
    if side == "src":
        return lambda fields: bool(fields.kinds & has_ports) and low <= fields.source_port <= high
    if side == "dst":
        return lambda fields: bool(fields.kinds & has_ports) and low <= fields.destination_port <= high
    return lambda fields: (
        bool(fields.kinds & has_ports) and (low <= fields.source_port <= high or low <= fields.destination_port <= high)
    )


def _of_protocol(kind: int, number: int) -> Filter:
    fragment = f"fragment {number}"
    return lambda fields: bool(fields.kinds & kind) or fields.protocol == fragment


def _of_icmp(length: int) -> Filter:
    kinds = frame_fields.ICMP | frame_fields.ND
    return lambda fields: bool(fields.kinds & kinds) and len(fields.source) == length


def _of_version(length: int) -> Filter:
    return lambda fields: len(fields.source) == length and not fields.kinds & frame_fields.ARP


_PROTOCOLS: Final[dict[str, Filter]] = {
    "tcp": _of_protocol(frame_fields.TCP, 6),
    "udp": _of_protocol(frame_fields.UDP, 17),
    "icmp": _of_icmp(4),
    "icmp6": _of_icmp(16),
    "arp": lambda fields: bool(fields.kinds & frame_fields.ARP),
    "ip": _of_version(4),
    "ip6": _of_version(16),
}
