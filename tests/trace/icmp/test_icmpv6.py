"""ICMPv6: echo, errors to sockets, errors sent: RFC 4443; the classes of Linux's icmpv6_err_convert."""

from __future__ import annotations

import errno
import os
from random import Random

import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.addresses import presentation
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import UDP
from schemefs.net.offload import NO_OFFLOAD
from schemefs.scheme import Caller, SchemeContext
from schemes.icmp import IcmpScheme, wire6
from schemes.ip.raw import Filter, RawConversation
from schemes.udp import UdpScheme
from tests.support.ip_host import MAC, PEER_MAC, MemoryLink
from tests.support.ipv6_host import (
    ALL_NODES,
    LINK_LOCAL_PEER,
    OTHER6,
    PEER6,
    PROTOCOL,
    US6,
    Ipv6Host,
    datagram6,
    fragment,
    options,
    shown,
)

ROOT = Caller(0)
REQUEST = bytes((128, 0, 0, 0, 0, 7, 0, 1)) + b"payload"


class Host6(Ipv6Host):
    """With the schemes icmp and udp."""

    def __init__(self) -> None:
        super().__init__()
        context = SchemeContext(self.timers, Random(1), Config(), Names(), LogRings(lambda: 0.0))
        context.services["ip"] = self.network
        self.icmp, self.udp = IcmpScheme(context), UdpScheme(context)
        self.resolve_peer6()

    def dropped_icmp(self) -> dict[str, int]:
        return {name: count for name, count in self.icmp.engine.statistics().items() if name.startswith("dropped_")}

    def says(self) -> list[tuple[int, int, bytes]]:
        """Return type, code and the rest of each message sent."""
        return [(octets[0], octets[1], octets[4:]) for octets in (bytes(ip.data) for ip in self.sent6())]


def error(kind: int, code: int, word: int = 0, quoted: bytes | None = None) -> bytes:
    return bytes((kind, code, 0, 0)) + word.to_bytes(4, "big") + (quoted or b"")


def read(handle, now: float = 0.0) -> str:
    taken = handle.read(1 << 16, now)
    return bytes(taken or b"").decode()


def test_an_echo_request_is_answered() -> None:
    """RFC 4443 §4.2: the same identifier, sequence number and data, from the address that was asked."""
    host = Host6()
    host.receives_message(REQUEST, PEER6, US6, hop_limit=3)
    assert host.said6() == ["129 fd00::15 > fd00::2 hops 64"]
    host.receives_message(REQUEST, PEER6, US6)
    assert host.says() == [(129, 0, REQUEST[4:])]


def test_an_echo_request_to_a_group_is_answered_from_a_unicast_address() -> None:
    host = Host6()
    host.is_solicited(host.link_local[:2] + bytes(2) + host.link_local[4:], LINK_LOCAL_PEER)
    host.link.sent.clear()
    host.receives_message(REQUEST, LINK_LOCAL_PEER, ALL_NODES)
    own = shown(host.link_local[:2] + bytes(2) + host.link_local[4:])
    assert host.said6() == [f"129 {own} > fe80::2 hops 64"]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\x80\0\0\0", "truncated"),
        (bytes((200,)) + bytes(7), "unknown_type"),
        (bytes((100,)) + bytes(7), "unknown_type"),
        (error(1, 9, quoted=datagram6(bytes(8), US6, PEER6)), "unknown_code"),
        (error(1, 4, quoted=datagram6(bytes(8), US6, PEER6)[:47]), "bad_quote"),
        (error(1, 4, quoted=datagram6(bytes(8), PEER6, US6)), "quote_not_ours"),
        (
            error(1, 4, quoted=datagram6(fragment(UDP, 8, more=False) + bytes(8), US6, PEER6, 44)),
            "quote_of_fragment",
        ),
    ],
)
def test_what_can_not_be_used_is_counted_by_reason(octets: bytes, reason: str) -> None:
    host = Host6()
    host.receives_message(octets, PEER6, US6)
    assert host.dropped_icmp() == {f"dropped_{reason}": 1}


def test_a_wrong_checksum_is_dropped() -> None:
    """RFC 4443 §2.3; the pseudo-header is part of it."""
    host = Host6()
    host.receives6(datagram6(REQUEST, next_header=58))
    assert host.dropped_icmp() == {"dropped_bad_checksum": 1}


def test_a_ping_is_one_of_icmpv6() -> None:
    host = Host6()
    handle = host.icmp.lookup("ping", ROOT).lookup(f"[{shown(PEER6)}],count=1", ROOT).open(os.O_RDONLY, ROOT, 1.0)
    (request,) = host.sent6()
    octets = bytes(request.data)
    host.receives_message(b"\x81" + octets[1:], PEER6, US6, 1.25, hop_limit=61)
    lines = read(handle).splitlines()
    assert lines[0] == "PING fd00::2 (fd00::2) 56(104) bytes of data."
    assert lines[1] == "From fd00::2 icmp_seq=0 ttl=61 time=250.000ms"
    handle.close(2.0)


