"""The ring of recent frames of a link: what it keeps, how it is read, and that it costs nothing while it is off."""

from __future__ import annotations

import dpkt

from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.frame_history import KEPT
from schemefs.net.offload import NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from tests.support.ip_host import MemoryLink


def link_with(size: int) -> MemoryLink:
    link = MemoryLink()
    link.history.resize(size)
    return link


def frames(link: MemoryLink) -> list[tuple[bytes, int]]:
    return [(past.octets, past.length) for past in link.history.frames(link.network_offset)]


def test_the_first_octets_of_the_last_frames_are_kept() -> None:
    link = link_with(2000)
    for number in range(9):
        header, text = b"%d" % number + bytes(53), b"x" * 1000
        link.observe((header, memoryview(text)), NO_OFFLOAD, outgoing=bool(number % 2), now=float(number))
    kept = frames(link)
    assert [octets[:1] for octets, _ in kept] == [b"4", b"5", b"6", b"7", b"8"]
    assert {(len(octets), length) for octets, length in kept} == {(KEPT, 1054)}
    assert [(past.outgoing, past.now) for past in link.history.frames(link.network_offset)][:2] == [
        (False, 4),
        (True, 5),
    ]
    link.history.resize(KEPT + 128)
    assert [octets[:1] for octets, _ in frames(link)] == [b"8"]


def test_a_super_segment_is_read_as_on_the_wire() -> None:
    ip = dpkt.ip.IP(src=b"\x0a\0\2\2", dst=b"\x0a\0\2\x0f", p=6, len=40 + 2500)
    segment = bytearray(bytes(dpkt.tcp.TCP(sport=1, dport=2, seq=100, flags=0x18, sum=0)))
    segment[16:18] = pseudo_header_sum(ip.src, ip.dst, 6, 20 + 2500).to_bytes(2, "big")
    header = bytes(12) + b"\x08\0" + ip.pack_hdr() + segment
    link = link_with(1000)
    link.observe((header, b"x" * 2500), Offload(NEEDS_CHECKSUM, 1, 54, 1000, 34, 16), outgoing=True, now=1.0)
    found = frames(link)
    assert [(len(octets), length) for octets, length in found] == [(KEPT, 1054), (54, 1054), (54, 554)]
    assert [int.from_bytes(octets[38:42], "big") for octets, _ in found] == [100, 1100, 2100]
    assert found[0][0][54:] == b"x" * 202


def test_off_it_leaves_no_observer_and_keeps_nothing() -> None:
    link = link_with(1000)
    assert len(link.observers) == 1
    link.observe((bytes(60),), NO_OFFLOAD, outgoing=True, now=1.0)
    link.history.resize(0)
    assert (link.observers, frames(link)) == ([], [])


def test_a_history_alone_cuts_no_frame_and_an_observer_sees_pieces_beside_it() -> None:
    link = link_with(10_000)
    seen: list[bytes] = []
    link.observers.append(lambda chunks, _offload, _outgoing, _now: seen.append(b"".join(chunks)))
    link.observe((bytes(60),), NO_OFFLOAD, outgoing=True, now=1.0)
    assert (seen, len(frames(link))) == ([bytes(60)], 1)
