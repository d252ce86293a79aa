"""Resets, challenges and forgeries: RFC 9293 §3.5.2, §3.5.3, §3.10.7.4; RFC 5961; keepalive §3.8.4."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from tests.support.tcp_trace import accepted, established


def test_connection_reset_by_peer() -> None:
    """What had arrived is delivered, then the error, once; then end of file, as on Linux."""
    tcp = established()
    tcp.receives("P. 1:6(5) ack 1", payload=b"hello", now=1.0)
    tcp.receives("R 6:6(0)", now=1.0)
    assert tcp.state == "CLOSED"
    assert tcp.connection.fevent(0) == Event.ERR | Event.HUP
    assert tcp.read() == b"hello"
    number, sentence = tcp.fails()
    assert number == errno.ECONNRESET
    assert sentence == "RST from 10.0.2.2:80 in state ESTABLISHED"
    assert tcp.read() == b""
    with pytest.raises(SchemeError) as raised:
        tcp.write(b"x")
    assert raised.value.errno == errno.EPIPE


def test_a_write_gets_the_reset_too() -> None:
    tcp = established()
    tcp.receives("R 1:1(0)", now=1.0)
    with pytest.raises(SchemeError) as raised:
        tcp.write(b"x")
    assert raised.value.errno == errno.ECONNRESET
    assert tcp.read() == b""


def test_reset_after_the_peers_fin_is_epipe() -> None:
    tcp = established()
    tcp.receives("F. 1:1(0) ack 1", now=1.0)
    tcp.receives("R 2:2(0)", now=1.1)
    with pytest.raises(SchemeError) as raised:
        tcp.write(b"x")
    assert raised.value.errno == errno.EPIPE


@pytest.mark.parametrize("seq", [2, 1000, 60000])
def test_a_reset_that_is_not_exact_is_challenged(seq: int) -> None:
    """RFC 5961 §3.2."""
    tcp = established()
    tcp.receives(f"R {seq}:{seq}(0)", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.state == "ESTABLISHED"


def test_text_before_rcv_nxt_does_not_make_a_reset_exact() -> None:
    """SEG.SEQ is what is compared, not where the text that is left after trimming begins."""
    tcp = established()
    tcp.receives("R -9:11(20)", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.state == "ESTABLISHED"
    assert tcp.tcp.statistics.dropped_inexact_reset == 1


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ("P. 1:5(4) ack 900000", "ack_too_far"),
        ("P. 1:5(4) ack -900000", "ack_too_far"),
        ("P 1:5(4)", "no_ack"),
        ("S. 1:5(4) ack 1", "unexpected_syn"),
        ("R 2:6(4)", "inexact_reset"),
    ],
)
def test_a_forged_timestamp_does_not_make_the_peer_old(forged: str, reason: str) -> None:
    """TS.Recent is taken from accepted segments alone: else one forged one would freeze the connection by PAWS."""
    tcp = established(options_text="ts 1000:0")
    tcp.follows = False
    tcp.receives(f"{forged} ts 2000000000:0", now=1.0)
    assert tcp.tcp.stats()[f"dropped_{reason}"] == 1
    tcp.receives("P. 1:7(6) ack 1 ts 1010:0", payload=b"honest", now=2.0)
    assert tcp.read() == b"honest"


@pytest.mark.parametrize("seq", [0, -5, 100_000])
def test_a_reset_outside_the_window_is_dropped(seq: int) -> None:
    tcp = established()
    tcp.receives(f"R {seq}:{seq}(0)", now=1.0)
    tcp.sends_nothing()
    assert tcp.state == "ESTABLISHED"


def test_a_syn_within_a_connection_is_challenged() -> None:
    """RFC 5961 §4.2. If the peer has rebooted (figure 9), its RST to our challenge ends the connection."""
    tcp = established()
    tcp.receives("S 9000:9000(0)", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.state == "ESTABLISHED"
    tcp.receives("S 500000:500000(0) ts 1:0", now=2.0)
    tcp.sends(". 1:1(0) ack 1")
    tcp.receives("R 1:1(0)", now=2.1)
    assert tcp.state == "CLOSED"


@pytest.mark.parametrize("stamp", ["", "ts 5000:0", "ts 1:0"])
def test_a_rebooted_peer_gets_in_by_the_challenge(stamp: str) -> None:
    """Figure 9 of RFC 9293: whatever timestamp its SYN has, and also without the one that the old SYNs had."""
    tcp = accepted(options_text="ts 1000:0")
    tcp.follows = False
    tcp.receives(f"S 777000111:777000111(0) mss 1460 {stamp}", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    tcp.receives("R 1:1(0)", now=1.1)
    assert tcp.state == "CLOSED"
    tcp.receives(f"S 777000111:777000111(0) mss 1460 {stamp}", now=2.1)
    tcp.sends("S.")


def test_a_syn_with_text_up_to_the_window_is_challenged_too() -> None:
    """RFC 5961 §4.2: whatever its number. Its text is not taken."""
    tcp = established()
    tcp.receives("S. 0:20(20) ack 1", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.read() is None
    assert tcp.tcp.statistics.dropped_unexpected_syn == 1


def test_an_old_duplicate_syn_is_answered_with_an_ack() -> None:
    tcp = established()
    tcp.receives("S 0:0(0)", now=1.0)
    tcp.sends(". 1:1(0) ack 1")


def test_challenges_are_limited() -> None:
    """RFC 5961 §7."""
    tcp = established()
    for _ in range(100):
        tcp.receives("R 500:500(0)", now=1.0)
    assert len(list(tcp.taken())) == 10
    tcp.receives("R 500:500(0)", now=2.0)
    assert len(list(tcp.taken())) == 1


def test_two_confused_ends_do_not_keep_each_other_busy() -> None:
    """ACKs of unacceptable ACKs are limited."""
    tcp = established()
    for _ in range(100):
        tcp.receives(". -500:-500(0) ack 1", now=1.0)
    assert len(list(tcp.taken())) == 10


def test_an_ack_beyond_what_was_sent_is_answered_and_dropped() -> None:
    """§3.10.7.4, fifth step."""
    tcp = established()
    tcp.write(b"hello", now=1.0)
    list(tcp.taken())
    tcp.receives("P. 1:6(5) ack 100", now=1.1)
    tcp.sends(". 6:6(0) ack 1")
    assert tcp.connection.snd.una == tcp.connection.snd.iss + 1
    assert tcp.read() is None


def test_an_ack_older_than_the_window_is_dropped() -> None:
    """RFC 5961 §5.2."""
    tcp = established(win=1000)
    tcp.receives("P. 1:6(5) ack -5000", now=1.0)
    assert tcp.read() is None
    assert tcp.tcp.statistics.dropped_ack_too_far == 1


@pytest.mark.parametrize("ack", [0, -1, -60_000])
def test_an_ack_of_octets_before_the_first_is_refused(ack: int) -> None:
    """The peer has seen our SYN: an ACK up to ISS is a guess, also where the window of RFC 5961 §5.2 reaches there."""
    tcp = accepted()
    tcp.receives(f"P. 1:6(5) ack {ack}", now=1.0)
    tcp.sends(". 1:1(0) ack 1")
    assert tcp.read() is None
    assert tcp.tcp.statistics.dropped_ack_too_far == 1
    tcp.write(bytes(100), now=2.0)
    tcp.receives("P. 1:6(5) ack 1", now=2.1)
    assert len(tcp.read() or b"") == 5


def test_time_wait_knows_the_first_octet_too() -> None:
    tcp = accepted()
    tcp.connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 2", now=1.0)
    tcp.receives(". 2:2(0) ack 1", now=2.0)
    assert tcp.tcp.statistics.dropped_ack_too_far == 0
    tcp.receives(". 2:2(0) ack 0", now=2.0)
    assert tcp.tcp.statistics.dropped_ack_too_far == 1


def test_a_segment_without_ack_is_dropped() -> None:
    tcp = established()
    octets = bytearray(bytes(20) + tcp.octets("P. 1:6(5) ack 1"))
    octets[20 + 13] = 0x08
    from schemefs.net.offload import CHECKED

    tcp.tcp.receive_datagram(b"\x0a\0\2\2", b"\x0a\0\2\x0f", memoryview(octets), 20, 0, 64, CHECKED, 1.0)
    assert tcp.read() is None
    assert tcp.tcp.statistics.dropped_no_ack == 1


@pytest.mark.parametrize("state", ["CLOSING", "LAST_ACK", "TIME_WAIT"])
def test_reset_in_the_last_states_just_ends_it(state: str) -> None:
    tcp = established()
    if state == "LAST_ACK":
        tcp.receives("F. 1:1(0) ack 1", now=1.0)
        tcp.connection.close(1.0)
    else:
        tcp.connection.shutdown(read=False, write=True, now=1.0)
        tcp.receives("F. 1:1(0) ack 1" if state == "CLOSING" else "F. 1:1(0) ack 2", now=1.0)
    assert tcp.state == state
    tcp.receives("R 2:2(0)", now=1.1)
    assert tcp.state == "CLOSED"
    assert tcp.connection.error == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda octets: octets[:19], "dropped_short_header"),
        (lambda octets: octets[:12] + b"\x40" + octets[13:], "dropped_bad_header_length"),
        (lambda octets: octets[:12] + b"\xf0" + octets[13:], "dropped_bad_header_length"),
        (lambda octets: octets[:-1] + b"\xff", "dropped_bad_checksum"),
    ],
)
def test_damaged_segments_are_counted_by_reason(change, reason: str) -> None:
    from schemefs.net.checksum import checksum, pseudo_header_sum
    from schemefs.net.offload import NO_OFFLOAD

    us, peer = b"\x0a\0\2\x0f", b"\x0a\0\2\2"
    tcp = established()
    octets = bytearray(tcp.octets("P. 1:6(5) ack 1"))
    octets[16:18] = checksum(octets, pseudo_header_sum(peer, us, 6, len(octets))).to_bytes(2, "big")
    good = bytes(octets)
    tcp.tcp.receive_datagram(peer, us, memoryview(bytes(20) + change(good)), 20, 0, 64, NO_OFFLOAD, 1.0)
    assert getattr(tcp.tcp.statistics, reason) == 1
    assert tcp.read() is None
    tcp.tcp.receive_datagram(peer, us, memoryview(bytes(20) + good), 20, 0, 64, NO_OFFLOAD, 1.0)
    assert len(tcp.read() or b"") == 5


def test_keepalive() -> None:
    """§3.8.4: after the idle time, every interval; an answer starts over."""
    tcp = established(keepalive=10.0, keepalive_interval=3.0, keepalive_count=3)
    tcp.until(9.9)
    tcp.sends_nothing()
    tcp.until(10.0)
    tcp.sends(". 0:0(0) ack 1")
    tcp.receives(". ack 1", now=10.1)
    tcp.until(13.0)
    tcp.sends_nothing()
    tcp.until(20.1)
    tcp.sends(". 0:0(0) ack 1")
    tcp.until(26.2)
    tcp.sends(". 0:0(0) ack 1", ". 0:0(0) ack 1")
    tcp.until(29.2)
    assert tcp.fails() == (errno.ETIMEDOUT, "no answer from 10.0.2.2:80 to 3 keepalive probes")
    *_, last = tcp.taken()
    assert last.flags & 4


def test_keepalive_after_a_half_close() -> None:
    tcp = established(keepalive=10.0)
    tcp.connection.shutdown(read=False, write=True, now=1.0)
    tcp.receives(". ack 2", now=1.1)
    list(tcp.taken())
    tcp.until(11.2)
    tcp.sends(". 1:1(0) ack 1")


def test_keepalive_can_be_turned_on_and_off() -> None:
    tcp = established()
    put = tcp.connection.settings["keepalive"].set
    assert put is not None
    put("5")
    tcp.until(5.0)
    tcp.sends(". 0:0(0) ack 1")
    put("0")
    tcp.until(500.0)
    tcp.sends_nothing()
    assert tcp.timers.pending == 0


def test_bad_settings_say_what_is_wrong() -> None:
    tcp = established()
    for name, value in (("nodelay", "maybe"), ("hop_limit", "0"), ("keepalive", "-1"), ("congestion", "bbr")):
        put = tcp.connection.settings[name].set
        assert put is not None
        with pytest.raises(ValueError, match=r"\w+"):
            put(value)
    assert tcp.connection.settings["mss"].set is None
    assert {name: setting.get() for name, setting in tcp.connection.settings.items()}["linger"] == "-1"
