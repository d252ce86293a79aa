"""A router between two networks, frame by frame: RFC 1812 §5.2 and §5.3. dpkt is the oracle of every datagram."""

from __future__ import annotations

import dpkt
import pytest

from schemefs.net.checksum import ones_complement_sum
from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import GSO_ECN, GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload, split
from schemes.ip.fragmentation import fragments
from tests.support.ip_host import MAC, PEER, IpHost, MemoryLink, address, datagram

FAR = address("10.1.0.2")
FAR_MAC = bytes.fromhex("0a0000000012")
BEYOND = address("10.7.0.9")


class Router(IpHost):
    """eth0 is 10.0.2.15/24 as ever, eth1 is 10.1.0.1/24 with 10.1.0.2 known on it."""

    def __init__(self, mtu: int = 1500, *, known: bool = True) -> None:
        super().__init__()
        self.far = MemoryLink("eth1", mtu=mtu)
        self.eth1 = self.network.attach(self.far, 0.0)
        self.eth1.add_address(address("10.1.0.1"), 24, 0.0)
        self.network.set_forwarding(True, 0.0)
        if known:
            self.eth1.add_neighbor(FAR, FAR_MAC, 0.0)
        self.far.sent.clear()

    def passed(self) -> list[dpkt.ip.IP]:
        """What left on eth1, as dpkt reads it; every header checksum is right."""
        found = []
        for frame, _ in self.far.sent:
            ethernet = dpkt.ethernet.Ethernet(frame)
            octets = bytes(ethernet.data)
            assert (ethernet.dst, ethernet.src) == (FAR_MAC, MAC)
            assert dpkt.in_cksum(octets[: (octets[0] & 15) * 4]) == 0
            found.append(dpkt.ip.IP(octets))
        self.far.sent.clear()
        return found


def through(payload: bytes = b"payload!", **fields: int | bytes) -> bytes:
    return datagram(payload, PEER, **{"destination": FAR, **fields})


def test_a_datagram_goes_through_with_one_hop_less_and_nothing_else_changed() -> None:
    router = Router()
    for ttl in (2, 64, 255):
        router.receives_datagram(through(ttl=ttl, tos=0xB8, df=1))
        (ip,) = router.passed()
        assert (ip.ttl, ip.tos, ip.id, ip.src, ip.dst, ip.data) == (ttl - 1, 0xB8, 7, PEER, FAR, b"payload!")
    counters = router.network.counters
    assert (counters.in_forwarded, counters.out_forwarded, counters.in_delivers) == (3, 3, 0)


def test_every_header_checksum_comes_out_right() -> None:
    """The incremental update meets all values of the checksum, also those next to the end-around carry."""
    router = Router()
    for identification in range(0, 65536, 13):
        router.receives_datagram(through(id=identification))
    assert len(router.passed()) == len(range(0, 65536, 13))


def test_forwarding_is_off_by_default() -> None:
    router = Router()
    router.network.set_forwarding(False, 0.0)
    router.receives_datagram(through())
    assert router.passed() == []
    assert router.dropped == {"not_ours": 1}


def test_a_local_address_of_the_other_interface_is_delivered() -> None:
    router = Router()
    router.receives_datagram(datagram(destination=address("10.1.0.1")))
    assert [received[1] for received in router.transport.received] == [address("10.1.0.1")]


@pytest.mark.parametrize("ttl", [0, 1])
def test_an_expired_hop_limit_is_reported(ttl: int) -> None:
    router = Router()
    router.receives_datagram(through(ttl=ttl))
    assert router.passed() == []
    assert router.reports.reported == [ErrorReason.HOP_LIMIT_EXCEEDED]
    assert router.dropped == {"hop_limit_exceeded": 1}


def test_no_route_is_reported() -> None:
    router = Router()
    router.network.routes.remove(bytes(4), 0)
    router.receives_datagram(datagram(destination=BEYOND))
    assert router.reports.reported == [ErrorReason.NO_ROUTE]
    assert router.dropped == {"no_route": 1}


