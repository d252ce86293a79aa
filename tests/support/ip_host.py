"""A host for tests of ip and what is above it: a Network, a link that remembers what was sent, lo, time as literals."""

from __future__ import annotations

import random
from collections.abc import Mapping

import dpkt

from drivers.loopback.link import LoopbackLink
from schemefs.driver import Link, Medium
from schemefs.net.addresses import packed, presentation
from schemefs.net.buffer import Chunks
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import DeliveryError
from schemefs.net.offload import NO_OFFLOAD, Offload
from schemefs.timers import Timers
from schemes.ip.interface import IpInterface
from schemes.ip.network import Network

MAC = bytes.fromhex("525400123456")
PEER_MAC = bytes.fromhex("0a0000000002")
BROADCAST_MAC = b"\xff" * 6


def address(text: str) -> bytes:
    found = packed(text)
    assert found is not None
    return found


US = address("10.0.2.15")
PEER = address("10.0.2.2")


class MemoryLink(Link):
    """Keeps what is sent; `room` frames, then it refuses."""

    def __init__(self, name: str = "eth0", medium: Medium = Medium.ETHERNET, mtu: int = 1500) -> None:
        super().__init__()
        self.name = name
        self.device = f"memory:{name}"
        self.medium = medium
        self.mac = MAC if medium is Medium.ETHERNET else b""
        self.mtu = mtu
        self.sent: list[tuple[bytes, Offload]] = []
        self.room = 10_000

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.sent.append((b"".join(chunks), offload))
        return True

    def statistics(self) -> Mapping[str, int | float | str]:
        return {"out_frames": len(self.sent)}


class Recorder:
    """A transport that keeps what it is given, and takes it or not."""

    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.received: list[tuple[bytes, bytes, bytes]] = []  # source, destination, payload
        self.datagrams: list[bytes] = []
        self.offloads: list[Offload] = []
        self.traffic_classes: list[int] = []
        self.hop_limits: list[int] = []
        self.errors: list[DeliveryError] = []
        self.space = 0

    def receive_datagram(
        self,
        source: bytes,
        destination: bytes,
        datagram: memoryview,
        start: int,
        traffic_class: int,
        hop_limit: int,
        offload: Offload,
        now: float,
    ) -> bool:
        self.received.append((source, destination, bytes(datagram[start:])))
        self.datagrams.append(bytes(datagram))
        self.offloads.append(offload)
        self.traffic_classes.append(traffic_class)
        self.hop_limits.append(hop_limit)
        return self.takes

    def expects(self, error: DeliveryError) -> bool:
        return self.takes

    def receive_error(self, error: DeliveryError, now: float) -> None:
        self.errors.append(error)

    def transmit_space(self, now: float) -> None:
        self.space += 1


class Reports:
    """An error reporter that keeps what it was to report."""

    def __init__(self) -> None:
        self.reported: list[ErrorReason] = []
        self.quoted: list[bytes] = []
        self.pointers: list[int] = []
        self.mtus: list[int] = []

    def report_error(
        self, reason: ErrorReason, datagram: memoryview, now: float, *, mtu: int = 0, pointer: int = 0, zone: int = 0
    ) -> None:
        self.reported.append(reason)
        self.quoted.append(bytes(datagram))
        self.pointers.append(pointer)
        self.mtus.append(mtu)


