"""The Internet checksum against RFC 1071's definition and dpkt."""

from __future__ import annotations

import random
import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.checksum import (
    checksum,
    is_valid,
    ones_complement_sum,
    ones_complement_sum_of_chunks,
    pseudo_header_sum,
)


def by_definition(data: bytes) -> int:
    """RFC 1071 §4.1, word by word."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_example_of_rfc_1071() -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert ones_complement_sum(data) == 0xDDF2
    assert checksum(data) == 0x220D


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"\0", 0), (bytes(8), 0), (b"\xff\xff", 0xFFFF), (b"\xff\xff" * 3, 0xFFFF), (b"\x12", 0x1200)],
)
def test_zeros_and_ones(data: bytes, expected: int) -> None:
    assert ones_complement_sum(data) == expected


@given(st.binary(max_size=200))
def test_sum_is_the_definition(data: bytes) -> None:
    assert ones_complement_sum(data) == by_definition(data)
    assert ones_complement_sum(memoryview(data)) == by_definition(data)
    assert ones_complement_sum(bytearray(data)) == by_definition(data)


@pytest.mark.parametrize("size", [1459, 1460, 65535])
def test_large_data_at_any_offset(size: int) -> None:
    for data in (b"\xff" * (size + 7), random.Random(size).randbytes(size + 7)):
        for offset in range(8):
            part = memoryview(data)[offset : offset + size]
            assert ones_complement_sum(part) == by_definition(bytes(part))


@given(st.binary(max_size=20), st.integers(0, 1 << 40))
def test_a_sum_begins_from_any_other(data: bytes, initial: int) -> None:
    assert ones_complement_sum(data, initial) == by_definition(data + bytes(len(data) % 2) + initial.to_bytes(6, "big"))


def test_what_is_no_data_is_refused() -> None:
    for data, initial in (("text", 0), (memoryview(b"1234")[::2], 0), (b"", -1), (b"", 1 << 64)):
        with pytest.raises((TypeError, BufferError, OverflowError)):
            ones_complement_sum(data, initial)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_checksum_is_dpkts(data: bytes) -> None:
    assert checksum(data) == dpkt.in_cksum(data)


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 0xFFFF))
def test_chunks_count_as_if_joined(chunks: list[bytes], initial: int) -> None:
    assert ones_complement_sum_of_chunks(chunks, initial) == ones_complement_sum(b"".join(chunks), initial)


@given(st.binary(min_size=2, max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_is_valid(data: bytes) -> None:
    whole = data + checksum(data).to_bytes(2, "big")
    assert is_valid(whole) or not any(whole)


@given(st.binary(min_size=2, max_size=64), st.data())
def test_one_flipped_bit_is_found(data: bytes, choose: st.DataObject) -> None:
    data += b"\x01" + b"\0" * ((len(data) + 1) % 2)  # never all zeros, and whole words
    whole = bytearray(data + checksum(data).to_bytes(2, "big"))
    bit = choose.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert not is_valid(whole)


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), st.binary(max_size=60))
def test_pseudo_header_of_udp_is_dpkts(source: bytes, destination: bytes, payload: bytes) -> None:
    udp = dpkt.udp.UDP(sport=5, dport=7, data=payload)
    udp.ulen = len(udp)
    ip = dpkt.ip.IP(src=source, dst=destination, p=17, data=udp)
    octets = bytes(ip)[20:]
    initial = pseudo_header_sum(source, destination, 17, len(octets))
    assert is_valid(octets, initial)


def test_pseudo_header_of_ipv6() -> None:
    # RFC 8200 §8.1: addresses, 32-bit length, three zero octets, next header.
    source, destination = bytes(range(16)), bytes(range(16, 32))
    laid_out = source + destination + struct.pack(">I3xB", 70000, 6)
    assert pseudo_header_sum(source, destination, 6, 70000) == by_definition(laid_out)