@pytest.mark.parametrize(
    ("kind", "code", "number", "hard", "reason", "text"),
    [
        (1, 0, errno.ENETUNREACH, False, ErrorReason.NO_ROUTE, "Destination unreachable: No route"),
        (1, 1, errno.EACCES, True, ErrorReason.PROHIBITED, "Destination unreachable: Administratively prohibited"),
        (1, 3, errno.EHOSTUNREACH, False, ErrorReason.HOST_UNREACHABLE, "Destination unreachable: Address unreachable"),
        (1, 4, errno.ECONNREFUSED, True, ErrorReason.PORT_UNREACHABLE, "Destination unreachable: Port unreachable"),
        (2, 0, errno.EMSGSIZE, False, ErrorReason.TOO_BIG, "Packet too big"),
        (2, 7, errno.EMSGSIZE, False, ErrorReason.TOO_BIG, "Packet too big"),
        (3, 0, errno.EHOSTUNREACH, False, ErrorReason.HOP_LIMIT_EXCEEDED, "Time exceeded: Hop limit"),
        (4, 1, errno.EPROTO, True, ErrorReason.PROTOCOL_UNREACHABLE, "Parameter problem: Unknown header"),
    ],
)
def test_an_error_reaches_the_transport_that_it_is_about(
    kind: int, code: int, number: int, hard: bool, reason: ErrorReason, text: str
) -> None:
    """RFC 4443 §2.4 (d), behind extension headers too."""
    host = Host6()
    quoted = datagram6(options(PROTOCOL, b"") + b"\x13\x88\x00\x09" + bytes(4), US6, PEER6, 60)
    host.receives_message(error(kind, code, 1400, quoted), PEER6, US6)
    (got,) = host.transport.errors
    assert (got.errno, got.hard, got.reason, got.text, got.protocol) == (number, hard, reason, text, PROTOCOL)
    assert (got.source, got.destination, got.reporter) == (US6, PEER6, PEER6)
    assert got.transport[:4] == b"\x13\x88\x00\x09"
    assert got.mtu == (1400 if kind == 2 else 0)


def test_a_closed_udp_port_fails_the_next_call() -> None:
    """RFC 4443 §3.1: ECONNREFUSED, as over IPv4; the quote's link-local addresses are of the error's zone."""
    host = Host6()
    for peer in (PEER6, LINK_LOCAL_PEER):
        zone = "%eth0" if peer is LINK_LOCAL_PEER else ""
        host.is_advertised(peer)
        handle = host.udp.open(f"[{shown(peer)}{zone}]:9", os.O_RDWR, ROOT, 0.0)
        handle.write(memoryview(b"x"), 0.0)
        if zone:
            host.is_advertised(peer)
        sent = host.link.sent[-1][0][14:]
        host.receives_message(error(1, 4, quoted=sent), peer, sent[8:24])
        with pytest.raises(Exception, match="Port unreachable") as caught:
            handle.read(10, 0.0)
        assert caught.value.errno == errno.ECONNREFUSED  # type: ignore[attr-defined]
        host.link.sent.clear()


def test_udp_without_a_checksum_is_refused() -> None:
    """RFC 8200 §8.1."""
    host = Host6()
    handle = host.udp.open(":53", os.O_RDWR, ROOT, 0.0)
    host.receives6(datagram6(b"\0\x09\0\x35\0\x0a\0\0hi", next_header=17))
    assert host.udp.udp.dropped["no_checksum"] == 1
    assert handle.read(10, 0.0) is None


def test_port_unreachable_is_sent_with_the_datagram_quoted_to_1280_octets() -> None:
    """RFC 4443 §2.4 (c), §3.1."""
    host = Host6()
    octets = datagram6(b"\0\x09\0\x35\x05\xa8\0\0" + bytes(1440), next_header=200)
    host.receives6(octets)
    ((kind, code, rest),) = host.says()
    assert (kind, code) == (wire6.PARAMETER_PROBLEM, 1)
    assert rest[:4] == (6).to_bytes(4, "big")  # the pointer: the next header field
    assert len(rest) == 1280 - 40 - 4
    assert octets.startswith(rest[4:])


@pytest.mark.parametrize(
    ("octets", "destination", "reason"),
    [
        (datagram6(bytes(8), next_header=200, destination=ALL_NODES), ALL_NODES, None),
        (datagram6(error(1, 4, quoted=bytes(48)), next_header=58), US6, "withheld_about_icmp_error"),
        (datagram6(bytes((137,)) + bytes(7), next_header=58), US6, "withheld_about_icmp_error"),
        (datagram6(REQUEST, next_header=58), US6, None),
    ],
)
def test_no_error_about_errors_and_groups(octets: bytes, destination: bytes, reason: str | None) -> None:
    """RFC 4443 §2.4 (e)."""
    host = Host6()
    host.icmp.engine.report_error(ErrorReason.PORT_UNREACHABLE, memoryview(octets), 0.0)
    sent = host.says()
    assert len(sent) == (reason is None and destination == US6)
    withheld = host.icmp.engine.error_sender.withheld
    assert reason is None or withheld[reason] == 1


