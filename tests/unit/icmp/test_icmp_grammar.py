"""The addresses below icmp/ping/ and icmp/trace/, and the small parts: wire, error_meaning, token_bucket."""

import errno

import dpkt
import pytest

from schemefs.net.network_layer import DeliveryError
from schemes.icmp import wire
from schemes.icmp.error_meaning import describe, meaning_of, reporter_of
from schemes.icmp.grammar import PingOptions, TraceOptions, parse_ping, parse_trace
from schemes.icmp.token_bucket import TokenBucket


@pytest.mark.parametrize(
    ("text", "host", "options"),
    [
        ("10.0.2.2", "10.0.2.2", PingOptions()),
        ("peer.example,count=0", "peer.example", PingOptions(count=0)),
        ("10.0.2.2,count=3,interval=0.2", "10.0.2.2", PingOptions(count=3, interval=0.2)),
        ("10.0.2.2,size=40,ttl=255,timeout=0.5", "10.0.2.2", PingOptions(size=40, ttl=255, timeout=0.5)),
        ("10.0.2.2,size=65507", "10.0.2.2", PingOptions(size=65507)),
        ("[fe80::1]", "fe80::1", PingOptions()),
        ("fe80::1", "fe80::1", PingOptions()),
    ],
)
def test_ping_addresses(text, host, options):
    assert parse_ping(text) == (host, options)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.2",
        "10.0.2.256",
        "10.0.2.2:80",
        "host!7",
        "*",
        "a b",
        "[10.0.2.2",
        "[name]",
        "10.0.2.2,",
        "10.0.2.2,count",
        "10.0.2.2,count=",
        "10.0.2.2,count=-1",
        "10.0.2.2,count=1,count=2",
        "10.0.2.2,interval=0.0001",
        "10.0.2.2,interval=nan",
        "10.0.2.2,size=65508",
        "10.0.2.2,ttl=0",
        "10.0.2.2,ttl=256",
        "10.0.2.2,timeout=0",
        "10.0.2.2,colour=red",
    ],
)
def test_malformed_ping_addresses_have_a_sentence(text):
    with pytest.raises(ValueError, match=r".{10}"):
        parse_ping(text)


def test_trace_addresses():
    assert parse_trace("10.0.2.2,hops=5,tries=1") == ("10.0.2.2", TraceOptions(hops=5, tries=1))
    with pytest.raises(ValueError, match="hops, tries, probes, timeout, size, first"):
        parse_trace("10.0.2.2,count=3")


def test_headers_are_what_dpkt_reads():
    echo = dpkt.icmp.ICMP(wire.echo_header(8, 0x1234, 0xFFFF, b"odd") + b"odd")
    assert (echo.type, echo.data.id, echo.data.seq, echo.data.data) == (8, 0x1234, 0xFFFF, b"odd")
    given, echo.sum = echo.sum, 0
    assert dpkt.icmp.ICMP(bytes(echo)).sum == given


def test_every_unreachable_code_has_a_meaning_and_no_other():
    assert [code for code in range(256) if meaning_of(3, code)] == list(range(16))
    assert [kind for kind in range(256) if meaning_of(kind, 0)] == [3, 11, 12]


def test_an_error_detected_here_has_a_text_too():
    error = DeliveryError(errno.EHOSTUNREACH, True, "no ARP reply", 1, bytes((10, 0, 2, 15)), bytes(4), bytes(8))
    assert describe(error) == "Destination Host Unreachable"
    assert reporter_of(error) == "10.0.2.15"
    six = DeliveryError(errno.EHOSTUNREACH, True, "no advertisement", 58, bytes(15) + b"\1", bytes(16), bytes(8))
    assert describe(six) == "Destination unreachable: Address unreachable"
    other = DeliveryError(errno.EPERM, True, "a sentence", 1, bytes((10, 0, 2, 15)), bytes(4), bytes(8))
    assert describe(other) == "a sentence"


def test_a_bucket_gives_its_burst_and_then_its_rate():
    bucket = TokenBucket(10.0, 3.0)
    assert [bucket.take(1.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(1.05) is False
    assert bucket.take(1.1) is True
    assert bucket.take(0.5) is False  # a clock that goes back adds no tokens
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
