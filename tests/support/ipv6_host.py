"""A host with IPv6: fd00::15/64 and a link-local address on eth0, `::1` on lo; datagrams made octet by octet."""

from __future__ import annotations

import dpkt

from schemefs.net.checksum import checksum, pseudo_header_sum
from schemefs.net.offload import NO_OFFLOAD, Offload
from schemefs.net.zones import with_zone
from schemes.ip.v6 import wire
from schemes.ip.v6.nd_messages import (
    NeighborAdvertisement,
    build_neighbor_advertisement,
    build_neighbor_solicitation,
)
from schemes.ip.v6.scopes import solicited_node
from tests.support.ip_host import MAC, PEER_MAC, IpHost, address

US6, PEER6, OTHER6, FAR6 = map(address, ("fd00::15", "fd00::2", "fd00::77", "2001:db8::9"))
LINK_LOCAL_PEER = address("fe80::2")
ALL_NODES = address("ff02::1")
PROTOCOL = IpHost.PROTOCOL


class Ipv6Host(IpHost):
    """See the module's text. *probes*: addresses are probed (RFC 4862)."""

    def __init__(self, mtu: int = 1500, *, probes: bool = False) -> None:
        super().__init__(mtu)
        self.network.has_ipv6 = True
        self.network.interfaces["lo"].v6.start(0.0)
        self.network.detects_conflicts = probes
        # Neither solicitations of routers nor reports of groups: tests/trace/ip/test_autoconfigured_host.py has those.
        self.network.groups6.on_change.clear()
        self.eth0.v6.autoconfigured.accepts = False
        self.eth0.v6.start(0.0)
        self.eth0.add_address(US6, 64, 0.0)
        if not probes:
            self.link.sent.clear()

    @property
    def link_local(self) -> bytes:
        """Our link-local address, with its zone."""
        return self.eth0.v6.automatic[0][0]

    def zoned(self, what: bytes) -> bytes:
        return with_zone(what, self.eth0.zone)

    def receives6(self, datagram: bytes, now: float = 0.0, *, to: bytes = MAC, offload: Offload = NO_OFFLOAD) -> None:
        self.receives(to + PEER_MAC + b"\x86\xdd" + datagram, now, offload)

    def receives_message(
        self, message: bytes, source: bytes, destination: bytes, now: float = 0.0, *, hop_limit: int = 255
    ) -> None:
        """Take an ICMPv6 message, whose checksum is filled in."""
        to = b"\x33\x33" + destination[12:] if destination[0] == 0xFF else MAC
        whole = icmpv6(message, source, destination)
        self.receives6(datagram6(whole, source, destination, 58, hop_limit=hop_limit), now, to=to)

    def is_solicited(self, target: bytes, source: bytes, now: float = 0.0, mac: bytes = PEER_MAC) -> None:
        message = build_neighbor_solicitation(target, mac)
        self.receives_message(message, source, solicited_node(target), now)

    def is_advertised(
        self,
        target: bytes,
        now: float = 0.0,
        mac: bytes = PEER_MAC,
        *,
        solicited: bool = True,
        override: bool = True,
    ) -> None:
        told = NeighborAdvertisement(target, mac, False, solicited, override)
        self.receives_message(build_neighbor_advertisement(told), target, US6 if solicited else ALL_NODES, now)

    def resolve_peer6(self, now: float = 0.0) -> None:
        """Let the peer ask for us, so that it is known."""
        self.is_solicited(US6, PEER6, now)
        self.link.sent.clear()

    def sent6(self) -> list[dpkt.ip6.IP6]:
        """Return the IPv6 datagrams sent since the last look, as dpkt reads them."""
        frames = [frame for frame, _ in self.link.sent if frame[12:14] == b"\x86\xdd"]
        self.link.sent.clear()
        return [dpkt.ip6.IP6(frame[14:]) for frame in frames]

    def said6(self) -> list[str]:
        """Return a line for each message of ICMPv6 sent since the last look: type, source, destination, hop limit."""
        lines = []
        for ip in self.sent6():
            octets = bytes(ip.data)
            total = pseudo_header_sum(ip.src, ip.dst, 58, len(octets))
            assert checksum(octets, total) == 0, "the checksum is valid"
            lines.append(f"{octets[0]} {shown(ip.src)} > {shown(ip.dst)} hops {ip.hlim}")
        return lines


def shown(what: bytes) -> str:
    from ipaddress import IPv6Address

    return str(IPv6Address(what))


def icmpv6(message: bytes, source: bytes, destination: bytes) -> bytes:
    """Return *message* with its checksum."""
    value = checksum(message[:2] + b"\0\0" + message[4:], pseudo_header_sum(source, destination, 58, len(message)))
    return message[:2] + value.to_bytes(2, "big") + message[4:]


def datagram6(
    payload: bytes = b"payload!",
    source: bytes = PEER6,
    destination: bytes = US6,
    next_header: int = PROTOCOL,
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
) -> bytes:
    """Return an IPv6 datagram."""
    return (
        wire.header(source, destination, next_header, len(payload), hop_limit=hop_limit, traffic_class=traffic_class)
        + payload
    )


def options(next_header: int, body: bytes) -> bytes:
    """Return an options header with *body*, padded with PadN to whole units of eight octets."""
    short = -(2 + len(body)) % 8
    pad = b"" if not short else b"\0" if short == 1 else bytes((1, short - 2)) + bytes(short - 2)
    whole = body + pad
    return bytes((next_header, (2 + len(whole)) // 8 - 1)) + whole


def fragment(next_header: int, offset: int, *, more: bool, identification: int = 7) -> bytes:
    """Return a fragment header; *offset* in octets."""
    return wire.FRAGMENT_HEADER.pack(next_header, 0, offset | more, identification)