def test_a_gateway_is_the_next_hop() -> None:
    router = Router()
    router.network.routes.add(address("10.7.0.0"), 16, via=FAR)
    router.receives_datagram(datagram(destination=BEYOND))
    assert [ip.dst for ip in router.passed()] == [BEYOND]


def test_too_large_with_df_is_answered_with_the_mtu_of_the_next_link() -> None:
    router = Router(mtu=1280)
    told: list[int] = []
    report = router.reports.report_error

    def report_error(reason: ErrorReason, datagram: memoryview, now: float, *, mtu: int = 0) -> None:
        told.append(mtu)
        report(reason, datagram, now)

    router.reports.report_error = report_error  # type: ignore[method-assign]
    router.receives_datagram(through(bytes(1261), df=1))
    assert router.reports.reported == [ErrorReason.TOO_BIG]
    assert told == [1280]
    router.receives_datagram(through(bytes(1260), df=1))
    assert len(router.passed()) == 1
    assert router.dropped == {"larger_than_mtu": 1}


def test_too_large_without_df_is_cut() -> None:
    router = Router(mtu=1280)
    router.receives_datagram(through(bytes(range(256)) * 5))
    first, second = router.passed()
    assert (len(bytes(first)), first.offset, first.mf, second.offset, second.mf) == (1276, 0, 1, 157, 0)
    assert first.data + second.data == bytes(range(256)) * 5
    assert {first.id, second.id} == {7}
    assert router.network.counters.fragments_created == 2


