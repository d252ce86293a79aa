"""Any octets received as ICMP, and any address below icmp/ping/: no exception but SchemeError."""

import random
from contextlib import suppress

import dpkt
from hypothesis import given
from hypothesis import strategies as st

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.addresses import presentation
from schemefs.net.checksum import is_valid
from schemefs.net.offload import CHECKED, NO_OFFLOAD
from schemefs.scheme import Caller, SchemeContext
from schemefs.timers import Timers
from schemes.icmp import IcmpScheme, wire
from schemes.icmp.error_meaning import ERROR_CODES
from schemes.ip.network import Network

US = bytes((127, 0, 0, 1))


def stack():
    timers, randomness = Timers(), random.Random(1)
    network = Network(timers, randomness)
    context = SchemeContext(timers, randomness, Config(), Names(), LogRings(lambda: 0.0), services={"ip": network})
    return IcmpScheme(context)


@given(st.binary(max_size=80), st.booleans())
def test_any_octets_are_taken(message, trusted):
    scheme = stack()
    offload = CHECKED if trusted else NO_OFFLOAD
    datagram = memoryview(bytes(20) + message)
    assert scheme.engine.receive_datagram(US, US, datagram, 20, 0, 64, offload, 1.0) is True
    scheme.engine.statistics()


@given(
    st.sampled_from((3, 4, 5, 11, 12)),
    st.integers(0, 20),
    st.integers(0, 65535),
    st.binary(max_size=64),
    st.booleans(),
    st.integers(0, 100),
)
def test_any_error_message_is_taken(icmp_type, code, low_word, quote, plausible, total_length):
    scheme = stack()
    errors = scheme.open("errors", 0, Caller(0), 0.0)
    if plausible:
        quote = b"\x45" + quote[1:2].ljust(1) + bytes((0, total_length)) + quote[4:12].ljust(8) + US + quote[16:]
    message = wire.error_header(icmp_type, code, low_word, quote) + quote
    assert is_valid(message)
    scheme.engine.receive_datagram(US, US, memoryview(bytes(20) + message), 20, 0, 64, NO_OFFLOAD, 1.0)
    errors.read(65536, 1.0)


@given(st.binary(max_size=80), st.sampled_from(tuple(ERROR_CODES)))
def test_an_error_about_any_octets_is_sent_or_withheld(datagram, reason):
    stack().engine.report_error(reason, memoryview(datagram), 1.0)


@given(st.binary(max_size=2000), st.integers(0, 65535), st.integers(0, 65535))
def test_echo_headers_are_what_dpkt_reads(payload, identifier, sequence):
    octets = wire.echo_header(wire.ECHO_REQUEST, identifier, sequence, payload) + payload
    echo = dpkt.icmp.ICMP(octets)
    assert (echo.data.id, echo.data.seq, bytes(echo.data.data)) == (identifier, sequence, payload)
    assert is_valid(octets)


@given(
    st.integers(5, 15),
    st.integers(0, 255),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=4, max_size=4),
    st.binary(max_size=60),
)
def test_quoted_headers_are_what_dpkt_reads(words, protocol, source, destination, rest):
    options = bytes(words * 4 - 20)
    ip = dpkt.ip.IP(p=protocol, src=source, dst=destination, opts=options, data=rest)
    ip.len = words * 4 + len(rest)
    ip.hl = words
    octets = bytes(ip)
    quoted = wire.parse_quoted(memoryview(octets))
    assert quoted is not None
    assert (quoted.protocol, quoted.source, quoted.destination) == (protocol, source, destination)
    assert octets[quoted.header_length : quoted.total_length] == rest


ADDRESSES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[0-9.]{1,16}(,(count|interval|size|ttl|timeout|hops|tries)=[0-9.e+-]{0,8}){0,3}", fullmatch=True),
    st.binary(min_size=4, max_size=4).map(presentation),
)


@given(st.sampled_from(("ping", "trace", "echo", "udp")), ADDRESSES)
def test_any_path_is_an_answer_or_a_scheme_error(directory, text):
    with suppress(SchemeError):
        stack().root.children[directory].lookup(text, Caller(0)).open(0, Caller(0), 1.0)
