"""The options of DHCP messages: RFC 2131 §4.1 (overload), RFC 2132, RFC 3396 (pieces), RFC 3397, RFC 3442."""

from __future__ import annotations

import random

import pytest

from schemefs.net.addresses import packed
from schemes.netcfg import dhcp_options as option
from schemes.netcfg.dhcp_options import Options

ONE, TWO = packed("10.0.2.3") or b"", packed("10.0.2.4") or b""


def piece(code: int, octets: bytes) -> bytes:
    return bytes((code, len(octets))) + octets


def options(*pieces: bytes, file: bytes = b"", sname: bytes = b"") -> Options:
    return Options(b"".join(pieces), file.ljust(128, b"\0"), sname.ljust(64, b"\0"))


@pytest.mark.parametrize("overload", [0, 1, 2, 3])
def test_file_and_sname_hold_options_if_option_52_says_so(overload: int) -> None:
    found = options(
        piece(option.OVERLOAD, bytes((overload,))) if overload else b"",
        piece(option.NAMESERVERS, ONE[:2]),
        file=piece(option.NAMESERVERS, ONE[2:] + TWO) + b"\xff",
        sname=piece(option.LEASE, bytes((0, 0, 0, 60))) + b"\xff",
    )
    assert found.addresses(option.NAMESERVERS) == ((ONE, TWO) if overload & 1 else ())
    assert found.seconds(option.LEASE) == (60 if overload & 2 else 0)


def test_a_field_cannot_say_that_it_holds_options() -> None:
    found = options(file=piece(option.OVERLOAD, b"\x01") + piece(option.LEASE, bytes(3) + b"\x09"))
    assert found.seconds(option.LEASE) == 0


def test_the_pieces_of_an_option_are_one() -> None:
    """RFC 3396: the border of a piece may be anywhere."""
    whole = b"".join((ONE, TWO, ONE))
    for first in range(len(whole)):
        for second in range(first, len(whole)):
            pieces = (whole[:first], whole[first:second], whole[second:])
            found = options(*(piece(option.NAMESERVERS, octets) for octets in pieces))
            assert found.addresses(option.NAMESERVERS) == (ONE, TWO, ONE)
    assert options(piece(51, b"\0\0"), piece(51, b"\1\0")).seconds(51) == 256


def test_the_first_of_equal_options_counts() -> None:
    found = options(
        piece(option.SERVER, ONE), piece(option.SERVER, TWO), piece(51, b"\0\0\0\1"), piece(51, b"\0\0\0\2")
    )
    assert (found.fixed(option.SERVER, 4), found.seconds(51)) == (ONE, 1)


@pytest.mark.parametrize("octets", [b"", b"\1", b"\1\2\3", b"\1\2\3\4\5", b"\1\2\3\4\5\6\7"])
def test_an_option_of_a_wrong_length_is_absent(octets: bytes) -> None:
    found = options(*(piece(code, octets) for code in (1, 3, 6, 26, 51, 54, 58, 59)), piece(53, b"\5"))
    assert (found.fixed(1, 4), found.fixed(54, 4), found.addresses(3), found.addresses(6)) == (b"", b"", (), ())
    assert (found.mtu, found.seconds(51), found.seconds(58), found.seconds(59)) == (0, 0, 0, 0)
    assert found.fixed(53, 1) == b"\5"


def test_what_follows_a_truncated_option_or_the_end_is_not_read() -> None:
    assert options(b"\0\0", piece(51, b"\0\0\0\1"), b"\0", bytes((15, 200)), b"abc").seconds(51) == 1
    assert options(b"\x33").seconds(51) == 0
    assert options(b"\xff", piece(51, b"\0\0\0\1")).seconds(51) == 0


def test_classless_routes() -> None:
    octets = bytes((16, 10, 9, *TWO, 0, *ONE, 32, 10, 0, 2, 9, 0, 0, 0, 0, 9, 10, 255, *ONE))
    assert options(piece(121, octets)).static_routes == (
        (bytes((10, 9, 0, 0)), 16, TWO),
        (bytes(4), 0, ONE),
        (bytes((10, 0, 2, 9)), 32, bytes(4)),
        (bytes((10, 128, 0, 0)), 9, ONE),
    )
    for bad in (b"\x21" + bytes(9), octets[:-1], b"\0\1\2\3", b"\x08"):
        assert options(piece(121, bad)).static_routes == ()


CORP = b"\3eng\5apple\3com\0"


@pytest.mark.parametrize(
    ("search", "domain", "expected"),
    [
        (b"", b"corp.test", ("corp.test",)),
        (b"", b"Corp.Test.\0\0", ("corp.test",)),
        (b"", b"corp.test eng.test", ("corp.test", "eng.test")),
        (b"", b"a;b", ()),
        (b"", b"10.0.2.3.4", ()),
        (b"", b"\xc3\xa4.test", ()),
        (b"", b"bad..dots", ()),
        (b"", b"x" * 64 + b".test", ()),
        (b"\4corp\4test\0", b"other.test", ("corp.test",)),
        # The example of RFC 3397 §2: the second name ends where the first has "apple.com".
        (CORP + b"\x09marketing\xc0\x04", b"", ("eng.apple.com", "marketing.apple.com")),
        (b"\xc0\x00", b"other.test", ("other.test",)),  # a loop
        (b"\1a\xc0\x00", b"other.test", ("other.test",)),
        (b"\xc0\x02\1a\0", b"other.test", ("other.test",)),  # a pointer that leads forward
        (b"\4corp", b"other.test", ("other.test",)),
        (b"\4co\np\0", b"", ()),
        (b"\x80corp\0", b"", ()),
        (b"\0", b"", ()),
        (b"\1a\0\1b\0\1c\0\1d\0\1e\0\1f\0\1g\0", b"", ("a", "b", "c", "d", "e", "f")),
    ],
)
def test_the_search_list_wins_over_the_domain_name(search: bytes, domain: bytes, expected: tuple[str, ...]) -> None:
    found = options(*(piece(code, octets) for code, octets in ((119, search), (15, domain)) if octets))
    assert found.domains == expected


def test_no_octets_raise() -> None:
    source = random.Random(4)
    for _ in range(3000):
        octets = bytearray(CORP + b"\x09marketing\xc0\x04")
        for _ in range(source.randrange(4)):
            octets[source.randrange(len(octets))] = source.randrange(256)
        found = options(piece(119, octets[: source.randrange(len(octets) + 1)]), piece(121, octets), piece(52, octets))
        assert all(domain.isascii() for domain in found.domains)
        assert isinstance(found.static_routes, tuple)
        Options(source.randbytes(source.randrange(300)), source.randbytes(128), source.randbytes(64)).domains  # noqa: B018
