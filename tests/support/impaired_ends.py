"""An impaired link between two ends that record, and the frames of both IP versions that tests put on it."""

from __future__ import annotations

import socket

import dpkt

from schemefs.net.impaired_link import ImpairedLink
from schemefs.net.impairment import parse_impairments
from schemefs.net.offload import NO_OFFLOAD
from schemefs.timers import Timers
from tests.support.ip_host import MAC, PEER_MAC, MemoryLink

US, PEER = "10.9.1.2", "10.9.2.2"
US_V6, PEER_V6 = "fd09:1::2", "fd09:2::2"
SYN, ACK, FIN, RST, PUSH = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK, dpkt.tcp.TH_FIN, dpkt.tcp.TH_RST, dpkt.tcp.TH_PUSH


class TwoEnds:
    """Records the frames sent on, and the frames received with their times."""

    def __init__(self, *lines: str, is_loopback: bool = False) -> None:
        self.timers = Timers()
        self.link = MemoryLink()
        self.link.is_loopback = is_loopback
        self.link.room = 100_000
        self.arrived: list[tuple[float, bytes]] = []
        self.space: list[float] = []
        self.link.receive = lambda frame, offload, now: self.arrived.append((now, bytes(frame)))
        self.link.on_space = self.space.append
        self.impaired = ImpairedLink(self.link, parse_impairments(list(lines)), self.timers)

    def out(self, *frames: bytes, now: float = 0.0) -> None:
        for octets in frames:
            assert self.impaired.send((octets,), NO_OFFLOAD, now)

    def into(self, *frames: bytes, now: float = 0.0) -> None:
        for octets in frames:
            self.link.receive(memoryview(octets), NO_OFFLOAD, now)

    def sent_on(self) -> list[bytes]:
        return [octets for octets, _ in self.link.sent]

    def received(self) -> list[bytes]:
        return [octets for _, octets in self.arrived]

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())

    def rule_lines(self) -> list[str]:
        return [line for line in self.impaired.lines() if line.startswith("# rule ")]

    def counts(self, direction: str = "out") -> dict[str, int]:
        line = next(line for line in self.impaired.lines() if line.startswith(f"# {direction}:"))
        return {name: int(value) for name, _, value in (word.partition("=") for word in line.split()[2:])}


def ethernet(ethertype: int, payload: bytes) -> bytes:
    return PEER_MAC + MAC + ethertype.to_bytes(2, "big") + payload


def ipv4(protocol: int, payload: bytes, source: str = US, destination: str = PEER, fragment: int = 0) -> bytes:
    ip = dpkt.ip.IP(
        src=socket.inet_aton(source), dst=socket.inet_aton(destination), p=protocol, data=payload, len=20 + len(payload)
    )
    octets = bytearray(bytes(ip))
    octets[6:8] = fragment.to_bytes(2, "big")
    return ethernet(0x0800, bytes(octets))


def ipv6(next_header: int, payload: bytes, source: str = US_V6, destination: str = PEER_V6) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    return ethernet(0x86DD, b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes([next_header, 64]) + ends + payload)


def tcp_segment(flags: int, sequence: int, payload: bytes, ports: tuple[int, int], acknowledgment: int) -> bytes:
    ends = {"sport": ports[0], "dport": ports[1]}
    return bytes(dpkt.tcp.TCP(**ends, seq=sequence, ack=acknowledgment, flags=flags, data=payload, sum=1))


def tcp(
    flags: int = ACK,
    sequence: int = 0,
    payload: bytes = b"",
    ports: tuple[int, int] = (40000, 80),
    acknowledgment: int = 0,
    ends: tuple[str, str] = (US, PEER),
) -> bytes:
    return ipv4(6, tcp_segment(flags, sequence, payload, ports, acknowledgment), *ends)


def udp_datagram(payload: bytes = b"x", ports: tuple[int, int] = (40000, 53)) -> bytes:
    return bytes(dpkt.udp.UDP(sport=ports[0], dport=ports[1], data=payload, ulen=8 + len(payload), sum=1))


def udp(payload: bytes = b"x", ports: tuple[int, int] = (40000, 53)) -> bytes:
    return ipv4(17, udp_datagram(payload, ports))


def icmp(number: int, code: int = 0, rest: bytes = bytes(4)) -> bytes:
    return ipv4(1, bytes([number, code, 0, 0]) + rest)


def icmpv6(number: int, code: int = 0, rest: bytes = bytes(4)) -> bytes:
    return ipv6(58, bytes([number, code, 0, 0]) + rest)


def arp() -> bytes:
    hosts = {"spa": socket.inet_aton(US), "tpa": socket.inet_aton(PEER)}
    return ethernet(0x0806, bytes(dpkt.arp.ARP(sha=MAC, tha=bytes(6), **hosts)))
