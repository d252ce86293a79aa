"""Text both ways: super-segments, Nagle, delayed ACKs, reassembly (RFC 9293 §3.7.4, §3.8.6.3, §3.10.7.4)."""

from __future__ import annotations

import pytest

from schemes.tcp.control_block import QUICK_ACKS
from tests.support.tcp_trace import Trace, accepted, established

WRAP = pytest.mark.parametrize(("iss", "irs"), [(0, 0), (2**32 - 1, 2**32 - 1), (2**32 - 2000, 2**31 - 2000)])


@WRAP
def test_a_write_goes_out_as_one_super_segment(iss: int, irs: int) -> None:
    tcp = established(mss=1000, iss=iss, irs=irs)
    assert tcp.write(bytes(4000)) == 4000
    tcp.sends("P. 1:4001(4000) ack 1 gso 1000")
    assert not tcp.connection.synced(0.0)
    tcp.receives(". ack 4001", now=0.1)
    assert tcp.connection.synced(0.1)
    assert len(tcp.connection.send_buffer) == 0


def test_a_super_segment_is_at_most_64_kib_of_whole_segments() -> None:
    tcp = established(mss=1000, win=65535, options_text="wscale 7")
    tcp.connection.snd.wnd = 1 << 20
    tcp.write(bytes(100_000))
    tcp.sends("1:65001(65000) gso 1000", "P. 65001:100001(35000) gso 1000")


def test_without_super_segments_every_segment_goes_by_itself() -> None:
    tcp = Trace()
    tcp.network.gso_max = 0
    tcp.connect()
    tcp.receives("S. 0:0(0) ack 1 mss 1000")
    list(tcp.taken())
    tcp.write(bytes(2500))
    tcp.sends("1:1001(1000) gso 0", "1001:2001(1000) gso 0", "P. 2001:2501(500) gso 0")


def test_octets_arrive_as_written() -> None:
    tcp = established(mss=1000)
    for part in (b"a", b"bc" * 3000, b"d", b"e" * 5000):
        tcp.connection.nodelay = True
        tcp.write(part)
    sent = b"".join(one.payload for one in tcp.taken())
    assert sent == b"a" + b"bc" * 3000 + b"d" + b"e" * 5000


def test_nagle_holds_a_short_segment_while_another_is_in_flight() -> None:
    """§3.7.4, with Minshall's refinement."""
    tcp = established(mss=1000)
    tcp.write(b"first")
    tcp.sends("P. 1:6(5)")
    tcp.write(b"second")
    tcp.write(b"third")
    tcp.sends_nothing()
    tcp.receives(". ack 6", now=0.1)
    tcp.sends("P. 6:17(11)")


def test_nagle_lets_whole_segments_go() -> None:
    tcp = established(mss=1000)
    tcp.write(b"first")
    list(tcp.taken())
    tcp.write(bytes(1500))
    tcp.sends("6:1006(1000)")
    tcp.receives(". ack 1006", now=0.1)
    tcp.sends("P. 1006:1506(500)")


def test_the_short_tail_of_a_long_write_does_not_wait() -> None:
    tcp = established(mss=1000)
    tcp.write(bytes(2500))
    tcp.sends("P. 1:2501(2500) gso 1000")


def test_nodelay_sends_at_once() -> None:
    tcp = established(mss=1000)
    put = tcp.connection.settings["nodelay"].set
    assert put is not None
    put("1")
    tcp.write(b"first")
    tcp.write(b"second")
    tcp.sends("P. 1:6(5)", "P. 6:12(6)")


def test_turning_nodelay_on_sends_what_was_held_back() -> None:
    tcp = established(mss=1000)
    tcp.write(b"first")
    tcp.write(b"second")
    list(tcp.taken())
    put = tcp.connection.settings["nodelay"].set
    assert put is not None
    put("1")
    tcp.until(0.0)
    tcp.sends("P. 6:12(6)")


def test_single_octets_are_not_single_chunks() -> None:
    tcp = established(mss=1000)
    tcp.write(b"x")
    for _ in range(1000):
        tcp.write(b"y")
    tcp.receives(". ack 2", now=0.1)
    _, second = tcp.taken()
    assert second.size == 1000  # the harness checks that no segment has more than 64 chunks


def test_text_in_order_is_acknowledged_within_40_ms() -> None:
    """§3.8.6.3: a delayed ACK."""
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0, payload=b"hello")
    tcp.sends_nothing()
    tcp.until(1.039)
    tcp.sends_nothing()
    tcp.until(1.040)
    tcp.sends(". 1:1(0) ack 6")
    assert tcp.read() == b"hello"
    tcp.sends_nothing()


