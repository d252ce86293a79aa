"""Requirements of RFC 9293 that no scenario of the other files shows: windows, PUSH, opening, time-outs, errors."""

from __future__ import annotations

import errno
import random

import pytest

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from schemefs.net.checksum import ones_complement_sum, pseudo_header_sum
from schemefs.net.offload import CHECKED
from schemes.tcp import reassembly, wire
from schemes.tcp.isn import TICKS_PER_SECOND, InitialSequenceNumbers
from schemes.tcp.settings import CHECKS
from schemes.tcp.user_timeout import USER_TIMEOUT
from tests.support.tcp_pair import LEFT, PORT, RIGHT, Pair
from tests.support.tcp_trace import OUR_PORT, PEER, PEER_PORT, US, Trace, accepted, established


def test_windows_are_unsigned() -> None:
    """§3.1 MUST-1."""
    tcp = established(mss=1000, win=40_000)
    tcp.write(bytes(60_000))
    assert sum(one.size or 0 for one in tcp.taken()) == 40_000
    tcp.receives(". ack 40001 win 65535", now=0.1)
    assert sum(one.size or 0 for one in tcp.taken()) == 20_000


def test_octets_beyond_a_shrunken_window_do_not_end_the_connection() -> None:
    """§3.8.6 SHLD-17, MUST-34: the peer answers, so the connection stays."""
    tcp = established(mss=1000, win=4000, user_timeout=100.0)
    tcp.write(bytes(4000))
    tcp.receives(". ack 1001 win 0", now=0.1)
    while tcp.now < 1000:
        tcp.until(tcp.timers.next_deadline())
        if any(one.size for one in tcp.taken()):
            tcp.receives(". ack 1001 win 0", now=tcp.now + 0.01)
    assert tcp.state == "ESTABLISHED"


@pytest.mark.parametrize("flags", ["R", "U"])
def test_reset_and_urgent_pointer_count_while_the_window_is_closed(flags: str) -> None:
    """§3.4 MUST-66."""
    tcp = accepted()
    connection = tcp.connection
    connection.receive_buffer.capacity = 1000
    seq = 1
    while connection.rcv.wnd:
        size = min(connection.rcv.wnd, 30_000)
        tcp.receives(f"{seq}:{seq + size}({size}) ack 1", now=tcp.now + 0.1)
        seq += size
    if flags == "R":
        tcp.receives(f"R {seq}:{seq}(0)", now=tcp.now + 0.1)
        assert tcp.state == "CLOSED"
        return
    octets = bytearray(bytes(20) + tcp.octets(f". {seq}:{seq + 1}(1) ack 1"))
    octets[33] |= wire.URG
    octets[39] = 1
    tcp.tcp.receive_datagram(PEER, US, memoryview(octets), 20, 0, 64, CHECKED, tcp.now)
    assert connection.status(tcp.now)["urgent"] == seq  # all that waits is before the pointer


def test_every_write_ends_in_push() -> None:
    """§3.9.1.2 MUST-60, MUST-61, SHLD-27: one PSH, on the last octet of what is queued."""
    tcp = established(mss=1000, win=2500)
    tcp.write(bytes(2000))
    tcp.write(bytes(3000))
    sent = list(tcp.taken())
    tcp.receives(". ack 2001 win 9000", now=0.1)
    sent += tcp.taken()
    assert [bool(one.flags & wire.PSH) for one in sent] == [True, True]
    assert [one.size for one in sent] == [2000, 3000]


def test_checksums_on_the_wire_are_right() -> None:
    """§3.1 MUST-2: judged on finished frames, as a peer would."""
    pair = Pair()
    seen = []
    pair.wire.watchers.append(lambda _link, frame, _now: seen.append(frame))
    client, server = pair.established()
    client.write(memoryview(random.Random(1).randbytes(50_001)), pair.now)
    server.shutdown(read=False, write=True, now=pair.now)
    pair.passes(1.0)
    segments = [frame for frame in seen if frame[9] == 6]
    assert len(segments) > 30
    for frame in segments:
        pseudo = pseudo_header_sum(frame[12:16], frame[16:20], 6, len(frame) - 20)
        assert ones_complement_sum(frame[20:], pseudo) == 0xFFFF


def test_initial_numbers_follow_a_clock_and_a_secret() -> None:
    """§3.4.1 MUST-8, MUST-9, SHLD-1; RFC 6528 §3."""
    ends, others = bytes(12), bytes(11) + b"\1"
    numbers, elsewhere = InitialSequenceNumbers(random.Random(1)), InitialSequenceNumbers(random.Random(2))
    first = numbers.choose(ends, 5.0)[0]
    assert numbers.choose(ends, 7.0)[0] == (first + 2 * TICKS_PER_SECOND) % 2**32
    assert abs(numbers.choose(others, 5.0)[0] - first) > 1000
    assert abs(elsewhere.choose(ends, 5.0)[0] - first) > 1000  # another secret gives another number