def test_a_fragment_is_cut_again_and_options_go_where_they_belong() -> None:
    options = b"\x07\x07\x04\0\0\0\0" + b"\x94\x04\0\0" + b"\0"  # record route: first only; router alert: all
    whole = datagram(bytes(200), opts=options, mf=1, offset=80)
    pieces = [dpkt.ip.IP(bytes(piece)) for piece in fragments(whole, 100)]
    assert pieces[0].opts == options
    assert {piece.opts for piece in pieces[1:]} == {b"\x94\x04\0\0"}
    assert all(piece.mf for piece in pieces)
    assert [piece.offset for piece in pieces] == [80, 80 + 64 // 8, 80 + (64 + 72) // 8]
    assert all(len(bytes(piece)) <= 100 for piece in pieces)
    assert b"".join(piece.data for piece in pieces) == bytes(200)


def super_segment(size: int, gso_size: int, ecn: int = 0) -> tuple[bytes, Offload]:
    """Return a datagram with TCP in it whose checksum field has the pseudo-header's sum, and what is left to do."""
    tcp = bytearray(bytes(dpkt.tcp.TCP(sport=1, dport=2, seq=1, sum=0))[:20])
    pseudo = PEER + FAR + b"\0\6" + (20 + size).to_bytes(2, "big")
    tcp[16:18] = ones_complement_sum(pseudo).to_bytes(2, "big")
    octets = through(bytes(tcp) + bytes(size), p=6, df=1)
    return octets, Offload(NEEDS_CHECKSUM, GSO_TCPV4 | ecn, 14 + 40, gso_size, 14 + 20, 16)


def test_a_super_segment_goes_through_whole_and_its_ecn_bit_is_masked() -> None:
    router = Router()
    octets, offload = super_segment(20_000, 1460, GSO_ECN)
    router.receives_datagram(octets, offload=offload)
    ((frame, left),) = router.far.sent
    assert left == offload._replace(gso_type=GSO_TCPV4)
    pieces = [dpkt.ip.IP(bytes(piece[14:])) for piece in split((frame,), left, 14)]
    assert sum(len(piece.data.data) for piece in pieces) == 20_000
    for piece in pieces:
        seen = piece.data.sum
        piece.data.sum = piece.sum = 0
        assert dpkt.ip.IP(bytes(piece)).data.sum == seen


def test_the_segments_of_a_super_segment_must_fit_and_the_quote_is_finished() -> None:
    router = Router(mtu=1280)
    octets, offload = super_segment(20_000, 1460)
    router.receives_datagram(octets, offload=offload)
    assert router.far.sent == []
    assert router.reports.reported == [ErrorReason.TOO_BIG]
    quoted = dpkt.ip.IP(router.reports.quoted[0])
    assert (quoted.len, len(quoted.data.data)) == (1500, 1460)
    octets, offload = super_segment(20_000, 1240)
    router.receives_datagram(octets, offload=offload)
    assert len(router.far.sent) == 1


def test_a_partial_checksum_that_is_cut_into_fragments_is_completed() -> None:
    router = Router(mtu=576)
    udp = bytearray(bytes(dpkt.udp.UDP(sport=1, dport=2, ulen=1008, sum=0)))
    udp[6:8] = ones_complement_sum(PEER + FAR + b"\0\x11" + (1008).to_bytes(2, "big")).to_bytes(2, "big")
    octets = through(bytes(udp) + b"x" * 1000, p=17)
    router.receives_datagram(octets, offload=Offload(NEEDS_CHECKSUM, checksum_start=34, checksum_offset=6))
    first, second = router.passed()
    whole = dpkt.ip.IP(src=PEER, dst=FAR, p=17, data=dpkt.udp.UDP(sport=1, dport=2, ulen=1008, data=b"x" * 1000))
    assert bytes(first)[20:] + bytes(second)[20:] == bytes(whole)[20:]


def test_a_silent_next_hop_is_host_unreachable_after_three_seconds() -> None:
    router = Router(known=False)
    router.receives_datagram(through(), now=0.0)
    assert [frame[12:14] for frame, _ in router.far.sent] == [b"\x08\x06"]
    router.until(3.0)
    assert router.reports.reported == [ErrorReason.HOST_UNREACHABLE]
    assert dpkt.ip.IP(router.reports.quoted[0]).src == PEER
    assert not router.transport.errors


@pytest.mark.parametrize(
    "what",
    [
        {"destination": address("169.254.1.1")},
        {"source": address("169.254.1.1")},
        {"source": bytes(4)},
        {"destination": address("250.1.1.1")},
        {"destination": address("0.1.1.1")},
    ],
)
def test_a_datagram_that_is_not_forwardable_is_dropped(what: dict[str, bytes]) -> None:
    router = Router()
    router.receives_datagram(datagram(**{"destination": FAR, **what}))
    assert router.passed() == []
    assert not router.reports.reported
    assert sum(router.dropped.values()) == 1


def test_a_datagram_in_a_broadcast_frame_is_not_forwarded() -> None:
    router = Router()
    router.receives_datagram(through(), to=b"\xff" * 6)
    assert router.passed() == []
    assert router.dropped == {"not_forwardable": 1}


def test_source_routes_and_bad_options_go_nowhere() -> None:
    router = Router()
    router.receives_datagram(through(opts=b"\x83\x07\x04\x0a\x01\x00\x02\x00"))
    router.receives_datagram(through(opts=b"\x07\x01\x00\x00"))
    assert router.passed() == []
    assert router.dropped == {"source_route": 1, "bad_options": 1}


def test_a_full_link_drops_and_counts() -> None:
    router = Router()
    router.far.room = 0
    router.receives_datagram(through())
    assert router.dropped == {"full_link": 1}


def test_a_change_of_routes_is_followed_at_once() -> None:
    router = Router()
    router.receives_datagram(through())
    assert len(router.passed()) == 1
    router.eth1.set_up(False, 1.0)
    router.receives_datagram(through(), now=1.0)
    assert router.passed() == []


def test_nothing_is_kept_of_the_borrowed_frame() -> None:
    router = Router()
    octets = bytearray(bytes(dpkt.ethernet.Ethernet(dst=MAC, src=FAR_MAC, type=0x0800, data=through(b"as it was"))))
    router.link.receive(memoryview(octets), NO_OFFLOAD, 0.0)
    octets[:] = bytes(len(octets))
    assert router.passed()[0].data == b"as it was"