class IpHost:
    """10.0.2.15/24 on eth0, 127.0.0.1/8 on lo, default via 10.0.2.2, a Recorder for protocol 253."""

    PROTOCOL = 253  # RFC 3692: for experiments

    def __init__(self, mtu: int = 1500) -> None:
        self.timers = Timers()
        self.network = Network(self.timers, random.Random(1))
        self.lo = LoopbackLink("lo")
        self.link = MemoryLink(mtu=mtu)
        self.network.attach(self.lo, 0.0)
        self.eth0: IpInterface = self.network.attach(self.link, 0.0)
        self.eth0.add_address(US, 24, 0.0)
        self.network.routes.add(bytes(4), 0, via=PEER)
        self.transport = Recorder()
        self.network.register_transport(self.PROTOCOL, self.transport)
        self.reports = Reports()
        self.network.register_error_reporter(self.reports)
        self.link.sent.clear()  # the announcement of our address

    @property
    def dropped(self) -> dict[str, int]:
        """What was dropped, without the zeros."""
        return {reason: count for reason, count in self.network.counters.dropped.items() if count}

    def receives(self, frame: bytes, now: float = 0.0, offload: Offload = NO_OFFLOAD) -> None:
        self.link.receive(memoryview(frame), offload, now)

    def receives_datagram(
        self, datagram: bytes, now: float = 0.0, *, to: bytes = MAC, offload: Offload = NO_OFFLOAD
    ) -> None:
        self.receives(bytes(dpkt.ethernet.Ethernet(dst=to, src=PEER_MAC, type=0x0800, data=datagram)), now, offload)

    def receives_arp(
        self,
        what: str,
        sender: bytes,
        target: bytes,
        now: float = 0.0,
        *,
        mac: bytes = PEER_MAC,
        to: bytes | None = None,
    ) -> None:
        op = {"request": 1, "reply": 2}[what]
        arp = dpkt.arp.ARP(op=op, sha=mac, spa=sender, tha=MAC if op == 2 else bytes(6), tpa=target)
        destination = to or (MAC if op == 2 else BROADCAST_MAC)
        self.receives(bytes(dpkt.ethernet.Ethernet(dst=destination, src=mac, type=0x0806, data=arp)), now)

    def sends(self) -> list[str]:
        """Return what was sent since the last look, one line each."""
        lines = [shown(frame) for frame, _ in self.link.sent]
        self.link.sent.clear()
        return lines

    def sent_datagrams(self) -> list[dpkt.ip.IP]:
        """Return the IP datagrams sent since the last look, as dpkt reads them, checksums checked."""
        parsed = [dpkt.ethernet.Ethernet(frame) for frame, _ in self.link.sent if frame[12:14] == b"\x08\0"]
        self.link.sent.clear()
        for ethernet in parsed:
            octets = bytes(ethernet.data)
            assert dpkt.in_cksum(octets[: (octets[0] & 15) * 4]) == 0
        return [dpkt.ip.IP(bytes(ethernet.data)) for ethernet in parsed]

    def resolve_peer(self, now: float = 0.0) -> None:
        """Let the peer ask for us, so that it is known."""
        self.receives_arp("request", PEER, US, now)
        self.link.sent.clear()

    def until(self, deadline: float) -> None:
        """Let time pass: every timer up to *deadline* fires at its own time."""
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())

    def pump(self, now: float = 0.0) -> None:
        """Deliver what is on its way through lo."""
        while self.lo.pump(now):
            pass


def datagram(
    payload: bytes = b"payload!", source: bytes = PEER, destination: bytes = US, **fields: int | bytes
) -> bytes:
    """Return an IPv4 datagram made by dpkt."""
    ip = dpkt.ip.IP(src=source, dst=destination, data=payload, len=0, **{"p": 253, "ttl": 64, "id": 7, **fields})
    ip.hl = 5 + len(ip.opts) // 4
    return bytes(ip)


def shown(frame: bytes) -> str:
    """Return one line about a frame: `arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast`, `ip 10.0.2.15 > 10.0.2.2 …`."""
    ethernet = dpkt.ethernet.Ethernet(frame)
    where = "broadcast" if ethernet.dst == BROADCAST_MAC else ethernet.dst.hex(":")
    if ethernet.type == 0x0806:
        arp = ethernet.data
        if arp.op == 1:
            return f"arp who-has {presentation(arp.tpa)} tell {presentation(arp.spa)} > {where}"
        return f"arp reply {presentation(arp.spa)} is-at {arp.sha.hex(':')} > {where}"
    ip = ethernet.data
    return f"ip {presentation(ip.src)} > {presentation(ip.dst)} {len(bytes(ip))} > {where}"
