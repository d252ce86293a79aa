"""Default address selection (RFC 6724): the examples of §10, and each rule by itself."""

from __future__ import annotations

import itertools

import pytest

from schemefs.net.addresses import packed, presentation
from schemes.ip.v6.selection import Candidate, common_prefix_length, order_destinations, policy_of, select_source
from tests.support.ip_host import address


def candidate(text: str, **fields) -> Candidate:
    plain, _, length = text.partition("/")
    octets = address(plain) if ":" not in plain else packed(plain)
    return Candidate(octets, int(length or 64), **fields)


def source(destination: str, *candidates: Candidate, **fields) -> str:
    """Return the selected source, which does not depend on the order of the candidates."""
    found = {select_source(packed(destination), order, **fields) for order in itertools.permutations(candidates)}
    assert len(found) == 1
    return presentation(found.pop().address)


# RFC 6724 §10.1
@pytest.mark.parametrize(
    ("destination", "candidates", "expected"),
    [
        ("2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("ff05::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("2001:db8:1::1", ["2001:db8:1::1", "2001:db8:2::1"], "2001:db8:1::1"),
        ("fe80::1", ["fe80::2", "2001:db8:1::1"], "fe80::2"),
        ("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"),
        ("2002:c633:6401::1", ["2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"],
         "2002:c633:6401:0:d5e3:7953:13eb:22e8"),
        # RFC 4291 §2.5.4, policy rule 6
        ("2001:db8::1", ["fd00::1", "2001:db9::1"], "2001:db9::1"),
        ("fd12::1", ["fd00::1", "2001:db9::1"], "fd00::1"),
    ],
)  # fmt: skip
def test_the_source_of_the_examples(destination: str, candidates: list[str], expected: str) -> None:
    assert source(destination, *map(candidate, candidates)) == expected


def test_the_rules_of_source_selection_one_by_one() -> None:
    one, two = "2001:db8:1::1", "2001:db8:1::2"
    far = "2001:db8:9::9"
    assert source(far, candidate(one, is_deprecated=True), candidate(two)) == two  # rule 3
    # a deprecated address of the right scope is better than one of too small a scope
    assert source(far, candidate(one, is_deprecated=True), candidate("fe80::1")) == one
    assert source(far, candidate(one, interface="eth1"), candidate(two, interface="eth0"), interface="eth0") == two
    router = packed("fe80::99")
    advertised = candidate(two, next_hops=frozenset((router,)))
    assert source(far, candidate(one), advertised, next_hop=router) == two  # rule 5.5
    temporary = candidate(one, is_temporary=True)
    assert source(far, temporary, candidate(two)) == one  # rule 7
    assert source(far, temporary, candidate(two), prefer_temporary=False) == two
    # rule 8 does not look beyond the prefix of the source (§2.2)
    pair = [candidate("2001:db8:1::1/64"), candidate("2001:db8:1::2/64")]
    assert select_source(packed("2001:db8:1::3"), pair) is pair[0]
    assert select_source(packed("2001:db8:1::3"), pair[::-1]) is pair[1]


def test_no_candidate_is_no_source() -> None:
    assert select_source(packed("2001:db8::1"), ()) is None


def order(pairs: list[tuple[str, str, bool]]) -> list[str]:
    """Order destinations, each with the source that it would have; `-`: none."""
    sources = {packed(to): None if by == "-" else candidate(by, is_deprecated=old) for to, by, old in pairs}
    return [presentation(found) for found in order_destinations(list(sources), lambda to: sources[to])]


# RFC 6724 §10.2; destinations with the source that §10.2 names for them
@pytest.mark.parametrize(
    "pairs",
    [
        [("2001:db8:1::1", "2001:db8:1::2", False), ("198.51.100.121", "169.254.13.78", False)],
        [("198.51.100.121", "198.51.100.117", False), ("2001:db8:1::1", "fe80::1", False)],
        [("2001:db8:1::1", "2001:db8:1::2", False), ("10.1.2.3", "10.1.2.4", False)],
        [("fe80::1", "fe80::2", False), ("2001:db8:1::1", "2001:db8:1::2", False)],
        [("2001:db8:1::1", "2001:db8:3f44::2", False), ("2002:c633:6401::1", "2002:c633:6401::2", False)],
        [("fe80::1", "fe80::2", False), ("2001:db8:1::1", "2001:db8:1::2", True)],
        [("2001:db8:1::1", "2001:db8:1::2", False), ("2001:db8:3ffe::1", "2001:db8:3f44::2", False)],
        [("2002:c633:6401::1", "2002:c633:6401::2", False), ("2001:db8:1::1", "fe80::2", False)],
        # §10.3 and after: ULA has a lower precedence than IPv4, unless its own source is better
        [("198.51.100.1", "198.51.100.2", False), ("fd00::1", "fd00::2", False)],
        [("2001:db8:1::1", "2001:db8:1::2", False), ("198.51.100.1", "-", False)],
    ],
)
def test_the_order_of_the_examples(pairs: list[tuple[str, str, bool]]) -> None:
    expected = [to for to, _, _ in pairs]
    assert order(pairs) == expected
    assert order(pairs[::-1]) == expected


def test_equal_destinations_keep_their_order() -> None:
    one, two = ("198.51.100.1", "198.51.100.9/24", False), ("203.0.113.1", "198.51.100.9/24", False)
    assert order([one, two]) == [one[0], two[0]]
    first = ("2001:db8:1::1", "-", False)
    second = ("2001:db8:1::2", "-", False)
    assert order([second, first]) == [second[0], first[0]]


def test_the_policy_table() -> None:
    rows = {
        "::1": (50, 0), "2001:db8::1": (40, 1), "10.0.0.1": (35, 4), "2002::1": (30, 2), "2001::1": (5, 5),
        "fd00::1": (3, 13), "::2": (1, 3), "fec0::1": (1, 11), "3ffe::1": (1, 12),
    }  # fmt: skip
    for text, row in rows.items():
        assert policy_of(packed(text))[2:] == row


def test_the_common_prefix() -> None:
    assert common_prefix_length(packed("2001:db8::1"), packed("2001:db8::1")) == 128
    assert common_prefix_length(packed("2001:db8::1"), packed("2001:db8::1"), 64) == 64
    assert common_prefix_length(packed("::"), packed("8000::")) == 0
    assert common_prefix_length(packed("10.0.0.1"), packed("10.0.1.1")) == 96 + 23
