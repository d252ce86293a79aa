"""Impairments in virtual time, from literal seeds: the fate of each frame, when it is passed on, and the counters."""

from __future__ import annotations

import math
from itertools import pairwise

import dpkt

from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemefs.net.splitmix64 import SplitMix64
from tests.support.impaired_ends import TwoEnds
from tests.support.ip_host import MAC, PEER_MAC


class Numbered(TwoEnds):
    """Frames of an unknown type, with numbers."""

    def sends(self, count: int, now: float = 0.0, size: int = 100) -> None:
        for number in range(count):
            assert self.impaired.send((frame(number, size),), NO_OFFLOAD, now)

    def sent(self) -> list[int]:
        return [int.from_bytes(octets[14:18], "big") for octets, _ in self.link.sent]


def frame(number: int, size: int = 100) -> bytes:
    return (MAC + PEER_MAC + b"\x88\xb5" + number.to_bytes(4, "big")).ljust(size, b".")


def test_splitmix64_gives_the_published_numbers():
    """The first numbers for seed 1234567, as the reference implementation in C prints them."""
    numbers = SplitMix64(1234567)
    assert [numbers._next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_one_frame_in_a_hundred_is_lost_and_the_same_ones_with_the_same_seed():
    survivors = []
    for seed in (7, 7, 8):
        ends = Numbered(f"loss 1% seed {seed}")
        ends.sends(10_000)
        survivors.append(ends.sent())
        assert ends.counts()["dropped_lost"] == 10_000 - len(survivors[-1])
    assert survivors[0] == survivors[1] != survivors[2]
    assert 9_860 < len(survivors[0]) < 9_940


def test_bursts_lose_the_same_share_but_in_a_row():
    ends = Numbered("loss 10% burst 5 seed 1")
    ends.sends(20_000)
    sent = ends.sent()
    lost = 20_000 - len(sent)
    assert 0.08 < lost / 20_000 < 0.12
    gaps = sum(later - earlier > 1 for earlier, later in pairwise(sent))
    assert 4.0 < lost / gaps < 6.0


def test_everything_is_lost_with_100_percent():
    ends = Numbered("loss 100% seed 1")
    ends.sends(100)
    assert ends.sent() == []


def test_the_directions_lose_different_frames():
    ends = Numbered("loss 50% seed 3")
    for number in range(64):
        ends.impaired.send((frame(number),), NO_OFFLOAD, 0.0)
        ends.link.receive(memoryview(frame(number)), NO_OFFLOAD, 0.0)
    arrived = [int.from_bytes(octets[14:18], "big") for _, octets in ends.arrived]
    assert arrived
    assert arrived != ends.sent()


def test_a_delayed_frame_is_passed_on_at_its_time_and_not_before():
    ends = Numbered("delay 20ms")
    ends.sends(1, now=1.0)
    ends.until(1.0199)
    assert ends.sent() == []
    assert ends.counts()["held"] == 1
    ends.until(1.0201)
    assert ends.sent() == [0]
    assert ends.timers.next_deadline() == math.inf


def test_jitter_varies_the_delay_and_keeps_the_order():
    ends = Numbered("delay 20ms jitter 15ms direction in seed 3")
    for number in range(50):
        ends.link.receive(memoryview(frame(number)), NO_OFFLOAD, number * 0.001)
    ends.until(1.0)
    assert [octets for _, octets in ends.arrived] == [frame(number) for number in range(50)]
    delays = [now - number * 0.001 for number, (now, _) in enumerate(ends.arrived)]
    assert all(0.0049 < delay < 0.0351 for delay in delays)
    assert max(delays) - min(delays) > 0.01


def test_reordering_changes_the_order_and_loses_nothing():
    ends = Numbered("reorder 10% detour 3ms seed 1")
    for number in range(100):
        now = number * 0.001
        ends.until(now)
        ends.impaired.send((frame(number),), NO_OFFLOAD, now)
    ends.until(1.0)
    assert sorted(ends.sent()) == list(range(100)) != ends.sent()
    late = [number for index, number in enumerate(ends.sent()) if number < max(ends.sent()[: index + 1])]
    assert len(late) == ends.counts()["reordered"] > 0


def test_a_duplicate_is_an_equal_frame():
    ends = Numbered("duplicate 100%")
    ends.sends(3)
    assert ends.sent() == [0, 0, 1, 1, 2, 2]


def test_corruption_turns_one_bit():
    ends = Numbered("corrupt 100% seed 9")
    ends.sends(20)
    for number, (octets, _) in enumerate(ends.link.sent):
        turned = int.from_bytes(octets, "big") ^ int.from_bytes(frame(number), "big")
        assert turned.bit_count() == 1


def test_a_rate_spaces_frames_and_a_full_queue_loses():
    ends = Numbered("rate 1mbit queue 5 direction out")
    ends.sends(8, size=125)  # 1 ms each
    assert ends.counts()["dropped_queue_full"] == 3
    for milliseconds in range(1, 6):
        ends.until(milliseconds * 0.001 + 1e-9)
        assert len(ends.sent()) == milliseconds
    ends.sends(1, now=0.0051, size=125)
    ends.until(0.0062)
    assert len(ends.sent()) == 6


def test_frames_larger_than_the_mtu_are_dropped():
    ends = Numbered("mtu 1280")
    ends.sends(1, size=14 + 1280)
    ends.sends(1, size=14 + 1281)
    assert len(ends.sent()) == 1
    assert ends.counts()["dropped_larger_than_mtu"] == 1


def test_a_black_hole_drops_icmp_and_nothing_else():
    ends = Numbered("blackhole icmp")
    for protocol in (1, 6):
        ip = dpkt.ip.IP(src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2", p=protocol, data=b"x" * 30)
        octets = bytes(dpkt.ethernet.Ethernet(dst=MAC, src=PEER_MAC, type=0x0800, data=ip))
        ends.impaired.send((octets,), NO_OFFLOAD, 0.0)
    ends.sends(1)
    assert ends.counts()["dropped_blackholed"] == 1
    assert len(ends.link.sent) == 2


def test_a_super_segment_is_cut_before_it_is_impaired():
    tcp = dpkt.tcp.TCP(sport=1, dport=2, seq=1, data=bytes(4000), sum=0)
    ip = dpkt.ip.IP(src=b"\x0a\0\0\1", dst=b"\x0a\0\0\2", p=6, len=4040)
    head = bytes(dpkt.ethernet.Ethernet(dst=MAC, src=PEER_MAC, type=0x0800)) + bytes(ip)[:20] + bytes(tcp)[:20]
    ends = Numbered("loss 50% seed 4")
    offload = Offload(NEEDS_CHECKSUM, GSO_TCPV4, 54, 1000, 34, 16)
    ends.impaired.send((head, bytes(4000)), offload, 0.0)
    assert ends.counts()["frames"] == 4
    assert 0 < len(ends.link.sent) < 4
    for octets, left in ends.link.sent:
        assert len(octets) == 1054
        assert left is NO_OFFLOAD


def test_a_full_link_delays_frames_and_loses_none():
    ends = Numbered("delay 1ms")
    ends.link.room = 2
    ends.sends(5)
    ends.until(0.01)
    assert ends.sent() == [0, 1]
    ends.link.room = 10
    ends.link.on_space(0.02)
    assert ends.sent() == [0, 1, 2, 3, 4]
    assert ends.space == [0.02]


def test_an_unimpaired_direction_bypasses_the_impairment():
    ends = Numbered("delay 1ms direction in")
    ends.link.room = 0
    assert not ends.impaired.send((frame(0),), NO_OFFLOAD, 0.0)
    ends = Numbered("delay 1ms direction out")
    ends.link.receive(memoryview(frame(1)), NO_OFFLOAD, 0.5)
    assert ends.arrived == [(0.5, frame(1))]


def test_after_removal_the_link_is_as_it_was_and_delayed_frames_have_arrived():
    ends = Numbered("delay 5s")
    before = ends.impaired.receive
    ends.sends(3)
    ends.link.receive(memoryview(frame(9)), NO_OFFLOAD, 0.0)
    ends.impaired.remove(1.0)
    assert ends.sent() == [0, 1, 2]
    assert ends.arrived == [(1.0, frame(9))]
    assert ends.link.receive is before
    assert ends.timers.next_deadline() == math.inf
