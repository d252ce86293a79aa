"""struct sockaddr, read from and written to a caller's memory, against what the socket module makes of it."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest

from schemefs.run import sockaddr
from schemefs.run.call import Failed
from schemefs.run.sockaddr import Address


class Memory:
    """The memory of a caller, from address 1000 on. Satisfies what sockaddr uses of `Call`."""

    def __init__(self, octets: bytes) -> None:
        self.octets = bytearray(octets)

    def read(self, address: int, size: int) -> bytes:
        if not 1000 <= address <= address + size <= 1000 + len(self.octets):
            raise Failed(errno.EFAULT)
        return bytes(self.octets[address - 1000 :][:size])

    def write(self, address: int, octets: bytes) -> None:
        self.read(address, len(octets))
        self.octets[address - 1000 : address - 1000 + len(octets)] = octets

    def read_integer(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4), "little", signed=True)

    def write_integer(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(4, "little"))


def read(octets: bytes, length: int | None = None) -> tuple[int, Address | None]:
    call: Any = Memory(octets)
    return sockaddr.read(call, 1000, len(octets) if length is None else length)


V4 = struct.pack("=H", socket.AF_INET) + b"\x00\x50" + bytes([10, 0, 2, 2]) + bytes(8)
V6 = (
    struct.pack("=H", socket.AF_INET6)
    + b"\x01\xbb"
    + bytes(4)
    + socket.inet_pton(socket.AF_INET6, "fd09::2")
    + bytes(4)
)


def test_addresses_are_read() -> None:
    assert read(V4) == (socket.AF_INET, Address(bytes([10, 0, 2, 2]), 80))
    assert str(read(V4)[1]) == "10.0.2.2:80"
    assert str(read(V6)[1]) == "[fd09::2]:443"
    assert read(V6[:24])[1] == read(V6)[1]  # without a scope, as before RFC 2553
    mapped = V6[:8] + bytes(10) + b"\xff\xff" + bytes([10, 0, 2, 2]) + bytes(4)
    assert str(read(mapped)[1]) == "10.0.2.2:443"
    assert read(struct.pack("=H", socket.AF_UNIX) + b"/x") == (socket.AF_UNIX, None)


@pytest.mark.parametrize("length", [0, 1, 15, 129, -1])
def test_a_wrong_length_is_einval(length: int) -> None:
    with pytest.raises(Failed) as failure:
        read(V4.ljust(200, b"\0"), length)
    assert failure.value.errno == errno.EINVAL


@pytest.mark.parametrize("octets", [V4, V6])
def test_what_is_packed_is_read_again(octets: bytes) -> None:
    family, address = read(octets)
    assert address is not None
    assert read(sockaddr.packed(address, family))[1] == address


def test_an_ipv4_address_is_mapped_for_an_ipv6_socket() -> None:
    packed = sockaddr.packed(Address(bytes([10, 0, 2, 2]), 80), sockaddr.V6)
    assert packed[8:24] == socket.inet_pton(socket.AF_INET6, "::ffff:10.0.2.2")
    assert sockaddr.packed(Address(bytes(4), 80), sockaddr.V6)[8:24] == bytes(16)


@pytest.mark.parametrize("room", [0, 5, 16, 100])
def test_an_address_is_written_as_far_as_there_is_room(room: int) -> None:
    call: Any = Memory(struct.pack("=i", room) + b"." * 100)
    sockaddr.write(call, 1004, 1000, V4)
    assert call.octets[:4] == struct.pack("=i", 16)
    assert call.octets[4:] == V4[:room] + b"." * (100 - min(room, 16))


def test_a_null_pointer_wants_no_address_and_a_negative_room_is_einval() -> None:
    sockaddr.write(Memory(b""), 0, 0, V4)  # type: ignore[arg-type]
    with pytest.raises(Failed):
        sockaddr.write(Memory(b"\xff" * 30), 1004, 1000, V4)  # type: ignore[arg-type]


def test_texts_of_the_tree() -> None:
    assert sockaddr.parse("10.0.2.2:80\n") == Address(bytes([10, 0, 2, 2]), 80)
    assert sockaddr.parse("*:80") == sockaddr.parse(":80") == Address(bytes(4), 80)
    assert sockaddr.parse("[fe80::1%eth0]:80") == Address(socket.inet_pton(socket.AF_INET6, "fe80::1"), 80)
    assert sockaddr.parse("\n") is None
