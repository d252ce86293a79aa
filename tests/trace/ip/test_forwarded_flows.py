"""A router that observes the TCP connections it forwards, and one that does not: segment by segment."""

from __future__ import annotations

import sys
from types import FrameType

import dpkt
import pytest
from test_forwarding import FAR, Router, through

from schemefs.net.offload import GSO_TCPV4, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemes.ip import forwarded_flows
from schemes.ip.forwarding import Ipv4Forwarder
from tests.support.ip_host import MAC, PEER, PEER_MAC, datagram

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Between(Router):
    """Client 10.0.2.2:5000 on eth0, server 10.1.0.2:80 on eth1."""

    def __init__(self) -> None:
        super().__init__()
        self.eth0.add_neighbor(PEER, PEER_MAC, 0.0)
        self.network.observe_flows(True, 0.0)

    def client(self, now: float, flags: int, sequence: int, data: bytes = b"", port: int = 5000) -> None:
        self.receives_datagram(through(_segment(port, 80, flags, sequence, data), p=6), now)

    def server(self, now: float, flags: int, sequence: int, data: bytes = b"", port: int = 5000) -> None:
        segment = _segment(80, port, flags, sequence, data)
        self.far.receive(memoryview(_frame(datagram(segment, FAR, PEER, p=6))), NO_OFFLOAD, now)

    def shakes_hands(self, port: int = 5000) -> None:
        """As seen in the middle of 40 ms."""
        self.client(1.00, SYN, 100, port=port)
        self.server(1.02, SYN | ACK, 500, port=port)
        self.client(1.04, ACK, 101, port=port)

    @property
    def lines(self) -> list[dict[str, str]]:
        flows = self.network.flows
        assert flows is not None
        return [dict(word.split("=") for word in line.split()) for line in flows]


def _segment(source: int, destination: int, flags: int, sequence: int, data: bytes) -> bytes:
    return bytes(dpkt.tcp.TCP(sport=source, dport=destination, seq=sequence, flags=flags, data=data))


def _frame(octets: bytes) -> bytes:
    return MAC + bytes(6) + b"\x08\0" + octets


def client_frame(flags: int, sequence: int, data: bytes) -> memoryview:
    """Return a frame from the client's port 5000 to the server's port 80."""
    return memoryview(_frame(through(_segment(5000, 80, flags, sequence, data), p=6, df=1)))


def values(line: dict[str, str], direction: str) -> list[int]:
    return [int(line[f"{direction}_{name}"]) for name in ("segments", "octets", "retransmitted", "out_of_order")]


def test_a_connection_from_syn_to_fin() -> None:
    router = Between()
    router.shakes_hands()
    router.client(1.05, PSH | ACK, 101, b"request")
    router.server(1.07, PSH | ACK, 501, b"a" * 1000)
    router.server(1.07, FIN | ACK, 1501, b"")
    router.client(1.09, FIN | ACK, 108)
    router.server(1.5, ACK, 1502)
    [line] = router.lines
    assert line | {} == {
        "client": "10.0.2.2:5000", "server": "10.1.0.2:80", "state": "closed", "seconds": "0.500000",
        "round_trip": "0.040000", "sent_segments": "4", "sent_octets": "7", "sent_retransmitted": "0",
        "sent_out_of_order": "0", "received_segments": "4", "received_octets": "1000", "received_retransmitted": "0",
        "received_out_of_order": "0",
    }  # fmt: skip


def test_what_was_lost_behind_the_router_passes_again() -> None:
    router = Between()
    router.shakes_hands()
    for now in (1.1, 1.3, 1.7):
        router.client(now, PSH | ACK, 101, b"request")
    assert values(router.lines[0], "sent") == [5, 21, 2, 0]


def test_what_was_lost_before_the_router_fills_a_gap_a_round_trip_later() -> None:
    router = Between()
    router.shakes_hands()
    router.server(1.1, ACK, 501, b"a" * 100)
    router.server(1.1, ACK, 701, b"a" * 100)
    router.server(1.145, ACK, 601, b"a" * 100)
    assert values(router.lines[0], "received") == [4, 300, 1, 0]


def test_what_was_overtaken_fills_a_gap_sooner() -> None:
    router = Between()
    router.shakes_hands()
    router.server(1.1, ACK, 501, b"a" * 100)
    router.server(1.1, ACK, 701, b"a" * 100)
    router.server(1.11, ACK, 601, b"a" * 100)
    assert values(router.lines[0], "received") == [4, 300, 0, 1]


