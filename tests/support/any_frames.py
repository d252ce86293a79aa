"""Any frames: ARP, IPv4, fragments, ICMP, UDP, TCP, IGMP and garbage; sound and damaged, about us and about others."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

import dpkt

from tests.support.ip_host import BROADCAST_MAC, IpHost, address, datagram

T = TypeVar("T")

US, PEER, OTHER, FAR, BROADCAST, GROUP = map(
    address, ("10.0.2.15", "10.0.2.2", "10.0.2.77", "192.0.2.9", "10.0.2.255", "239.1.1.1")
)
ODD = tuple(map(address, ("0.0.0.0", "239.9.9.9", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1")))
OPTIONS = (b"", b"", b"", b"", b"\x94\x04\0\0", b"\x83\x04\x04\0", b"\x07\x01\0\0")
FLAGS = (2, 0x12, 0x10, 0x18, 4, 0x14, 1, 0x11, 3, 0, 0x3F)
RAW = 200  # a protocol that only a raw reader has


class AnyFrames:
    """Makes frames from *random*, to the hardware address *ours* from *theirs*."""

    def __init__(self, random: Random, ours: bytes, theirs: bytes, ports: Sequence[int]) -> None:
        self._random = random
        self._ours, self._theirs = ours, theirs
        self._ports = tuple(ports)

    def burst(self) -> list[bytes]:
        """Return one frame, or the fragments of a datagram, of which some may be missing or there twice."""
        kind = self._random.random()
        if kind < 0.1:
            return [self._arp()]
        if kind < 0.15:
            start = self._one((b"", self._ours + self._theirs, self._ours + self._theirs + b"\x08\0"))
            return [start + self._octets(40)]
        return [self._damaged(frame) for frame in self._datagram()]

    def _one(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _octets(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(0, most))

    def _port(self) -> int:
        return self._one(self._ports)

    def _end(self) -> bytes:
        return self._one((PEER, PEER, PEER, US, OTHER, OTHER, FAR, BROADCAST, GROUP, self._one(ODD)))

    def _target(self) -> bytes:
        group = bytes.fromhex("01005e010101")
        return self._one((*[self._ours] * 8, BROADCAST_MAC, BROADCAST_MAC, group, self._theirs))

    def _arp(self) -> bytes:
        sender = self._one((self._theirs, self._theirs, self._ours, b"\x0a\0\0\0\0\x77", BROADCAST_MAC))
        ends = {"sha": sender, "spa": self._end(), "tha": self._one((self._ours, bytes(6))), "tpa": self._end()}
        message = dpkt.arp.ARP(op=self._one((1, 1, 2, 2, 3)), **ends)
        return bytes(dpkt.ethernet.Ethernet(dst=self._target(), src=sender, type=0x0806, data=message))

    def _datagram(self) -> list[bytes]:
        protocol, payload = self._payload()
        fields: dict[str, int | bytes] = {
            "source": self._one((PEER, PEER, PEER, PEER, OTHER, FAR, self._end())),
            "destination": self._one((US, US, US, US, US, US, BROADCAST, GROUP, FAR, self._end())),
            "p": protocol,
            "id": self._random.randint(1, 20),
            "opts": self._one(OPTIONS),
            "ttl": self._one((64, 64, 1)),
            "tos": self._one((0, 0, 1, 2, 3)),
        }
        if self._random.random() < 0.6:
            wholes = [datagram(payload, **fields)]
        else:
            wholes = self._fragments(payload + bytes(24), fields)
        target = self._target()
        return [target + self._theirs + b"\x08\0" + whole for whole in wholes]

    def _fragments(self, payload: bytes, fields: dict[str, int | bytes]) -> list[bytes]:
        size, found = self._one((16, 16, 24)), []
        for at in range(0, len(payload), size):
            fields["tos"] = self._one((2, 2, 2, 3, 0)) if self._random.random() < 0.3 else fields["tos"]
            is_last = at + size >= len(payload)
            found.append(datagram(payload[at : at + size], **fields, offset=at // 8, mf=int(not is_last)))
        if self._random.random() < 0.3:
            found.append(self._one(found))
        self._random.shuffle(found)
        return found if self._random.random() < 0.7 else found[1:]

    def _payload(self) -> tuple[int, bytes]:
        """Return a protocol number and what a datagram of it carries."""
        make = self._one((self._udp, self._udp, self._tcp, self._icmp, self._icmp_error, self._igmp, self._other))
        return make()

    def _udp(self) -> tuple[int, bytes]:
        data = self._one((b"", self._octets(40)))
        return 17, bytes(dpkt.udp.UDP(sport=self._port(), dport=self._port(), ulen=8 + len(data), data=data))

    def _tcp(self) -> tuple[int, bytes]:
        seq, ack = self._random.getrandbits(32), self._random.getrandbits(32)
        ports = {"sport": self._port(), "dport": self._port()}
        return 6, bytes(dpkt.tcp.TCP(**ports, seq=seq, ack=ack, flags=self._one(FLAGS), data=self._octets(40)))

    def _icmp(self) -> tuple[int, bytes]:
        echo = dpkt.icmp.ICMP.Echo(id=self._random.getrandbits(16), seq=self._random.randint(0, 5), data=b"payload")
        return 1, bytes(dpkt.icmp.ICMP(type=self._one((0, 4, 5, 8, 8, 13, 99)), code=0, data=echo))

    def _icmp_error(self) -> tuple[int, bytes]:
        """An error about UDP, TCP, ICMP, IGMP, or a protocol without a transport; of ours or not."""
        protocol = self._one((17, 17, 6, 1, 2, 47, RAW))
        ports = self._port().to_bytes(2, "big") + self._port().to_bytes(2, "big")
        head = bytes((8, 0, 0, 0)) + ports if protocol == 1 else ports + bytes(4)
        quoted = datagram(head + bytes(8), self._one((US, US, US, OTHER)), self._end(), p=protocol)
        kind, code = self._one(((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 99), (11, 0), (12, 0)))
        message = bytes((kind, code, 0, 0, 0, 0)) + self._one((b"\0\0", b"\x02\x28")) + quoted
        return 1, _with_checksum(message[: self._one((len(message), len(message), 20, 32))])

    def _igmp(self) -> tuple[int, bytes]:
        message = bytes((self._one((0x11, 0x12, 0x16, 0x17, 0x22)), 9, 0, 0)) + self._end()
        return 2, self._one((message, _with_checksum(message), _with_checksum(message)))

    def _other(self) -> tuple[int, bytes]:
        return self._one((RAW, IpHost.PROTOCOL + 1, 47)), self._octets(40)

    def _damaged(self, frame: bytes) -> bytes:
        if self._random.random() < 0.9:
            return frame
        octets = bytearray(frame[: self._one((len(frame), self._random.randint(1, len(frame))))])
        octets[self._random.randrange(len(octets))] ^= 1 << self._random.randrange(8)
        return bytes(octets)


def _with_checksum(message: bytes) -> bytes:
    """Fill in the checksum of ICMP or IGMP, which is zero."""
    return message[:2] + dpkt.in_cksum(message).to_bytes(2, "big") + message[4:]
