"""Any octets from a name server: no exception, the open ends with an answer or an errno, and leaves nothing."""

from __future__ import annotations

import os

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemes.dns import wire
from schemes.dns.wire import Question, Response
from tests.support.dns_host import DnsHost, Query, Server, reply
from tests.support.examples import examples

QUESTION = Question("example.com", "A")
GOOD = reply(
    dns.message.from_wire(wire.query(QUESTION, 7, edns=True)),
    "example.com 60 IN CNAME www.example.com.",
    "www.example.com 60 IN A 10.0.2.80",
    authority="example.com 300 IN SOA ns.example.com. root.example.com. 1 2 3 4 90",
).to_wire()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid response with some octets changed, cut off or appended."""
    octets = bytearray(GOOD)
    for place, value in draw(st.lists(st.tuples(st.integers(2, len(octets) - 1), st.integers(0, 255)), max_size=8)):
        octets[place] = value
    return bytes(octets[: draw(st.integers(0, len(octets)))] + draw(st.binary(max_size=8)))


@given(octets=st.one_of(st.binary(max_size=200), damaged()))
def test_any_octets_are_a_response_or_a_drop_reason(octets: bytes) -> None:
    parsed = wire.parse(octets, QUESTION, 7)
    assert isinstance(parsed, Response) or parsed in DnsHost().dns.resolver.services.counters.dropped


@given(octets=st.binary(max_size=100))
def test_any_answer_section_is_parsed_or_malformed(octets: bytes) -> None:
    message = b"\0\7\x81\x80\0\1\0\1\0\0\0\0\7example\3com\0\0\1\0\1" + octets
    assert isinstance(wire.parse(message, QUESTION, 7), (Response, str))


@settings(max_examples=examples(60), deadline=None)
@given(answers=st.lists(st.one_of(st.binary(max_size=100), damaged()), min_size=1, max_size=4))
def test_any_server_ends_in_an_answer_or_an_errno(answers: list[bytes]) -> None:
    def answer(server: Server, query: Query) -> None:
        for octets in answers:
            server.sends(query.id.to_bytes(2, "big") + octets[2:] if octets[2:] else octets)

    host = DnsHost(answer)
    handle = host.open("dns/example.com", os.O_RDONLY)
    try:
        host.opened(handle)
    except SchemeError as error:
        assert error.sentence
    else:
        assert handle.read(65536, host.now) is not None
    handle.close(host.now)
    host.passes(300.0)
    assert host.timers.failed == 0
    assert host.timers.pending == 0
    assert not list(host.udp.udp.ports)
    assert not host.tcp.tcp.connections


@given(text=st.text(max_size=80))
def test_any_name_is_a_file_or_a_scheme_error(text: str) -> None:
    host = DnsHost()
    try:
        host.dns.root.lookup(text.replace("/", ""), None)  # type: ignore[arg-type]
    except SchemeError as error:
        assert error.sentence


@given(text=st.text(min_size=1, max_size=40))
def test_a_canonical_name_stays_what_it_is(text: str) -> None:
    try:
        name = wire.canonical(text)
    except ValueError:
        return
    assert wire.canonical(name) == name
    assert isinstance(wire.query(Question(name, "A"), 1, edns=True), bytes)