def test_a_syn_that_nothing_answers_is_sent_again() -> None:
    router = Between()
    for now in (1.0, 2.0, 4.0):
        router.client(now, SYN, 100)
    [line] = router.lines
    assert (line["state"], line["seconds"], values(line, "sent")) == ("unanswered", "3.000000", [3, 0, 2, 0])
    assert "round_trip" not in line


def test_the_round_trip_after_a_lost_synack_is_that_of_the_last() -> None:
    router = Between()
    router.client(1.0, SYN, 100)
    router.server(1.02, SYN | ACK, 500)
    router.client(2.0, SYN, 100)
    router.server(2.02, SYN | ACK, 500)
    router.client(2.04, ACK, 101)
    [line] = router.lines
    assert (line["round_trip"], line["state"]) == ("0.040000", "open")
    assert (values(line, "sent"), values(line, "received")) == ([3, 0, 1, 0], [2, 0, 1, 0])


def test_a_refusal_is_a_reset() -> None:
    router = Between()
    router.client(1.0, SYN, 100)
    router.server(1.02, RST | ACK, 0)
    assert router.lines[0]["state"] == "reset"


def test_a_port_used_again_is_another_connection() -> None:
    router = Between()
    router.client(1.0, SYN, 100)
    router.server(1.02, RST | ACK, 0)
    router.client(2.0, SYN, 7000)
    assert [line["state"] for line in router.lines] == ["reset", "unanswered"]


def test_a_connection_that_began_before_has_its_first_sender_as_client() -> None:
    router = Between()
    router.server(1.0, ACK, 501, b"a" * 10)
    router.client(1.1, ACK, 101)
    [line] = router.lines
    assert (line["client"], line["server"], line["state"]) == ("10.1.0.2:80", "10.0.2.2:5000", "open")


def test_a_super_segment_counts_as_on_a_wire() -> None:
    router = Between()
    router.shakes_hands()
    frame = client_frame(ACK, 101, bytes(2500))
    offload = Offload(NEEDS_CHECKSUM, GSO_TCPV4, 14 + 40, 1000, 14 + 20, 16)
    for now in (1.1, 1.2):
        router.link.receive(frame, offload, now)
    assert values(router.lines[0], "sent") == [8, 5000, 3, 0]


def test_other_datagrams_and_fragments_are_no_connections() -> None:
    router = Between()
    router.receives_datagram(through(b"12345678", p=17))
    router.receives_datagram(through(b"short", p=6))
    router.receives_datagram(through(_segment(1, 2, ACK, 3, b""), p=6, mf=1))
    router.receives_datagram(through(_segment(1, 2, ACK, 3, b""), p=6, offset=64))
    assert router.lines == []


def test_the_connections_have_a_bound() -> None:
    router = Between()
    assert router.network.flows is not None
    router.network.flows.most = 2
    for port in (1, 2, 3, 3):
        router.client(1.0, SYN, 100, port=port)
    lines = list(router.network.flows)
    assert [line.split()[0] for line in lines] == ["client=10.0.2.2:1", "client=10.0.2.2:2", "#"]
    assert lines[2] == "# not kept: 2 segments of more connections"


def test_without_an_observer_the_forwarder_is_the_plain_one() -> None:
    """No test, call or attribute of the observer lies on the way of a datagram then."""
    router = Between()
    router.network.observe_flows(False, 0.0)
    assert type(router.network.forwarder) is Ipv4Forwarder
    assert router.network.forwarder.enabled
    assert router.network.flows is None
    router.client(1.0, SYN, 100)
    assert len(router.passed()) == 1


def test_what_is_forwarded_is_the_same_with_an_observer() -> None:
    plain, observing = Between(), Between()
    plain.network.observe_flows(False, 0.0)
    for router in (plain, observing):
        router.shakes_hands()
        router.client(1.1, ACK, 101, b"a" * 100)
    assert [bytes(frame) for frame, _ in plain.far.sent] == [bytes(frame) for frame, _ in observing.far.sent]
    assert len(plain.far.sent) == 3


@pytest.mark.plain("counts calls of Python")
@pytest.mark.parametrize(("observes", "expected"), [(False, []), (True, ["forward", "datagram_passes"])])
def test_the_observer_costs_two_calls_for_a_datagram_and_none_while_it_is_off(
    observes: bool, expected: list[str]
) -> None:
    router = Between()
    router.network.observe_flows(observes, 0.0)
    router.shakes_hands()
    frame = client_frame(ACK, 101, b"a" * 100)
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename == forwarded_flows.__file__:
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        router.link.receive(frame, NO_OFFLOAD, 2.0)
    finally:
        sys.setprofile(None)
    assert called == expected
