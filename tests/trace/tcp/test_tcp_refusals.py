"""A segment that is not used is counted once, under one reason, and the conversation's events have a line with it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from schemefs.held_octets import HeldOctets
from schemefs.net.network_layer import DeliveryError
from schemefs.net.offload import CHECKED
from schemes.tcp.reassembly import MAX_BLOCKS
from schemes.tcp.refusal import WORDS
from tests.support import tcp_states
from tests.support.tcp_trace import PEER, US, Trace, accepted, established

Make = Callable[[], Trace]


def with_timestamps() -> Trace:
    return established(options_text="ts 1000:0")


def hole() -> Trace:
    """Text is held at 101:201."""
    tcp = established()
    tcp.receives("P. 101:201(100) ack 1")
    return tcp


def holes() -> Trace:
    tcp = established()
    for at in range(MAX_BLOCKS):
        tcp.receives(f"P. {2 + 2 * at}:{3 + 2 * at}(1) ack 1")
    return tcp


def closed_by_user() -> Trace:
    tcp = established()
    tcp.connection.close(0.0)
    return tcp


def asked_again() -> Trace:
    """The peer's SYN has come as often as is answered in a second."""
    tcp = tcp_states.syn_received()
    for _ in range(10):
        tcp.receives("S 0:0(0) mss 1460")
    return tcp


def no_backlog() -> Trace:
    tcp = tcp_states.syn_received()
    tcp.listener.backlog = 0
    return tcp


def full() -> Trace:
    """The user holds all that it may in other buffers."""
    tcp = established()
    account = HeldOctets(64 << 20).account(1000)
    account.put(64 << 20)
    tcp.connection.charge_to(account)
    return tcp


EDGE = 65536

CASES: list[tuple[Make, str, str]] = [
    (tcp_states.syn_sent, "R. 0:0(0) ack 99", "ack_too_far"),
    (tcp_states.syn_sent, "R 0:0(0)", "no_ack"),
    (tcp_states.syn_sent, ". 0:0(0) ack 1", "no_syn"),
    (tcp_states.syn_sent, "FP. 0:3(3) ack 1", "no_syn"),
    (tcp_states.syn_sent, "P 0:3(3)", "no_syn"),
    (tcp_states.syn_sent, ". 0:0(0) ack 99", "ack_too_far"),
    (tcp_states.syn_received, ". 1:1(0) ack 99", "ack_too_far"),
    (asked_again, "S 0:0(0) mss 1460", "repeated_syn"),
    (no_backlog, ". 1:1(0) ack 1 ts 1:0", "listen_overflow"),
    (established, f"P. {EDGE}:{EDGE + 100}(100) ack 1", "beyond_window"),
    (established, f"F. {EDGE}:{EDGE}(0) ack 1", "beyond_window"),
    (established, f". {EDGE + 1}:{EDGE + 1}(0) ack 1", "out_of_window"),
    (established, f"R {EDGE + 1}:{EDGE + 1}(0)", "out_of_window"),
    (established, "P 1:4(3)", "no_ack"),
    (established, "P. 1:4(3) ack 2", "ack_too_far"),
    (established, "R 2:2(0)", "inexact_reset"),
    (established, "S 1:1(0) mss 1460", "unexpected_syn"),
    (with_timestamps, "P. 1:4(3) ack 1 ts 999:0", "old_timestamp"),
    (hole, "P. 111:121(10) ack 1", "duplicate_text"),
    (holes, "P. 9001:9002(1) ack 1", "reassembly_full"),
    (full, "P. 1:4(3) ack 1", "no_memory"),
    (closed_by_user, "P. 1:4(3) ack 1", "text_after_close"),
    (tcp_states.close_wait, "P. 2:6(4) ack 1", "text_after_fin"),
    (tcp_states.close_wait, "F. 2:2(0) ack 1", "fin_after_fin"),
    (tcp_states.close_wait, "FP. 2:6(4) ack 1", "text_after_fin"),
    (tcp_states.close_wait, "F. 1:1(0) ack 1", "out_of_window"),
    (tcp_states.time_wait, "F. 2:2(0) ack 2 ts 1:0", "fin_after_fin"),
    (tcp_states.time_wait, "F. 1:1(0) ack 2 ts 1:0", "out_of_window"),
    (tcp_states.time_wait, "P. 2:6(4) ack 2 ts 1:0", "text_after_fin"),
]


