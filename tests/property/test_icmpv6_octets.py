"""Any octets received as ICMPv6: nothing raises, and what is built is what dpkt reads."""

from __future__ import annotations

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.network_layer import ICMPV6
from schemefs.net.offload import CHECKED, NO_OFFLOAD
from schemefs.scheme import Caller
from schemes.icmp import IcmpScheme, wire6
from schemes.icmp.error_meaning6 import ERROR_CODES
from schemes.ip.v6 import wire
from tests.property.test_icmp_octets import stack
from tests.support.ipv6_host import icmpv6

US = bytes(15) + b"\1"
PEER = b"\xfd" + bytes(14) + b"\2"
ADDRESSES = st.binary(min_size=16, max_size=16)
EXTENSIONS = st.lists(st.sampled_from([0, 43, 60, 44]), max_size=3)


def receive(scheme: IcmpScheme, message: bytes, offload=NO_OFFLOAD) -> bool:
    datagram = memoryview(bytes(40) + message)
    return scheme.engine.v6.receive_datagram(US, US, datagram, 40, 0, 64, offload, 1.0)


@given(st.binary(max_size=80), st.booleans())
def test_any_octets_are_taken(message: bytes, trusted: bool) -> None:
    scheme = stack()
    assert receive(scheme, message, CHECKED if trusted else NO_OFFLOAD) is True
    scheme.engine.statistics()


@given(
    st.integers(0, 5),
    st.integers(0, 8),
    st.integers(0, (1 << 32) - 1),
    st.binary(max_size=90),
    st.booleans(),
    st.sampled_from([0, 6, 17, 43, 44, 58, 60]),
)
def test_any_error_message_is_taken(
    icmp_type: int, code: int, word: int, quote: bytes, plausible: bool, number: int
) -> None:
    scheme = stack()
    errors = scheme.open("errors", 0, Caller(0), 0.0)
    if plausible:
        quote = b"\x60" + quote[1:6].ljust(5) + bytes((number, 64)) + US + quote[24:40].ljust(16) + quote[40:]
    message = wire6.error_header(icmp_type, code, word, quote, US, US) + quote
    assert is_valid(message, pseudo_header_sum(US, US, ICMPV6, len(message)))
    receive(scheme, message)
    errors.read(65536, 1.0)


@given(st.binary(max_size=80), st.sampled_from(tuple(ERROR_CODES)), st.integers(0, 65535))
def test_an_error_about_any_octets_is_sent_or_withheld(datagram: bytes, reason, number: int) -> None:
    stack().engine.v6.report_error(reason, memoryview(datagram), 1.0, mtu=number, pointer=0, zone=0)


@given(st.binary(max_size=2000), st.integers(0, 65535), st.integers(0, 65535), ADDRESSES, ADDRESSES)
def test_echo_headers_are_what_dpkt_reads(
    payload: bytes, identifier: int, sequence: int, source: bytes, destination: bytes
) -> None:
    header = wire6.echo_header(wire6.ECHO_REQUEST, identifier, sequence, payload, source, destination)
    echo = dpkt.icmp6.ICMP6(header + payload)
    assert (echo.type, echo.data.id, echo.data.seq, bytes(echo.data.data)) == (128, identifier, sequence, payload)
    unsummed = header[:2] + bytes(2) + header[4:] + payload
    assert icmpv6(unsummed, source, destination) == header + payload


@given(EXTENSIONS, st.sampled_from([6, 17, 58]), ADDRESSES, ADDRESSES, st.binary(max_size=60))
def test_quoted_headers_are_found_behind_any_extension_headers(
    extensions: list[int], protocol: int, source: bytes, destination: bytes, rest: bytes
) -> None:
    following = [*extensions[1:], protocol]
    chain = b"".join(bytes((after,)) + bytes(7) for after in following[: len(extensions)])
    first = extensions[0] if extensions else protocol
    octets = wire.header(source, destination, first, len(chain) + len(rest)) + chain + rest
    quoted = wire6.parse_quoted(memoryview(octets), 0)
    assert quoted is not None
    assert (quoted.protocol, quoted.source, quoted.destination) == (protocol, source, destination)
    assert octets[quoted.header_length : quoted.total_length] == rest


@pytest.mark.parametrize("length", range(49))
def test_a_cut_quote_has_no_headers_beyond_its_end(length: int) -> None:
    octets = wire.header(US, PEER, 60, 20) + b"\x11" + bytes(7)
    quoted = wire6.parse_quoted(memoryview(octets)[:length], 0)
    assert (quoted is None) == (length < 40)
    assert quoted is None or quoted.header_length <= length
