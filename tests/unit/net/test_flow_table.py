"""Repeatable draws: the same seed loses the same packets of a flow, whatever differs between two runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from schemefs.net import flow_table
from tests.support.impaired_ends import ACK, FIN, PEER, SYN, US, TwoEnds, arp, icmp, ipv6, tcp, tcp_segment, udp

SEGMENTS = 400
MSS = 100
Frames = Iterable[bytes]


class Run:
    """One run of an experiment: its own initial sequence numbers and client ports."""

    def __init__(self, text: str, seed: int) -> None:
        self.ends = TwoEnds(text)
        self.random = random.Random(seed)
        self.isn = self.random.getrandbits(32)
        self.peer_isn = self.random.getrandbits(32)
        self.port = self.random.randrange(32768, 65536)

    def segment(self, flags: int, offset: int, payload: bytes = b"", ack: int = 1, service: int = 80) -> bytes:
        sequence = (self.isn + offset) % 2**32
        return tcp(flags, sequence, payload, (self.port, service), (self.peer_isn + ack) % 2**32)

    def opens(self) -> None:
        self.ends.out(self.segment(SYN, 0), self.segment(ACK, 1))

    def data(self, number: int) -> bytes:
        return self.segment(ACK, 1 + number * MSS, number.to_bytes(2, "big") * (MSS // 2))

    def sends(self, numbers: Iterable[int], between: Callable[[int], Frames] = lambda _number: ()) -> None:
        for number in numbers:
            self.ends.out(*between(number), self.data(number))

    def lost(self, numbers: Iterable[int] = range(SEGMENTS)) -> list[int]:
        sent = self.ends.sent_on()
        return [number for number in numbers if self.data(number) not in sent]


def noise(run: Run) -> Callable[[int], Frames]:
    """Return what another run has at other moments: ARP, pings, look-ups, another connection."""

    def between(number: int) -> Frames:
        if run.random.random() < 0.3:
            yield arp()
        if run.random.random() < 0.3:
            yield icmp(8, 0, number.to_bytes(4, "big"))
        if run.random.random() < 0.3:
            yield udp(b"?", (run.random.randrange(32768, 65536), 53))
        if run.random.random() < 0.5:
            yield run.segment(ACK, number, b"other service", service=22)

    return between


@pytest.mark.parametrize("text", ["loss 5% seed 7", "loss 10% burst 3 seed 7"])
def test_other_frames_shift_nothing(text: str) -> None:
    alone, disturbed = Run(text, 1), Run(text, 2)
    alone.opens()
    disturbed.ends.out(*[arp()] * 5, udp())
    disturbed.opens()
    alone.sends(range(SEGMENTS))
    disturbed.sends(range(SEGMENTS), noise(disturbed))
    assert alone.lost() == disturbed.lost() != []
    assert alone.isn != disturbed.isn


def test_retransmissions_at_other_moments_shift_nothing() -> None:
    """Each transmission of each segment has a fate of its own: the second run retransmits late, and other ACKs come."""
    early, late = Run("loss 20% seed 3", 1), Run("loss 20% seed 3", 2)
    transmissions: dict[Run, list[int]] = {}
    for run, distance in ((early, 1), (late, 60)):
        run.opens()
        transmissions[run] = []
        waiting: list[tuple[int, int]] = []  # (when it is due, number)
        for step in range(SEGMENTS + 10 * distance):
            due = [number for when, number in waiting if when <= step]
            waiting = [entry for entry in waiting if entry[0] > step]
            for number in [*([step] if step < SEGMENTS else ()), *due]:
                before = len(run.ends.link.sent)
                run.ends.out(run.data(number))
                if len(run.ends.link.sent) == before:
                    transmissions[run].append(number)
                    waiting.append((step + distance, number))
            run.ends.out(run.segment(ACK, 1 + step * MSS, ack=step))
    assert sorted(transmissions[early]) == sorted(transmissions[late])
    assert len(transmissions[early]) > 60
    assert len(set(transmissions[early])) < len(transmissions[early])


def test_an_acknowledgment_is_known_by_its_number() -> None:
    few, many = Run("loss 30% seed 1", 1), Run("loss 30% seed 1", 2)
    for run, every in ((few, 2), (many, 1)):
        run.opens()
        run.ends.out(*[run.segment(ACK, 1, ack=1 + number) for number in range(1, 401, every)])
    lost = [
        {number for number in range(1, 401, 2) if run.segment(ACK, 1, ack=1 + number) not in run.ends.sent_on()}
        for run in (few, many)
    ]
    assert lost[0] == lost[1]
    assert 40 < len(lost[0]) < 80


def test_a_short_segment_moves_what_is_lost_by_one_segment_at_most() -> None:
    """The second sender cuts the stream at another place once: all offsets after it are others."""
    lost: list[list[int]] = []
    for short in (MSS, MSS // 2):
        run = Run("loss 5% seed 7", short)
        run.opens()
        starts = [1 + number * MSS for number in range(700)]
        starts = starts[:5] + [start + short - MSS for start in starts[5:]]
        frames = [run.segment(ACK, start, bytes(end - start)) for start, end in pairwise(starts)]
        run.ends.out(*frames)
        arrived = set(run.ends.sent_on())
        lost.append([start for start, octets in zip(starts, frames, strict=False) if octets not in arrived])
    near = [start for start in lost[0] if any(abs(start - other) <= MSS for other in lost[1])]
    assert len(lost[0]) > 20
    assert len(near) >= 0.9 * len(lost[0])
    assert len(lost[1]) <= 1.1 * len(lost[0])


def test_sequence_numbers_may_wrap() -> None:
    runs = [Run("loss 10% seed 5", 1), Run("loss 10% seed 5", 2)]
    runs[0].isn, runs[1].isn = 2**32 - 3000, 17
    for run in runs:
        run.opens()
        run.sends(range(SEGMENTS))
    assert runs[0].lost() == runs[1].lost() != []


def connections(run: Run, count: int, service: int) -> list[bool]:
    """Return, for each of *count* connections from new ports, whether its SYN arrived."""
    arrived = []
    for _ in range(count):
        syn = tcp(SYN, run.random.getrandbits(32), b"", (run.random.randrange(32768, 65536), service))
        run.ends.out(syn)
        arrived.append(syn in run.ends.sent_on())
    return arrived


def test_the_connections_of_a_service_are_known_by_their_order() -> None:
    runs = [Run("loss 40% seed 9", 1), Run("loss 40% seed 9", 2)]
    connections(runs[1], 17, 443)  # of another service, in the second run only
    first, second = connections(runs[0], 50, 80), connections(runs[1], 50, 80)
    assert first == second
    assert 10 < sum(first) < 45


def test_services_at_dynamic_ports_are_known_by_the_order_of_all() -> None:
    runs = [Run("loss 40% seed 9", 1), Run("loss 40% seed 9", 2)]
    assert connections(runs[0], 50, 41234) == connections(runs[1], 50, 55001)


def test_the_directions_and_the_addresses_lose_different_packets() -> None:
    run = Run("loss 50% seed 3", 1)
    run.opens()
    run.sends(range(SEGMENTS))
    back = [tcp(ACK, 1 + number * MSS, b"b" * MSS, (80, run.port), ends=(PEER, US)) for number in range(SEGMENTS)]
    run.ends.into(*back)
    other = [
        tcp(ACK, 1 + number * MSS, b"c" * MSS, (run.port, 80), ends=(US, "10.9.3.2")) for number in range(SEGMENTS)
    ]
    run.ends.out(*other)
    lost = [
        run.lost(),
        [number for number, octets in enumerate(back) if octets not in run.ends.received()],
        [number for number, octets in enumerate(other) if octets not in run.ends.sent_on()],
    ]
    for one, another in ((0, 1), (0, 2), (1, 2)):
        common = len(set(lost[one]) & set(lost[another]))
        assert 60 < common < 140, "independent losses of one half have a quarter in common"


def test_a_random_interface_identifier_is_not_in_the_key() -> None:
    def lost(host: str) -> list[int]:
        ends = TwoEnds("loss 30% seed 2")
        frames = [ipv6(6, tcp_segment(ACK, n, b"x", (40000, 80), 0), host) for n in range(100)]
        ends.out(*frames)
        return [number for number, octets in enumerate(frames) if octets not in ends.sent_on()]

    assert lost("fd09:1::8d3f:11aa:7c02:55e1") == lost("fd09:1::1b77:a0a0:33c3:9e0f")
    assert lost("fd09:1::2") != lost("fd09:1::3")
    assert lost("fd09:1::5054:ff:fe12:3456") != lost("fd09:1::5054:ff:fe12:3457")


def test_a_word_more_changes_no_loss() -> None:
    runs = [Run(text, 1) for text in ("loss 5% seed 7", "loss 5% delay 0s corrupt 3% duplicate 9% seed 7")]
    for run in runs:
        run.opens()
        run.sends(range(SEGMENTS))
    assert runs[0].lost() == [n for n in runs[1].lost() if n in runs[0].lost()]
    assert runs[0].ends.counts()["dropped_lost"] == runs[1].ends.counts()["dropped_lost"]


def test_one_segment_of_each_flow_is_lost_as_often_as_said_in_bursts() -> None:
    ends = TwoEnds("loss 10% burst 5 seed 1")
    ends.out(*[udp(b"?", (40000 + number, 53)) for number in range(4000)])
    assert 0.08 < ends.counts()["dropped_lost"] / 4000 < 0.12


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "MOST_FLOWS", 10)
    monkeypatch.setattr(flow_table, "MOST_RETRANSMITTED", 10)
    ends = TwoEnds("loss 1% seed 1; drop syn 1")
    for port in range(100):
        ends.out(tcp(SYN, ports=(port + 1, 80)))
    table = ends.impaired._flows
    assert len(table._flows) == len(table._services) == 10
    ends.out(tcp(FIN | ACK, 5000, ports=(7, 80)))
    ends.out(*[tcp(ACK, number, b"x", ports=(7, 80)) for number in range(1000, 100, -1)])
    (state,) = [flow.directions["out"] for key, flow in table._flows.items() if key[3] == 7]
    assert len(state._retransmitted) == 10