def test_the_first_acks_of_a_connection_are_not_delayed() -> None:
    """As on Linux; until an answer shows that both take turns."""
    tcp = established()
    tcp.connection.quick_acks = QUICK_ACKS
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.sends(". ack 6")
    tcp.receives("P. 6:11(5) ack 1", now=1.1)
    tcp.sends(". ack 11")
    tcp.burst("P. 11:16(5) ack 1", "P. 16:21(5) ack 1", now=1.2)
    tcp.sends(". ack 21")
    tcp.connection.delayed_ack.clear()
    tcp.connection.quick_acks = 1
    for number in range(2):
        tcp.receives(f"P. {21 + number}:{22 + number}(1) ack 1", now=1.3)
    tcp.sends(". ack 22")
    tcp.until(1.34)
    tcp.sends(". ack 23")


def test_an_answer_carries_the_ack() -> None:
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    tcp.write(b"answer", now=1.01)
    tcp.sends("P. 1:7(6) ack 6")
    tcp.receives(". ack 7", now=1.02)
    tcp.until(2.0)
    tcp.sends_nothing()


def test_every_second_full_segment_is_acknowledged() -> None:
    """RFC 9293 §3.8.6.3, RFC 5681 §4.2."""
    tcp = established(mss=1000)
    tcp.receives("1:1001(1000) ack 1", now=1.0)
    tcp.sends_nothing()
    tcp.receives("1001:2001(1000) ack 1", now=1.001)
    tcp.sends(". ack 2001")


def test_a_burst_is_acknowledged_once() -> None:
    tcp = established(mss=1000)
    tcp.burst(*(f"{1 + 1000 * i}:{1001 + 1000 * i}(1000) ack 1" for i in range(10)), now=1.0)
    tcp.sends(". ack 10001")


def test_a_super_segment_is_acknowledged_at_once() -> None:
    tcp = established(mss=1000)
    tcp.receives("1:30001(30000) ack 1", gso=1000, now=1.0)
    tcp.sends(". ack 30001")


@WRAP
def test_out_of_order_segments_are_kept_and_acknowledged_at_once(iss: int, irs: int) -> None:
    """§3.10.7.4 seventh step; RFC 5681 §4.2: a duplicate ACK for each."""
    tcp = established(iss=iss, irs=irs)
    tcp.receives("11:21(10) ack 1", payload=b"b" * 10, now=1.0)
    tcp.sends(". ack 1")
    tcp.receives("31:41(10) ack 1", payload=b"d" * 10, now=1.0)
    tcp.sends(". ack 1")
    assert tcp.read() is None
    tcp.receives("1:11(10) ack 1", payload=b"a" * 10, now=1.0)
    tcp.sends(". ack 21")
    tcp.receives("21:31(10) ack 1", payload=b"c" * 10, now=1.0)
    tcp.sends(". ack 41")
    assert tcp.read() == b"a" * 10 + b"b" * 10 + b"c" * 10 + b"d" * 10
    assert tcp.connection.reassembly.size == 0


def test_sack_blocks_newest_first() -> None:
    """RFC 2018 §4."""
    tcp = established(options_text="sackOK")
    tcp.receives("101:201(100) ack 1", now=1.0)
    tcp.sends(". ack 1 sack 101:201")
    tcp.receives("301:401(100) ack 1", now=1.0)
    tcp.sends(". ack 1 sack 301:401,101:201")
    tcp.receives("401:501(100) ack 1", now=1.0)
    tcp.sends(". ack 1 sack 301:501,101:201")
    tcp.receives("1:101(100) ack 1", now=1.0)
    tcp.sends(". ack 201 sack 301:501")


def test_sack_with_timestamps_has_room_for_three() -> None:
    tcp = established(options_text="sackOK ts 1:0")
    for left in (101, 301, 501, 701):
        tcp.receives(f"{left}:{left + 100}(100) ack 1 ts 2:0", now=1.0)
    *_, last = tcp.taken()
    assert last.sack == ((701, 801), (501, 601), (301, 401))
    assert last.ts == (1000, 1)


def test_a_duplicate_is_reported_by_dsack() -> None:
    """RFC 2883 §4: the first block is what came twice."""
    tcp = established(options_text="sackOK")
    tcp.receives("1:101(100) ack 1", now=1.0)
    tcp.until(2.0)
    list(tcp.taken())
    tcp.receives("1:101(100) ack 1", now=2.0)
    tcp.sends(". ack 101 sack 1:101")
    tcp.receives("51:151(100) ack 1", now=2.0)
    tcp.sends(". ack 151 sack 51:101")


def test_a_duplicate_of_what_waits_out_of_order_is_reported_within_its_block() -> None:
    """RFC 2883 §4.3: above the ACK, the second block is the one that the duplicate lies in."""
    tcp = established(options_text="sackOK")
    tcp.receives("301:401(100) ack 1", now=1.0)
    tcp.receives("101:201(100) ack 1", now=1.0)
    tcp.receives("201:301(100) ack 1", now=1.0)
    list(tcp.taken())
    tcp.receives("201:301(100) ack 1", now=1.0)
    tcp.sends(". ack 1 sack 201:301,101:401")
    tcp.receives("401:501(100) ack 1", now=1.0)
    tcp.sends(". ack 1 sack 101:501")


