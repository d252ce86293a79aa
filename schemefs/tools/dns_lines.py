"""What tcpdump(8) prints of a message of DNS."""

from __future__ import annotations

from typing import Any, Final

from dpkt import UnpackError, dns

from schemefs.net.addresses import presentation

_TYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS",
}  # fmt: skip
_RESULTS: Final = {1: "FormErr", 2: "ServFail", 3: "NXDomain", 4: "NotImp", 5: "Refused"}


def dns_text(octets: bytes) -> str:
    """Return the words of a message; empty: it can't be read."""
    try:
        message = dns.DNS(octets)
        return _answer(message) if message.qr else _query(message)
    except (UnpackError, IndexError, AttributeError, UnicodeDecodeError, ValueError):
        return ""


def _query(message: Any) -> str:
    counts = [(len(message.an), "a"), (len(message.ns), "n"), (len(message.ar), "au")]
    more = "".join(f" [{count}{name}]" for count, name in counts if count)
    questions = "".join(f" {_type(one.type)}? {one.name}." for one in message.qd)
    return f"{message.id}{'+' if message.rd else ''}{more}{questions}"


def _answer(message: Any) -> str:
    flags = ("*" if message.aa else "") + ("" if message.ra else "-") + ("|" if message.tc else "")
    result = f" {_RESULTS[message.rcode]}{flags}" if message.rcode in _RESULTS else flags
    counts = f" {len(message.an)}/{len(message.ns)}/{len(message.ar)}"
    records = ",".join(f" {_record(one)}" for one in message.an)
    return f"{message.id}{result}{counts}{records}"


def _record(record: Any) -> str:
    name = _type(record.type)
    if record.type in (1, 28):
        return f"{name} {presentation(record.rdata)}"
    if record.type in (2, 5, 12):
        value = {2: "nsname", 5: "cname", 12: "ptrname"}[record.type]
        return f"{name} {getattr(record, value)}."
    return name


def _type(number: int) -> str:
    return _TYPES.get(number, f"Type{number}")
