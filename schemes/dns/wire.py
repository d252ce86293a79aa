"""DNS messages (RFC 1035 §4, RFC 6891), built and parsed by dnspython. Only this module of the scheme imports it.

Names have one notation: lower case, no dot at the end, special characters escaped (RFC 1035 §5.1); "" is the root.
Octets from the network never raise an exception: `parse` returns the reason under which a bad message is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.deferred_module import DeferredModule
from schemefs.errors import printable
from schemefs.net.addresses import packed, presentation
from schemefs.net.internationalized import ascii_name
from schemefs.net.zones import without_zone

if TYPE_CHECKING:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.opcode
    import dns.rcode
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.SOA
    import dns.rdtypes.ANY.TXT
    import dns.reversename
else:  # a third of the time that a mount takes to start, for one that asks no name
    dns = DeferredModule(
        globals(), "dns", "dns", "dns.exception", "dns.flags", "dns.message", "dns.name", "dns.opcode", "dns.rcode",
        "dns.rdata", "dns.rdataclass", "dns.rdatatype", "dns.rdtypes.ANY.SOA", "dns.rdtypes.ANY.TXT", "dns.reversename",
    )  # fmt: skip

# RFC 9715 §3: small enough that the answer is not fragmented on the way.
EDNS_PAYLOAD: Final = 1232
_QUERY_HEADER: Final = 12
_PLAIN_LIMIT: Final = 512  # octets of a datagram without EDNS (RFC 1035 §4.2.1)


@dataclass(frozen=True, slots=True)
class Question:
    """A name in the notation above, and a type in capital letters."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A resource record; *text* is its data: an address, a name, `10 mail.example.com`."""

    owner: str
    type: str
    ttl: int
    text: str


@dataclass(frozen=True, slots=True)
class Response:
    """A server's response to a question."""

    rcode: str  # NOERROR, NXDOMAIN, SERVFAIL…
    records: tuple[ResourceRecord, ...] = ()  # the answer section, in its order
    negative_ttl: int = 0  # seconds for which a negative answer is valid (RFC 2308 §5); 0: no SOA record
    truncated: bool = False  # True: records is empty
    is_referral: bool = False  # no answer, only the names of other servers: the server does not resolve for this host