def test_unknown_options_and_too_big_are_reported_to_groups_too() -> None:
    """RFC 4443 §2.4 (e.3)."""
    host = Host6()
    octets = datagram6(options(PROTOCOL, b"\x9e\0"), destination=ALL_NODES, next_header=60)
    host.receives6(octets, to=b"\x33\x33\0\0\0\x01")
    ((kind, code, rest),) = host.says()
    assert (kind, code, rest[:4]) == (4, 2, (42).to_bytes(4, "big"))


def test_errors_are_limited() -> None:
    """RFC 4443 §2.4 (f)."""
    host = Host6()
    for _ in range(50):
        host.receives6(datagram6(bytes(8), next_header=200))
    assert len(host.says()) == 6
    assert host.icmp.engine.error_sender.withheld["withheld_rate_limited"] == 44


def test_messages_of_the_other_family_are_unknown_protocols() -> None:
    host = Host6()
    host.receives6(datagram6(bytes((8, 0, 0xF7, 0xFF)) + bytes(4), next_header=1))
    host.receives_datagram(bytes.fromhex("4500001c0000000040" + "3a" + "0000" + "0a000202" + "0a00020f") + bytes(8))
    assert host.dropped == {"unknown_protocol": 2}


def test_a_ping_of_a_group_is_answered_after_the_first_source_is_gone() -> None:
    host = Host6()
    other = US6[:-1] + b"\x16"
    host.eth0.add_address(other, 64, 0.0)
    host.link.sent.clear()
    for _ in range(3):
        host.receives_message(REQUEST, PEER6, ALL_NODES)
        if host.eth0.has_address(US6):
            host.eth0.remove_address(US6, 64, 0.0)
    replies = [ip for ip in host.sent6() if bytes(ip.data)[0] == 129]
    assert [ip.src for ip in replies] == [US6, other]


def test_a_ping_that_a_full_link_refused_goes_on_when_it_has_room() -> None:
    host = Host6()
    host.icmp.open("ping/fd00::2,count=2", os.O_RDWR, ROOT, 0.0)
    host.link.sent.clear()
    host.link.room = 0
    host.timers.on_deadline(1.1)
    host.link.room = 9
    host.link.on_space(1.5)
    assert [kind for kind, _, _ in host.says()] == [128]


def test_a_closed_port_of_the_own_link_local_address_is_refused() -> None:
    """On lo, whose datagrams keep the zone of eth0 in their addresses."""
    host = Host6()
    closed = host.udp.open(f"[{presentation(host.link_local)}]:9", os.O_RDWR, ROOT, 0.0)
    closed.write(memoryview(b"x"), 0.0)
    while host.lo.queued:
        host.lo.pump(0.0)
    with pytest.raises(SchemeError) as raised:
        closed.read(1, 0.0)
    assert raised.value.errno == errno.ECONNREFUSED


def test_the_error_about_missing_fragments_goes_to_the_link_they_came_from() -> None:
    host = Host6()
    link = MemoryLink("eth1")
    host.network.attach(link, 0.0)
    own = host.link_local[:2] + bytes(2) + host.link_local[4:]
    first = fragment(PROTOCOL, 0, more=True) + bytes(64)
    host.is_solicited(own, LINK_LOCAL_PEER)
    host.receives6(datagram6(first, LINK_LOCAL_PEER, own, 44))
    other = MAC + PEER_MAC + b"\x86\xdd" + datagram6(source=PEER6, destination=OTHER6)
    link.receive(memoryview(other), NO_OFFLOAD, 1.0)
    host.link.sent.clear()
    link.sent.clear()
    host.network.ipv6.reassembly._on_timer(60.0)
    assert [(kind, code) for kind, code, _ in host.says()] == [(3, 1)]
    assert not link.sent


def test_a_raw_reader_on_lo_sees_addresses_as_on_a_wire() -> None:
    host = Host6()
    ours = host.link_local
    readers = [RawConversation(host.network, 58, Filter(source)) for source in (b"", ours)]
    host.icmp.open(f"ping/{presentation(ours)},count=1", os.O_RDWR, ROOT, 0.0)
    while host.lo.queued:
        host.lo.pump(0.0)
    for reader in readers:
        octets = reader.read(2000, 0.0)
        assert octets is not None
        assert bytes(octets)[8:40] == 2 * (ours[:2] + bytes(2) + ours[4:])
