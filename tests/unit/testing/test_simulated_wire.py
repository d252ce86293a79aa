"""The simulated wire itself: frames meet the impairments it was given, and the same seed gives the same frames."""

from __future__ import annotations

import random
from struct import pack

import dpkt

from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemefs.testing.wire import SimulatedWire, WireImpairment, run
from schemefs.timers import Timers

US, PEER = b"\x0a\0\2\x0f", b"\x0a\0\2\2"


def carried(impairment: WireImpairment, frames: int, seed: int = 1) -> list[tuple[float, bytes]]:
    timers = Timers()
    wire = SimulatedWire(timers, random.Random(seed), impairment)
    got: list[tuple[float, bytes]] = []
    wire.right.receive = lambda frame, _offload, now: got.append((now, bytes(frame)))
    for number in range(frames):
        assert wire.left.send((pack(">I", number), bytes(96)), NO_OFFLOAD, 0.0)
    run(timers, until=100.0)
    return got


def test_without_impairment_frames_arrive_in_order_after_the_delay() -> None:
    got = carried(WireImpairment(delay=0.25), 10)
    assert [frame[:4] for _, frame in got] == [pack(">I", number) for number in range(10)]
    assert {now for now, _ in got} == {0.25}


def test_loss_duplication_and_corruption_are_about_as_frequent_as_said() -> None:
    assert 600 < len(carried(WireImpairment(loss=0.3), 1000)) < 800
    assert 1200 < len(carried(WireImpairment(duplication=0.3), 1000)) < 1400
    damaged = [frame for _, frame in carried(WireImpairment(corruption=0.3), 1000) if any(frame[4:])]
    assert 200 < len(damaged) < 400


def test_no_copy_is_damaged_twice() -> None:
    """Two bits turned may cancel out in a sum of sixteen; one never does."""
    storm = WireImpairment(corruption=1.0, duplication=1.0, late_copy=1.0, late_copy_within=0.1)
    sent = {bytes(frame) for _, frame in carried(WireImpairment(), 100)}
    damage = [
        min(sum((one ^ other).bit_count() for one, other in zip(frame, good, strict=True)) for good in sent)
        for _, frame in carried(storm, 100)
    ]
    assert len(damage) == 300
    assert max(damage) == 1


def test_reordering() -> None:
    numbers = [frame for _, frame in carried(WireImpairment(reordering=0.2, detour=0.1), 100)]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == sorted(frame for _, frame in carried(WireImpairment(), 100))


def test_a_rate_spaces_frames_and_a_full_queue_loses_them() -> None:
    got = carried(WireImpairment(rate=1000.0, delay=0.0, queue=10_000), 10)
    assert [round(now, 6) for now, _ in got] == [round(0.1 * number, 6) for number in range(1, 11)]
    assert len(carried(WireImpairment(rate=1000.0, queue=5), 100)) == 6


def test_the_same_seed_gives_the_same_frames() -> None:
    storm = WireImpairment(loss=0.1, duplication=0.1, corruption=0.1, reordering=0.1, jitter=0.01)
    assert carried(storm, 200, seed=7) == carried(storm, 200, seed=7)
    assert carried(storm, 200, seed=7) != carried(storm, 200, seed=8)


def test_a_super_segment_goes_in_finished_pieces() -> None:
    payload = bytes(i & 255 for i in range(2500))
    tcp = bytearray(dpkt.tcp.TCP(sport=1, dport=2, seq=1000, flags=dpkt.tcp.TH_ACK).pack_hdr())
    tcp[16:18] = pseudo_header_sum(US, PEER, 6, 20 + len(payload)).to_bytes(2, "big")
    ip = dpkt.ip.IP(src=US, dst=PEER, p=6, len=40 + len(payload)).pack_hdr()
    timers = Timers()
    wire = SimulatedWire(timers, random.Random(1))
    got: list[bytes] = []
    wire.right.receive = lambda frame, _offload, _now: got.append(bytes(frame))
    wire.left.send((ip + tcp, payload), Offload(NEEDS_CHECKSUM, GSO_TCPV4, 40, 1000, 20, 16), 0.0)
    run(timers, until=1.0)
    segments = [dpkt.ip.IP(frame) for frame in got]
    assert [len(ip.data.data) for ip in segments] == [1000, 1000, 500]
    assert [ip.data.seq for ip in segments] == [1000, 2000, 3000]
    for ip in segments:
        said, ip.data.sum, ip.sum = ip.data.sum, 0, 0
        assert dpkt.ip.IP(bytes(ip)).data.sum == said