def canonical(name: str) -> str:
    """Return *name* in this module's notation. ValueError, with a sentence: too long, an empty label, no encoding."""
    encoded = ascii_name(name)
    try:
        return _text(dns.name.from_text(encoded))
    except (dns.exception.DNSException, UnicodeError, ValueError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        message = f"{name!r} is not a domain name: {reason[0].lower()}{reason[1:]}"
        raise ValueError(message) from None


def record_type(text: str) -> str:
    """Return the type that *text* means, in capitals: a name of IANA's list, `type65` or `65`.

    ValueError: there is none, or it is a type of queries and not of records (RFC 6895 §3.1).
    """
    try:
        number = dns.rdatatype.from_text(f"TYPE{text}" if text.isdecimal() else text)
    except (dns.exception.DNSException, ValueError):
        number = dns.rdatatype.NONE
    if number in (dns.rdatatype.NONE, dns.rdatatype.OPT) or dns.rdatatype.is_metatype(number):
        message = f"there is no type {text!r}"
        raise ValueError(message)
    return dns.rdatatype.to_text(number)


def address_of(reverse: str) -> bytes | None:
    """Return the packed address whose PTR records *reverse* owns; None: it is no such name."""
    try:
        return packed(dns.reversename.to_address(dns.name.from_text(reverse)))
    except (dns.exception.DNSException, ValueError):
        return None


def reverse_name(address: bytes) -> str:
    """Return the owner name of an address's PTR records: 2.2.0.10.in-addr.arpa (RFC 1035 §3.5)."""
    return _text(dns.reversename.from_address(presentation(without_zone(address))))


def query(question: Question, identifier: int, *, edns: bool) -> bytes:
    """Return a query with the RD bit set (recursion desired)."""
    message = dns.message.make_query(
        dns.name.from_text(question.name),
        question.type,
        id=identifier,
        use_edns=0 if edns else None,
        payload=EDNS_PAYLOAD if edns else None,
    )
    return message.to_wire()


def parse(octets: bytes, question: Question, identifier: int) -> Response | str:
    """Return the response to *question* in *octets*, or the drop counter's name if they are no such response."""
    if len(octets) < _QUERY_HEADER:
        return "short"
    if int.from_bytes(octets[:2], "big") != identifier:
        return "wrong_id"
    flags = int.from_bytes(octets[2:4], "big")
    if not flags & dns.flags.QR:
        return "not_a_response"
    truncated = bool(flags & dns.flags.TC)
    try:
        message = dns.message.from_wire(octets, question_only=truncated, ignore_trailing=True)
        return _checked(message, question, truncated=truncated)
    except Exception:  # noqa: BLE001 - dnspython's parse errors have no common base class
        return "malformed"


def _checked(message: dns.message.Message, question: Question, *, truncated: bool) -> Response | str:
    rcode = dns.rcode.to_text(message.rcode())
    asked = [(_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.rdclass) for rrset in message.question]
    # RFC 5452 §9.1. A FORMERR response may leave the question out.
    if asked != [(question.name, question.type, dns.rdataclass.IN)] and not (rcode == "FORMERR" and not asked):
        return "wrong_question"
    if truncated:
        return Response(rcode, truncated=True)
    records = tuple(
        ResourceRecord(_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, _data(rdata))
        for rrset in message.answer
        if rrset.rdclass == dns.rdataclass.IN
        for rdata in rrset
    )
    return Response(rcode, records, _negative_ttl(message), is_referral=rcode == "NOERROR" and _is_referral(message))


def _is_referral(message: dns.message.Message) -> bool:
    """Return whether this is RFC 2308 §2.2's referral: no answer, and NS records without an SOA record."""
    types = {rrset.rdtype for rrset in message.authority}
    is_authoritative = message.flags & dns.flags.AA
    return not (message.answer or is_authoritative) and dns.rdatatype.NS in types and dns.rdatatype.SOA not in types


def _negative_ttl(message: dns.message.Message) -> int:
    """Return the smaller of the SOA record's own TTL and its MINIMUM field (RFC 2308 §5)."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(rrset.ttl, *(int(rdata.minimum) for rdata in rrset))
    return 0


def _data(rdata: dns.rdata.Rdata) -> str:
    """Return a record's data as one line: names without final dot, TXT strings joined, control characters escaped."""
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return printable(b"".join(rdata.strings).decode(errors="backslashreplace"))
    return printable(" ".join(_without_final_dot(word) for word in rdata.to_text().split(" ")))


def _without_final_dot(word: str) -> str:
    return word[:-1] if len(word) > 1 and word.endswith(".") and not word.endswith("\\.") else word


def _text(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True) if name != dns.name.root else ""


# The other side: queries that arrive at the responder, and its replies


@dataclass(frozen=True, slots=True)
class Query:
    """A query that has arrived. *refused*: the rcode of its reply, where it can't be answered; else empty."""

    message: dns.message.Message
    question: Question
    refused: str
    largest: int  # octets of a reply in a datagram (RFC 6891 §6.2.3)


def parse_query(octets: bytes) -> Query | None:
    """Return the query in *octets*; None: it is a response, or no message at all."""
    if len(octets) < _QUERY_HEADER or octets[2] & 0x80:
        return None
    try:
        message = dns.message.from_wire(octets)
        rrset = message.question[0]
        question = Question(_text(rrset.name), dns.rdatatype.to_text(rrset.rdtype))
    except Exception:  # noqa: BLE001 - dnspython's parse errors have no common base class
        return None
    refused = ""
    if len(message.question) != 1:
        refused = "FORMERR"
    elif message.opcode() != dns.opcode.QUERY or rrset.rdclass != dns.rdataclass.IN or _is_meta(rrset.rdtype):
        refused = "NOTIMP"
    return Query(message, question, refused, max(message.payload if message.edns >= 0 else 0, _PLAIN_LIMIT))


def _is_meta(type_: int) -> bool:
    """Whether no record has the type: ANY, AXFR, OPT… (RFC 6895 §3.1)."""
    return type_ == dns.rdatatype.OPT or 128 <= type_ <= 255


def reply(query: Query, limit: int, rcode: str = "NOERROR", texts: tuple[str, ...] = (), ttl: int = 0) -> bytes:
    """Return the reply with a record for each of *texts*. If it is longer than *limit*, it is truncated (TC).

    ValueError: a text is no data of the question's type.
    """
    message = dns.message.make_response(query.message, recursion_available=True, our_payload=EDNS_PAYLOAD)
    message.set_rcode(dns.rcode.from_text(rcode))
    if texts:
        type_ = dns.rdatatype.from_text(query.question.type)
        rrset = message.find_rrset(
            message.answer, query.message.question[0].name, dns.rdataclass.IN, type_, create=True
        )
        for text in texts:
            rrset.add(_rdata(type_, text), ttl)
    try:
        return message.to_wire(max_size=limit)
    except dns.exception.TooBig:
        message.answer.clear()
        message.flags |= dns.flags.TC
        return message.to_wire()


def _rdata(type_: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    if type_ == dns.rdatatype.TXT:
        octets = text.encode()
        strings = [octets[place : place + 255] for place in range(0, len(octets), 255)] or [b""]
        return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, type_, strings)
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, type_, text, origin=dns.name.root, relativize=False)
    except dns.exception.DNSException as error:
        raise ValueError(str(error)) from None