def test_a_reset_of_a_simultaneous_open_refuses_it() -> None:
    """§3.10.7.4 second step, MUST-11: SYN-RECEIVED by way of SYN-SENT doesn't return to LISTEN."""
    tcp = Trace()
    tcp.connect()
    tcp.receives("S 0:0(0) mss 1460", now=0.1)
    assert tcp.state == "SYN_RECEIVED"
    tcp.receives("R. 1:1(0) ack 1", now=0.2)
    assert tcp.fails()[0] == errno.ECONNREFUSED


def test_listeners_and_connections_share_a_port() -> None:
    """§3.9.1.1 MUST-41, MUST-42."""
    tcp = established()
    mine = tcp.tcp.listen(US, OUR_PORT)
    other = tcp.tcp.listen(packed("10.0.2.16") or b"", OUR_PORT)
    tcp.receives("P. 1:6(5) ack 1", now=0.1, payload=b"hello")
    assert tcp.read() == b"hello"
    tcp.ports = (PEER_PORT + 1, OUR_PORT)
    tcp.receives("S 0:0(0) mss 1460", now=0.2)
    assert (len(mine.opening), len(other.opening)) == (1, 0)
    with pytest.raises(SchemeError) as raised:
        tcp.tcp.listen(bytes(4), OUR_PORT)
    assert raised.value.errno == errno.EADDRINUSE


def test_listening_while_a_connection_of_that_port_is_opening() -> None:
    """§3.9.1.1 MUST-42: in SYN-SENT, and in SYN-RECEIVED."""
    tcp = Trace()
    tcp.connect()
    tcp.tcp.listen(US, OUR_PORT)
    assert tcp.state == "SYN_SENT"
    tcp.receives("S 0:0(0) mss 1460", now=0.1)
    assert tcp.state == "SYN_RECEIVED"
    other = tcp.tcp.listen(packed("10.0.2.16") or b"", OUR_PORT)
    assert not other.opening
    tcp.receives("S. 0:0(0) ack 1 mss 1460", now=0.2)
    assert tcp.state == "ESTABLISHED"


def test_the_local_address_is_chosen_or_asked_of_ip() -> None:
    """§3.9.1.1 MUST-43, MUST-44, MUST-45."""
    pair = Pair()
    pair.left.network.interfaces["left"].add_address(packed("10.0.2.99") or b"", 24, 0.0)  # type: ignore[attr-defined]
    assert pair.left.connect(RIGHT, PORT, 0.0).local.startswith("10.0.2.15:")
    named = pair.left.connect(RIGHT, PORT, 0.0, source=packed("10.0.2.99") or b"")
    sources = set()
    pair.wire.watchers.append(lambda _link, frame, _now: sources.add(frame[12:16]))
    pair.left.begin(named, 0.0)
    pair.passes(2.0)
    assert sources == {packed("10.0.2.99"), RIGHT}
    with pytest.raises(SchemeError) as raised:
        pair.left.connect(RIGHT, PORT, 0.0, source=packed("192.0.2.1") or b"")
    assert raised.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("address", ["10.0.2.255", "255.255.255.255", "224.0.0.1", "239.1.2.3"])
def test_nobody_connects_to_everybody(address: str) -> None:
    """§3.9.1.1 MUST-46. ENETUNREACH, as Linux."""
    pair = Pair()
    with pytest.raises(SchemeError) as raised:
        pair.left.connect(packed(address) or b"", 80, 0.0)
    assert raised.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize("address", ["10.0.2.255", "255.255.255.255", "224.0.0.1"])
def test_syns_from_everybody_are_dropped(address: str) -> None:
    """§3.9.2.3 MUST-63."""
    tcp = Trace()
    tcp.listen()
    octets = bytes(20) + tcp.octets("S 0:0(0) mss 1460")
    tcp.tcp.receive_datagram(packed(address) or b"", US, memoryview(octets), 20, 0, 64, CHECKED, 0.0)
    tcp.sends_nothing()
    assert not tcp.listener.opening
    assert tcp.tcp.statistics.dropped_broadcast == 1


def test_a_reset_with_text_is_a_reset() -> None:
    """§3.5.3 SHLD-2."""
    tcp = established()
    tcp.receives("R. 1:9(8) ack 1", now=0.1, payload=b"go away!")
    assert tcp.state == "CLOSED"
    assert tcp.fails()[0] == errno.ECONNRESET


@pytest.mark.parametrize("hop_limit", [1, 64, 255])
def test_the_hop_limit_can_be_set(hop_limit: int) -> None:
    """§3.9.2 MUST-49."""
    pair = Pair()
    seen = set()
    pair.listen()
    connection = pair.left.connect(RIGHT, PORT, 0.0)
    put = connection.settings["hop_limit"].set
    assert put is not None
    put(str(hop_limit))
    pair.wire.watchers.append(lambda _link, frame, _now: seen.add(frame[8]) if frame[12:16] == LEFT else None)
    pair.left.begin(connection, 0.0)
    pair.passes(1.0)
    assert seen == {hop_limit}


