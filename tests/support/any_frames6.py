"""Any frames of IPv6: Neighbor Discovery, chains of headers, fragments, ICMPv6, UDP, TCP; sound and damaged."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from schemefs.net.checksum import checksum, pseudo_header_sum
from schemes.ip.v6 import nd_messages
from tests.support.ip_host import MAC, PEER_MAC, address
from tests.support.ipv6_host import (
    ALL_NODES,
    FAR6,
    LINK_LOCAL_PEER,
    OTHER6,
    PEER6,
    US6,
    datagram6,
    fragment,
    icmpv6,
    options,
)

T = TypeVar("T")

ODD = tuple(map(address, ("::", "::1", "ff02::9", "ff01::1", "fe80::9", "ff0e::9", "fd00::ff")))
OPTIONS = (b"", b"\x05\x02\0\0", b"\x1e\x01\0", b"\x5e\0", b"\x9e\0", b"\xde\0", b"\x1e\x63", b"\x1e\0" * 20)
RAW6 = 222  # a protocol that only a raw reader has
FLAGS = (2, 0x12, 0x10, 0x18, 4, 0x14, 1, 0x11, 3, 0, 0x3F)


class AnyFrames6:
    """Makes frames from *random*, to the hardware address *ours* from *theirs*."""

    def __init__(self, random: Random, ports: Sequence[int], ours: bytes = MAC, theirs: bytes = PEER_MAC) -> None:
        self._random = random
        self._ports = tuple(ports)
        self._ours, self._theirs = ours, theirs

    def burst(self) -> list[bytes]:
        """Return one frame, or the fragments of a datagram, of which some may be missing or there twice."""
        source = self._one((PEER6, PEER6, PEER6, PEER6, LINK_LOCAL_PEER, OTHER6, FAR6, US6, self._one(ODD)))
        destination = self._one((US6, US6, US6, US6, US6, ALL_NODES, OTHER6, self._one(ODD)))
        number, payload, hops = self._payload(source, destination)
        for _ in range(self._one((0, 0, 0, 1, 2, 9))):
            payload = self._extension(number, payload)
            number = self._one((0, 60, 60, 60, 43))
        if self._one((False, False, False, True)):
            datagrams = self._fragments(number, payload, source, destination)
        else:
            datagrams = [datagram6(payload, source, destination, number, hop_limit=hops)]
        return [self._damaged(self._target(destination) + self._theirs + b"\x86\xdd" + each) for each in datagrams]

    def _one(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _octets(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(0, most))

    def _target(self, destination: bytes) -> bytes:
        usual = b"\x33\x33" + destination[12:] if destination[0] == 0xFF else self._ours
        return self._one((*[usual] * 9, b"\x33\x33\0\0\0\x01"))

    def _payload(self, source: bytes, destination: bytes) -> tuple[int, bytes, int]:
        kind = self._one(("nd", "nd", "echo", "error", "udp", "tcp", "other"))
        if kind == "nd":
            return 58, icmpv6(self._message(), source, destination), self._one((255, 255, 255, 64))
        if kind == "echo":
            head = bytes((self._one((128, 129, 130, 200)), 0, 0, 0, 0, 7, 0, self._one((1, 2))))
            return 58, icmpv6(head + self._octets(40), source, destination), 64
        if kind == "error":
            quoted = datagram6(self._ends() + bytes(8), self._one((US6, US6, PEER6)), PEER6, self._one((6, 17, 58, 44)))
            word = self._one((0, 1, 1279, 1280, 1400)).to_bytes(4, "big")
            head = bytes((self._one((1, 2, 3, 4, 99)), self._one((0, 1, 3, 4, 9)), 0, 0)) + word
            return 58, icmpv6(head + quoted[: self._random.randint(40, 60)], source, destination), 64
        if kind == "udp":
            data = self._octets(40)
            head = self._ends() + (8 + len(data)).to_bytes(2, "big") + b"\0\0"
            if self._random.random() < 0.1:
                return 17, head + data, 64  # without a checksum
            return 17, self._summed(head + data, source, destination, 17, 6), 64
        if kind == "tcp":
            head = self._ends() + self._random.randbytes(8) + bytes((0x50, self._one(FLAGS))) + bytes(6)
            return 6, self._summed(head + self._octets(40), source, destination, 6, 16), 64
        return self._one((50, 59, RAW6, 1)), self._octets(40), 64

    def _ends(self) -> bytes:
        return self._one(self._ports).to_bytes(2, "big") + self._one(self._ports).to_bytes(2, "big")

    def _summed(self, octets: bytes, source: bytes, destination: bytes, protocol: int, at: int) -> bytes:
        total = checksum(octets, pseudo_header_sum(source, destination, protocol, len(octets)))
        return octets[:at] + total.to_bytes(2, "big") + octets[at + 2 :]

    def _message(self) -> bytes:
        target = self._one((US6, US6, PEER6, OTHER6, LINK_LOCAL_PEER, ALL_NODES))
        mac = self._one((self._theirs, self._theirs, b"", b"\x0a\0\0\0\0\x66"))
        if self._one((True, False)):
            return nd_messages.build_neighbor_solicitation(target, mac)
        flag = self._random.random
        told = nd_messages.NeighborAdvertisement(target, mac, flag() < 0.5, flag() < 0.5, flag() < 0.5)
        return nd_messages.build_neighbor_advertisement(told)

    def _extension(self, number: int, payload: bytes) -> bytes:
        if self._one((True, False, False)):
            return bytes((number, 0, self._one((0, 2, 4)), self._one((0, 0, 1)))) + bytes(4) + payload
        return options(number, self._one(OPTIONS)) + payload

    def _fragments(self, number: int, payload: bytes, source: bytes, destination: bytes) -> list[bytes]:
        step = self._one((8, 16, 24, 9))
        identification = self._random.randrange(4)
        pieces = []
        for start in range(0, len(payload) or 1, step):
            head = fragment(number, start & ~7, more=start + step < len(payload), identification=identification)
            pieces.append(datagram6(head + payload[start : start + step], source, destination, 44))
        if self._one((True, False)):
            self._random.shuffle(pieces)
        if self._one((True, False, False)):
            pieces.append(self._one(pieces))
        if self._one((True, False, False)):
            pieces.pop()
        return pieces

    def _damaged(self, frame: bytes) -> bytes:
        if self._random.random() < 0.85:
            return frame + bytes(self._one((0, 0, 0, 9)))
        octets = bytearray(frame)
        octets[self._random.randrange(14, len(octets))] ^= 1 << self._random.randrange(8)
        return bytes(octets[: self._random.randint(14, len(octets))]) if self._one((True, False)) else bytes(octets)
