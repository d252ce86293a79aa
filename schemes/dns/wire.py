"""DNS messages (RFC 1035 §4, RFC 6891): built and parsed by dnspython, which nothing else of this scheme imports.

Names are kept in one notation: lower case, no dot at the end, special characters escaped (RFC 1035 §5.1); "" is the
root. What a server sent never raises: `parse` says what is wrong with it by the word under which it is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.reversename

from schemefs.net.addresses import presentation

# RFC 9715 §3: small enough that the answer is not fragmented on the way.
EDNS_PAYLOAD: Final = 1232
_QUERY_HEADER: Final = 12


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a name in the notation above, and a type in capital letters."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record, its data as text: an address, a name, `10 mail.example.com`."""

    owner: str
    type: str
    ttl: int
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    rcode: str  # NOERROR, NXDOMAIN, SERVFAIL…
    records: tuple[Record, ...] = ()  # of the answer section, in order
    negative_ttl: int = 0  # seconds that "there is none" holds (RFC 2308 §5); 0: not said
    truncated: bool = False  # then the records are left out


def canonical(name: str) -> str:
    """Return *name* in our notation. ValueError, with a sentence: too long, an empty label, not to be encoded."""
    try:
        return _text(dns.name.from_text(name))
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        message = f"{name!r} is no domain name: {str(error) or type(error).__name__}"
        raise ValueError(message) from None


def reverse_name(address: bytes) -> str:
    """Return the name under which PTR records of an address are: 2.2.0.10.in-addr.arpa (RFC 1035 §3.5)."""
    return _text(dns.reversename.from_address(presentation(address)))


def query(question: Question, identifier: int, *, edns: bool) -> bytes:
    """Return a query that asks for recursion."""
    message = dns.message.make_query(
        dns.name.from_text(question.name),
        question.type,
        id=identifier,
        use_edns=0 if edns else None,
        payload=EDNS_PAYLOAD if edns else None,
    )
    return message.to_wire()


def parse(octets: bytes, question: Question, identifier: int) -> Reply | str:
    """Return what *octets* answer to *question*; a word when they are no answer to it: what to count them as."""
    if len(octets) < _QUERY_HEADER:
        return "short"
    if int.from_bytes(octets[:2], "big") != identifier:
        return "wrong_id"
    flags = int.from_bytes(octets[2:4], "big")
    if not flags & dns.flags.QR:
        return "not_a_response"
    truncated = bool(flags & dns.flags.TC)
    try:
        message = dns.message.from_wire(octets, question_only=truncated, ignore_trailing=truncated)
        return _judge(message, question, truncated=truncated)
    except Exception:  # noqa: BLE001 - the parser's own errors are not all of one family, and none may get out
        return "malformed"


def _judge(message: dns.message.Message, question: Question, *, truncated: bool) -> Reply | str:
    rcode = dns.rcode.to_text(message.rcode())
    asked = [(_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.rdclass) for rrset in message.question]
    # RFC 5452 §9.1. A server that can't read the question (FORMERR) may not repeat it.
    if asked != [(question.name, question.type, dns.rdataclass.IN)] and not (rcode == "FORMERR" and not asked):
        return "wrong_question"
    if truncated:
        return Reply(rcode, truncated=True)
    records = tuple(
        Record(_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, _data(rdata))
        for rrset in message.answer
        if rrset.rdclass == dns.rdataclass.IN
        for rdata in rrset
    )
    return Reply(rcode, records, _negative_ttl(message))


def _negative_ttl(message: dns.message.Message) -> int:
    """Return the smaller of the SOA record's own TTL and its MINIMUM field (RFC 2308 §5)."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(rrset.ttl, *(int(rdata.minimum) for rdata in rrset))
    return 0


def _data(rdata: dns.rdata.Rdata) -> str:
    """Return a record's data as a line: names without the dot at the end, TXT as the octets that were put in."""
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        text = b"".join(rdata.strings).decode(errors="backslashreplace")
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return " ".join(_without_final_dot(word) for word in rdata.to_text().split(" "))


def _without_final_dot(word: str) -> str:
    return word[:-1] if len(word) > 1 and word.endswith(".") and not word.endswith("\\.") else word


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True) if name != dns.name.root else ""
