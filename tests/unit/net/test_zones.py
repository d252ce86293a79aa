"""Texts of IPv6 addresses: zones (RFC 4007 §11), IPv4-mapped addresses, "any"; and what a pseudo-header leaves out."""

from __future__ import annotations

import pytest

from schemefs.net.addresses import ANY, host_port_text, packed, parse_host_port, presentation, shares_prefix
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.zones import is_zoned, with_zone, without_zone, zone_name, zone_number


def test_a_zone_is_part_of_the_octets_and_of_the_text() -> None:
    number = zone_number("eth0")
    octets = packed("fe80::1%eth0")
    assert octets == with_zone(packed("fe80::1") or b"", number)
    assert presentation(octets or b"") == "fe80::1%eth0"
    assert zone_name(octets or b"") == "eth0"
    assert without_zone(octets or b"") == packed("fe80::1")
    assert packed("fe80::1%eth0") != packed("fe80::1")
    assert parse_host_port("[fe80::1%eth0]:80").host == "fe80::1%eth0"


@pytest.mark.parametrize(
    "text", ["fe80::1%nosuch", "fd00::1%eth0", "10.0.2.2%eth0", "fe80::1%", "::ffff:10.0.2.2%eth0", "fe80:1::1"]
)
def test_a_zone_is_that_of_an_interface_and_of_an_address_of_a_link(text: str) -> None:
    zone_number("eth0")
    assert packed(text) is None


@pytest.mark.parametrize(
    ("text", "zoned"), [("fe80::1", True), ("febf::1", True), ("fec0::1", False), ("ff02::1", True), ("ff01::1", True),
                        ("ff05::1", False), ("ff12::1", False), ("::1", False), ("10.0.2.2", False)]
)  # fmt: skip
def test_addresses_of_one_link_are_zoned(text: str, zoned: bool) -> None:
    assert is_zoned(packed(text) or b"") is zoned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2001:0DB8::0001", "2001:db8::1"),  # §4.1, §4.3
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # §4.2.2
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),  # §4.2.3: the first of two equal runs
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),  # the longest run
        ("0:0:0:0:0:0:0:0", "::"),
    ],
)
def test_texts_are_the_canonical_ones(text: str, shown: str) -> None:
    """RFC 5952 §4."""
    octets = packed(text)
    assert octets is not None
    assert presentation(octets) == shown


def test_an_ipv4_mapped_address_is_the_one_in_it() -> None:
    """RFC 4291 §2.5.5.2: programs with one socket for both families write it."""
    assert packed("::ffff:10.0.2.2") == bytes((10, 0, 2, 2))
    assert packed("::ffff:a00:202") == bytes((10, 0, 2, 2))


@pytest.mark.parametrize("text", [":80", "*:80", "0.0.0.0:80", "[::]:80", "[0::0]:80"])
def test_any_is_any_of_both_families(text: str) -> None:
    assert parse_host_port(text).host == ""
    assert host_port_text(ANY, 80) == "*:80"


def test_a_pseudo_header_has_no_zone() -> None:
    """The zone is on no wire."""
    one, other = packed("fe80::1") or b"", packed("fe80::2") or b""
    plain = pseudo_header_sum(one, other, 6, 20)
    zone = zone_number("eth0")
    assert pseudo_header_sum(with_zone(one, zone), with_zone(other, zone), 6, 20) == plain
    assert pseudo_header_sum(with_zone(one, zone), packed("fd00::1") or b"", 6, 20) == pseudo_header_sum(
        one, packed("fd00::1") or b"", 6, 20
    )


def test_prefixes_of_two_families_are_never_shared() -> None:
    assert not shares_prefix(bytes(4), bytes(16), 0)
    assert shares_prefix(packed("fd00::1") or b"", packed("fd00::2") or b"", 64)
