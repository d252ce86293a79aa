"""Where the time of a connection goes: one cause at any moment, and the seconds add up to the age."""

from __future__ import annotations

import pytest

from schemefs.net.frame_fields import TCP, FrameFields
from schemefs.net.recent_drops import DroppedFrame
from schemes.tcp import wire
from schemes.tcp.sequence import WIRE
from tests.support.tcp_trace import PEER, PEER_PORT, US, Trace, established


def spent(tcp: Trace, now: float) -> dict[str, float]:
    parts = tcp.connection.time_spent(now)
    return {part.cause: pytest.approx(part.seconds, abs=1e-9) for part in parts}


def reasons(tcp: Trace, now: float) -> dict[str, str]:
    return {part.cause: part.reason for part in tcp.connection.time_spent(now) if part.reason}


def test_a_handshake_then_whose_turn_it_is() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=0.1)
    tcp.write(bytes(100), now=0.3)  # until here the program has given nothing, then text is in flight
    tcp.receives(". 1:1(0) ack 101", now=0.4)
    assert spent(tcp, 1.0) == {"handshake": 0.1, "writer": 0.3, "idle": 0.6}
    tcp.receives("P. 1:11(10) ack 101", now=1.0)
    assert spent(tcp, 1.5) == {"handshake": 0.1, "writer": 0.3, "idle": 0.6, "reader": 0.5}
    tcp.read(now=1.5)
    assert spent(tcp, 1.7) == {"handshake": 0.1, "writer": 0.5, "idle": 0.6, "reader": 0.5}


def test_text_that_is_to_go_on_is_the_peers_turn() -> None:
    tcp = established(mss=1000)
    tcp.receives(". 1:1001(1000) ack 1", now=1.0)
    tcp.read(now=1.0)
    before = {part.cause: part.seconds for part in tcp.connection.time_spent(1.0)}
    after = spent(tcp, 1.5)
    assert after["idle"] == before.get("idle", 0.0) + 0.5


def test_a_lost_syn_costs_its_time_out_and_the_round_trip_after_it() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.until(1.0)
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=1.02)
    assert spent(tcp, 1.02) == {"rto": 1.02}
    assert reasons(tcp, 2.0) == {"rto": "SYN lost, sent again after the time-out of 1 s"}


def test_what_waits_for_the_next_hop_is_not_lost() -> None:
    tcp = Trace()
    tcp.connect()
    tcp.network.waited = 0.5
    assert spent(tcp, 0.6) == {"handshake": 0.1, "path_wait": 0.5}
    tcp.network.waited = 0.4
    tcp.until(1.0)
    assert spent(tcp, 1.2) == {"rto": 0.3, "path_wait": 0.9}
    tcp.connection.abort(1.3)
    tcp.network.waited = 5.0
    assert spent(tcp, 9.0) == {"rto": 0.4, "path_wait": 0.9}


def test_what_keeps_text_from_leaving() -> None:
    tcp = established(mss=1000, win=4000, cwnd=2000)
    tcp.write(bytes(5500), now=1.0)  # the congestion window
    tcp.receives(". ack 2001 win 1000", now=1.1)  # the peer's window
    tcp.connection.congestion.cwnd = 9000
    tcp.receives(". ack 3001 win 9000", now=1.3)
    tcp.write(bytes(100), now=1.3)  # Nagle: 500 octets are in flight
    tcp.receives(". ack 5501 win 9000", now=1.34)
    tcp.network.room = 0
    tcp.write(bytes(5000), now=1.34)  # no room on the link
    parts = spent(tcp, 1.44)
    want = {"congestion_window": 0.1, "peer_window": 0.2, "delayed_ack": 0.04}
    assert {cause: parts[cause] for cause in want} == want
    assert sum(part.seconds for part in tcp.connection.time_spent(1.44)) == pytest.approx(1.44)


def test_a_time_out_of_text_names_the_segment() -> None:
    tcp = established(mss=1000, cwnd=10_000)
    tcp.write(bytes(2000), now=1.0)
    rto = tcp.connection.rtt.rto
    tcp.until(1.0 + rto)
    tcp.receives(". ack 2001", now=1.1 + rto)
    assert spent(tcp, 1.1 + rto)["rto"] == rto + 0.1
    assert reasons(tcp, 9.0) == {"rto": f"segment 1:2001 lost, sent again after the time-out of {rto:g} s"}


def test_a_loss_that_sack_shows_is_recovery_until_it_is_over() -> None:
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    tcp.write(bytes(5000), now=1.0)
    tcp.receives(". ack 1 sack 1001:5001", now=1.1)
    tcp.receives(". ack 5001", now=1.25)
    assert spent(tcp, 1.3)["recovery"] == 0.15
    assert reasons(tcp, 1.3) == {"recovery": "segment 1:1001 lost, shown by SACK"}


def test_it_ends_with_the_connection() -> None:
    tcp = established()
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.receives(". 1:1(0) ack 2", now=1.1)
    tcp.connection.close(1.5)
    tcp.receives("F. 1:1(0) ack 2", now=1.7)
    parts = spent(tcp, 60.0)
    assert parts["closing"] == 0.2
    assert sum(part.seconds for part in tcp.connection.time_spent(60.0)) == pytest.approx(1.7)


def dropped(ports: tuple[int, int], flags: int, sequence: int, acknowledgment: int, payload: int) -> DroppedFrame:
    ends = (US, PEER) if ports[1] == PEER_PORT else (PEER, US)
    fields = FrameFields(TCP, "tcp", *ends, *ports, 0, flags, sequence & WIRE, acknowledgment & WIRE, payload)
    return DroppedFrame(fields, 2, "impair rule 2 of eth0, `drop tcp data 2`")


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_loss_names_the_rule_that_has_taken_the_segment_or_its_ack(direction: str) -> None:
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    tcp.write(bytes(5000), now=1.0)
    start, rto = tcp.connection.snd.iss + 1, tcp.connection.rtt.rto
    ours = tcp.connection.ports
    other = dropped(ours, wire.ACK, start + 1000, 1, 1000)  # another segment
    taken = dropped(ours, wire.ACK, start, 1, 1000)
    if direction == "in":
        taken = dropped((ours[1], ours[0]), wire.ACK, 1, start + 5000, 0)
        tcp.network.dropped = [taken]
    else:
        tcp.network.dropped = [other, taken]
    tcp.until(1.0 + rto)
    lost = "segment 1:5001" if direction == "out" else "ACK"
    again = f"sent again after the time-out of {rto:g} s"
    assert reasons(tcp, 9.0) == {"rto": f"{lost} lost (impair rule 2 of eth0, `drop tcp data 2`), {again}"}