def reasons(tcp: Trace) -> dict[str, int]:
    return {name: int(n) for name, n in tcp.tcp.stats().items() if name.startswith("dropped_") and n}


@pytest.mark.parametrize(("make", "text", "reason"), CASES)
def test_one_reason_and_a_line(make: Make, text: str, reason: str) -> None:
    tcp = make()
    tcp.follows = False
    before = reasons(tcp)
    lines: list[str] = []
    for connection in tcp.tcp.connections.values():
        connection.record_to(lambda _now, line, *_: lines.append(line))  # type: ignore[attr-defined]
    tcp.receives(text, now=tcp.now)
    name = f"dropped_{reason}"
    assert reasons(tcp) == before | {name: before.get(name, 0) + 1}
    if make is not tcp_states.time_wait:
        assert f"not used: {WORDS[reason]}" in lines


def test_every_reason_in_words_is_a_counter_and_has_a_case() -> None:
    counters = dir(Trace().tcp.statistics)
    assert not {f"dropped_{reason}" for reason in WORDS} - set(counters)
    assert {reason for _, _, reason in CASES} == set(WORDS)


def test_in_time_wait_a_user_that_still_holds_it_has_the_line() -> None:
    tcp = accepted()
    lines: list[str] = []
    tcp.connection.record_to(lambda _now, line, *_: lines.append(line))
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    tcp.receives("F. 1:1(0) ack 2")
    tcp.receives("F. 2:2(0) ack 2")
    assert lines[-1] == "not used: FIN after the peer's FIN in TIME_WAIT"


def test_challenges_beyond_the_limit_are_counted() -> None:
    tcp = established()
    for _ in range(200):
        tcp.receives("R 100:100(0)", now=1.0)
    stats = tcp.tcp.stats()
    assert (stats["dropped_inexact_reset"], stats["challenge_acks"]) == (200, 10)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("P. 101:201(100) ack 1 ts 1000:0", "kept out of order: 100 octets are missing before it"),
        ("P. 1:4(3) ack 1", "no timestamp, although both SYNs had one: taken without PAWS"),
        ("P. -99:4(103) ack 1 ts 1000:0", "trimmed to the window: 1:4"),
        (f"P. {EDGE - 10}:{EDGE + 90}(100) ack 1 ts 1000:0", f"trimmed to the window: {EDGE - 10}:{EDGE}"),
    ],
)
def test_what_is_used_in_part_or_later_has_a_line_too(text: str, line: str) -> None:
    tcp = with_timestamps()
    lines: list[str] = []
    tcp.connection.record_to(lambda _now, each, *_: lines.append(each))
    tcp.receives(text)
    assert line in lines
    assert not reasons(tcp)
    assert tcp.tcp.stats()["trimmed_segments"] == ("trimmed" in line)


def test_a_super_segment_counts_as_its_segments() -> None:
    """As tcpInSegs does."""
    tcp = established()
    before = tcp.tcp.statistics.in_segments
    tcp.receives("P. 1:2501(2500) ack 2", gso=1000)
    assert tcp.tcp.statistics.in_segments - before == 3
    assert reasons(tcp) == {"dropped_ack_too_far": 3}


def test_fin_behind_text_that_is_not_kept_is_not_noted() -> None:
    tcp = holes()
    tcp.receives("FP. 9001:9002(1) ack 1")
    assert tcp.connection.rcv.fin_at == -1


def test_icmp_errors_about_no_connection_are_counted() -> None:
    """But not those that this host makes itself, about a neighbor that does not answer."""
    tcp = established()
    quoted = bytes.fromhex("15b3005000000001")
    error = DeliveryError(errno.ECONNREFUSED, True, "refused", 6, US, PEER, quoted, reporter=PEER)
    tcp.tcp.receive_error(error, 1.0)
    assert reasons(tcp) == {"dropped_icmp_no_connection": 1}
    tcp.tcp.receive_error(DeliveryError(errno.EHOSTUNREACH, False, "no answer", 6, US, PEER, quoted), 1.0)
    assert reasons(tcp) == {"dropped_icmp_no_connection": 1}


def test_a_short_segment_is_not_used() -> None:
    tcp = established()
    assert tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(39)), 20, 0, 64, CHECKED, 1.0)
    assert reasons(tcp) == {"dropped_short_header": 1}