def test_what_is_dropped_for_its_timestamp_is_not_reported_as_having_come() -> None:
    """A SACK block, DSACK or not, is a promise to have the octets (RFC 2018 §3); only old ones were had."""
    tcp = established(options_text="sackOK ts 1000:0")
    tcp.receives("1:101(100) ack 1 ts 1010:0", now=1.0)
    tcp.until(2.0)
    list(tcp.taken())
    tcp.receives("201:301(100) ack 1 ts 1005:0", now=2.0)
    tcp.sends(". ack 101 nosack")
    assert not tcp.connection.reassembly
    tcp.receives("51:151(100) ack 1 ts 1005:0", now=2.0)
    tcp.sends(". ack 101 sack 51:101")


def test_what_lies_beyond_the_window_is_not_reported_as_having_come() -> None:
    tcp = established(options_text="sackOK")
    edge = tcp.connection.rcv.edge - tcp.irs
    tcp.receives(f"{edge + 100}:{edge + 200}(100) ack 1", now=1.0)
    tcp.sends(". ack 1 nosack")


def test_overlapping_text_is_taken_once() -> None:
    tcp = established()
    tcp.receives("1:6(5) ack 1", payload=b"hello", now=1.0)
    tcp.receives("4:12(8) ack 1", payload=b"lo world", now=1.0)
    assert tcp.read() == b"hello world"


def test_text_beyond_the_window_is_not_taken() -> None:
    tcp = established()
    edge = tcp.connection.rcv.edge - tcp.irs
    tcp.receives(f"{edge}:{edge + 10}(10) ack 1", now=1.0)
    tcp.sends(". ack 1")
    tcp.receives(f"{edge + 5000}:{edge + 5010}(10) ack 1", now=1.0)
    tcp.sends(". ack 1")
    assert not tcp.connection.reassembly


def test_urgent_data_stays_in_line() -> None:
    """RFC 6093: urgent octets are part of the stream; the pointer only marks where they end (test_tcp_urgent)."""
    tcp = accepted()
    octets = bytearray(bytes(20) + tcp.octets("P. 1:4(3) ack 1", b"!ab"))
    octets[20 + 13] |= 0x20
    octets[20 + 19] = 1
    from schemefs.net.offload import CHECKED

    tcp.tcp.receive_datagram(b"\x0a\0\2\2", b"\x0a\0\2\x0f", memoryview(octets), 20, 0, 64, CHECKED, 1.0)
    assert tcp.read() == b"!ab"


def test_paws_drops_an_old_duplicate() -> None:
    """RFC 7323 §5.3 R1."""
    tcp = established(options_text="ts 1000:0")
    tcp.receives("1:6(5) ack 1 ts 1010:0", now=1.0)
    tcp.until(2.0)
    list(tcp.taken())
    tcp.receives("6:11(5) ack 1 ts 1005:0", now=2.0)
    tcp.sends(". ack 6 ts 2000:1010")
    assert tcp.tcp.statistics.dropped_old_timestamp == 1
    assert tcp.tcp.statistics.dropped_out_of_window == 0
    assert set(tcp.tcp.statistics.samples.summaries()) == {"old_timestamp"}
    tcp.receives("6:11(5) ack 1 ts 1020:0", now=2.0)
    assert len(tcp.read() or b"") == 10


def test_a_segment_without_the_agreed_timestamp_is_taken() -> None:
    """As on Linux; RFC 7323 §3.2 would drop it. Our segments go on having it, and TS.Recent stays."""
    tcp = established(options_text="ts 1000:0")
    tcp.receives("P. 1:6(5) ack 1", now=1.0)
    assert len(tcp.read() or b"") == 5
    tcp.until(1.1)
    tcp.sends(". ack 6 ts 1000:1000")
    tcp.write(b"answer", now=2.0)
    tcp.sends("P. 1:7(6) ack 6 ts 2000:1000")
    tcp.receives(". ack 7", now=2.1)
    assert tcp.connection.snd.una == tcp.connection.snd.nxt
    tcp.receives("P. 6:11(5) ack 7 ts 999:0", now=3.0)  # PAWS holds for those that have it
    assert tcp.tcp.statistics.dropped_old_timestamp == 1


@pytest.mark.parametrize("size", [0, 1])
def test_a_keepalive_without_the_agreed_timestamp_is_answered(size: int) -> None:
    """Windows sends such ones: with one octet or with none."""
    tcp = established(options_text="ts 1000:0")
    tcp.follows = False
    tcp.receives(f". 0:{size}({size}) ack 1", now=7200.0)
    tcp.sends(". 1:1(0) ack 1 ts 7200000:1000")