def test_the_diffserv_field_can_be_set_and_changed() -> None:
    """§3.9.1.9 MUST-48, SHLD-21, SHLD-22: in every segment from then on, and the header's checksum is right."""
    pair = Pair()
    pair.listen()
    connection = pair.left.connect(RIGHT, PORT, 0.0)
    put = connection.settings["dscp"].set
    assert put is not None
    put("46")
    seen: list[int] = []

    def watch(_link: object, frame: bytes, _now: float) -> None:
        if frame[12:16] == LEFT:
            seen.append(frame[1])
            assert ones_complement_sum(frame[:20], 0) == 0xFFFF

    pair.wire.watchers.append(watch)
    pair.left.begin(connection, 0.0)
    pair.passes(1.0)
    put("10")
    connection.write(memoryview(b"hello"), pair.now)
    pair.passes(1.0)
    assert seen == [46 << 2, 46 << 2, 10 << 2]
    assert connection.settings["dscp"].get() == "10"


def test_user_timeout_is_r2() -> None:
    """§3.8.3 MUST-21, SHLD-11."""
    assert USER_TIMEOUT >= 100
    tcp = established()
    put = tcp.connection.settings["user_timeout"].set
    assert put is not None
    put("7")
    tcp.write(b"x", now=1.0)
    tcp.until(7.9)
    assert tcp.state == "ESTABLISHED"
    tcp.until(15.0)
    assert tcp.fails()[0] == errno.ETIMEDOUT


def test_status_tells_of_retransmissions() -> None:
    """§3.8.3 SHLD-9, §3.9.1.8 MUST-47."""
    tcp = established()
    tcp.write(b"x", now=1.0)
    tcp.until(10.0)
    status = tcp.connection.status(10.0)
    assert (status["state"], status["retransmissions"], status["recovery"]) == ("ESTABLISHED", 5, "loss")


def test_status_tells_of_timers_and_of_what_came_out_of_order() -> None:
    tcp = established(options_text="sackOK", keepalive=30.0)
    tcp.until(1.0)
    tcp.receives("P. 1001:2001(1000) ack 1", now=1.0)
    tcp.receives("P. 3001:4001(1000) ack 1", now=1.0)
    tcp.write(b"x", now=1.0)
    status = tcp.connection.status(1.1)
    assert status["sack_blocks"] == "3001:4001 1001:2001"
    assert "retransmission:0.100" in str(status["timers"])
    assert "life:" in str(status["timers"])
    assert "delayed_ack" not in str(status["timers"])


def test_status_tells_what_the_peer_has_and_what_is_lost() -> None:
    tcp = established(mss=1000, options_text="sackOK", cwnd=10_000)
    tcp.write(bytes(5000), now=1.0)
    tcp.network.room = 0
    tcp.receives(". ack 1 sack 1001:5001", now=1.1)
    tcp.until(1.2)
    status = tcp.connection.status(1.2)
    assert (status["in_flight"], status["sacked"], status["lost"]) == (5000, 4000, 1000)


def test_keepalive_is_off_and_two_hours_when_no_time_is_said() -> None:
    """§3.8.4 MUST-25, MUST-28."""
    tcp = established()
    tcp.until(30 * 86400.0)
    tcp.sends_nothing()
    assert tcp.timers.pending == 0
    assert CHECKS["keepalive"]("") == 7200.0


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPROTO])
def test_soft_errors_do_not_end_a_connection(number: int) -> None:
    """§3.9.2.2 MUST-56: unreachable (0, 1, 5), time exceeded, parameter problem."""
    tcp = established()
    tcp.write(b"hello", now=0.0)
    tcp.icmp(number, hard=number == errno.EPROTO, seq=1, now=0.1)
    assert tcp.state == "ESTABLISHED"
    tcp.receives(". ack 6", now=0.2)
    assert tcp.connection.synced(0.2)


def test_out_of_order_pieces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that leaves a hole after every octet costs so much and no more."""
    tcp = established()
    for number in range(reassembly.MAX_BLOCKS + 50):
        seq = 3 + 2 * number
        tcp.receives(f"{seq}:{seq + 1}(1) ack 1", now=0.1)
    assert tcp.tcp.statistics.dropped_reassembly_full == 50
    assert tcp.connection.status(0.1)["out_of_order"] == reassembly.MAX_BLOCKS


def test_opening_says_why_not() -> None:
    """ENETUNREACH and EADDRINUSE before anything is sent."""
    tcp = established()
    with pytest.raises(SchemeError) as raised:
        tcp.connect()
    assert raised.value.errno == errno.EADDRINUSE
    assert "10.0.2.2:80" in raised.value.sentence
    tcp.network.failure = SchemeError(errno.ENETUNREACH, "no route to 10.0.2.2")
    with pytest.raises(SchemeError) as raised:
        tcp.connect()
    assert raised.value.errno == errno.ENETUNREACH