@pytest.mark.parametrize("text", [". 1:1(0) ack 1", "P. 1:6(5) ack 1", "F. 1:1(0) ack 1"])
def test_the_last_ack_of_a_handshake_needs_no_timestamp(text: str) -> None:
    tcp = Trace()
    tcp.listen()
    tcp.receives("S 0:0(0) mss 1460 ts 1000:0")
    tcp.receives(text, now=0.1)
    assert tcp.listener.pending() == 1
    connection = tcp.listener.accept(0.2)
    assert connection is not None
    assert connection.timestamps_on
    assert connection.receive_buffer.size == (5 if "P" in text else 0)


def test_ts_recent_is_of_the_segment_that_the_ack_is_for() -> None:
    """RFC 7323 §4.3: not of a later one out of order."""
    tcp = established(options_text="ts 1000:0")
    tcp.receives("11:21(10) ack 1 ts 1050:0", now=1.0)
    tcp.sends(". ack 1 ts 1000:1000")
    tcp.receives("1:11(10) ack 1 ts 1040:0", now=1.0)
    tcp.sends(". ack 21 ts 1000:1040")


def test_segment_size_leaves_room_for_timestamps() -> None:
    """RFC 6691, RFC 7323 appendix A."""
    tcp = established(mss=1460, options_text="ts 1:0")
    tcp.write(bytes(3000))
    tcp.sends("1:3001(3000) gso 1448")


def test_the_mss_follows_the_path_mtu() -> None:
    """RFC 1191 §6.4: what didn't fit goes again, smaller, and the congestion window stays."""
    tcp = established(mss=1460)
    tcp.write(bytes(2920))
    list(tcp.taken())
    before = tcp.connection.congestion.cwnd
    tcp.network.mtu = 1040
    import errno

    tcp.icmp(errno.EMSGSIZE, hard=False, seq=1, now=0.05)
    tcp.sends("P. 1:2921(2920) gso 1000")
    assert tcp.connection.congestion.cwnd == before


def test_round_trip_by_the_clock_and_never_of_what_was_sent_twice() -> None:
    """RFC 6298 §3 (Karn)."""
    tcp = established()
    tcp.write(b"x", now=1.0)
    tcp.receives(". ack 2", now=1.1)
    assert tcp.connection.rtt.latest == pytest.approx(0.1)
    tcp.write(b"y", now=2.0)
    tcp.until(8.0)
    tcp.receives(". ack 3", now=8.1)
    assert tcp.connection.rtt.latest == pytest.approx(0.1)


def pausing(**attributes: float) -> Trace:
    tcp = established(mss=1000, options_text="wscale 7", **attributes)
    tcp.receives(". ack 1 win 65535")
    tcp.connection.congestion.cwnd = 1 << 20
    tcp.tcp.write_pause = 100e-6
    return tcp


def test_short_writes_after_each_other_wait_a_moment_for_more() -> None:
    tcp = pausing()
    tcp.write(bytes(3000), now=0.1)
    tcp.sends("1:3001(3000) gso 1000")
    tcp.receives(". ack 3001 win 65535", now=0.10002)
    tcp.write(bytes(3000), now=0.10003)
    tcp.write(bytes(2000), now=0.10004)
    tcp.receives(". ack 3001 win 65535", now=0.10005)
    tcp.sends_nothing()
    tcp.until(0.10013)
    tcp.sends("3001:8001(5000) gso 1000")
    tcp.write(bytes(1000), now=0.2)
    tcp.sends("8001:9001(1000)")


def test_a_full_super_segment_and_the_fin_end_that_wait() -> None:
    tcp = pausing()
    tcp.write(bytes(1000), now=0.1)
    tcp.write(bytes(tcp.connection.max_payload + 1000), now=0.10002)
    tcp.sends("1:1001(1000)", "1001:66001(65000) gso 1000")
    tcp.connection.shutdown(read=False, write=True, now=0.10003)
    tcp.sends("FP. 66001:67001(1000)")


def test_an_answer_ends_that_wait_and_nodelay_has_none() -> None:
    """A request that follows the answer to the one before is sent at once."""
    tcp = pausing()
    tcp.write(bytes(1000), now=0.1)
    tcp.receives("P. 1:11(10) ack 1001 win 65535", now=0.10002)
    tcp.write(bytes(1000), now=0.10003)
    tcp.sends("1:1001(1000)", "1001:2001(1000)")
    tcp = pausing(nodelay=True)
    tcp.write(bytes(1000), now=0.1)
    tcp.write(bytes(10), now=0.10001)
    tcp.sends("1:1001(1000)", "1001:1011(10)")
