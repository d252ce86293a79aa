"""`icmp/ping` and `icmp/trace`, word for word, in virtual time."""

import errno
import tracemalloc

import pytest
from icmp_network import ROOT, Host, datagram, lines, octets

from schemefs.errors import SchemeError
from schemefs.scheme import Caller, Event
from schemefs.shares import ECHO_OCTETS, ECHO_OVERHEAD
from schemes.icmp import wire

PEER = octets("10.0.2.2")


def reply_to(host, number, now, *, hop_limit=64):
    """Deliver the peer's reply to the *number*-th datagram that the host has sent."""
    request = host.network.sent[number]
    echo = wire.HEADER.unpack_from(request, 20)
    payload = request[28:]
    answer = wire.echo_header(wire.ECHO_REPLY, echo[3], echo[4], payload) + payload
    host.network.receive(datagram(PEER, host.network.address, answer, hop_limit=hop_limit), now)


def error_about(host, number, icmp_type, code, now, *, reporter="10.0.2.2", mtu=0):
    quote = host.network.sent[number][:28]
    message = wire.error_header(icmp_type, code, mtu, quote) + quote
    host.network.receive(datagram(octets(reporter), host.network.address, message), now)


def test_ping_of_a_peer_prints_replies_and_statistics():
    host, peer = Host("10.0.2.15"), Host("10.0.2.2")
    host.knows(peer)
    ping = host.open("ping/10.0.2.2,count=3,size=40", now=1.0)
    host.run_until(10.0)
    said, ended = lines(ping)
    assert said == [
        "PING 10.0.2.2 (10.0.2.2) 40(68) bytes of data.",
        "From 10.0.2.2 icmp_seq=0 ttl=64 time=0.000ms",
        "From 10.0.2.2 icmp_seq=1 ttl=64 time=0.000ms",
        "From 10.0.2.2 icmp_seq=2 ttl=64 time=0.000ms",
        "--- 10.0.2.2 ping statistics ---",
        "3 packets transmitted, 3 packets received, 0.00% packet loss",
        "rtt min/avg/max = 0.000/0.000/0.000 ms",
    ]
    assert ended
    ping.close(10.0)
    assert host.timers.pending == 0


def test_times_are_measured_and_a_lost_probe_times_out():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=2,interval=1,timeout=2", now=10.0)
    reply_to(host, 0, 10.079441, hop_limit=57)
    host.run_until(11.0)
    assert len(host.network.sent) == 2
    host.run_until(12.9)
    assert lines(ping)[1] is False
    host.run_until(13.0)
    said, ended = lines(ping)
    assert ended
    assert said == [
        "From 10.0.2.2 icmp_seq=1 timeout",
        "--- 10.0.2.2 ping statistics ---",
        "2 packets transmitted, 1 packets received, 50.00% packet loss",
        "rtt min/avg/max = 79.441/79.441/79.441 ms",
    ]


def test_the_reply_line_is_redox_own():
    host = Host()
    ping = host.open("ping/10.0.2.2", now=10.0)
    reply_to(host, 0, 10.079441, hop_limit=57)
    assert lines(ping)[0] == [
        "PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.",
        "From 10.0.2.2 icmp_seq=0 ttl=57 time=79.441ms",
    ]


def test_nothing_received_has_no_rtt_line():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=1")
    host.run_until(5.0)
    assert lines(ping)[0][-1] == "1 packets transmitted, 0 packets received, 100.00% packet loss"


def test_the_first_probe_goes_out_at_open_and_none_after_close():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0")
    assert len(host.network.sent) == 1
    host.run_until(2.5)
    assert len(host.network.sent) == 3
    ping.close(2.5)
    assert host.timers.pending == 0
    host.run_until(100.0)
    assert len(host.network.sent) == 3


def test_count_zero_goes_on():
    host, peer = Host("10.0.2.15"), Host("10.0.2.2")
    ping = host.knows(peer).open("ping/10.0.2.2,count=0,interval=0.01")
    for end in range(1, 20):
        host.run_until(end)
        assert lines(ping)[1] is False
    assert len(host.network.sent) > 1800


def test_stop_ends_the_text_with_what_was_sent_and_lost_so_far():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0", now=10.0)
    reply_to(host, 0, 10.05)
    host.run_until(12.5)
    assert ping.fevent(Event.IN | Event.OUT) == Event.IN | Event.OUT
    assert ping.write(memoryview(b"stop\n"), 12.5) == 5
    said, ended = lines(ping)
    assert ended
    assert said[-3:] == [
        "--- 10.0.2.2 ping statistics ---",
        "3 packets transmitted, 1 packets received, 66.67% packet loss",
        "rtt min/avg/max = 50.000/50.000/50.000 ms",
    ]
    assert ping.write(memoryview(b"stop\n"), 12.5) == 5  # a second one adds nothing
    reply_to(host, 2, 12.6)
    host.run_until(100.0)
    assert lines(ping) == ([], True)
    assert len(host.network.sent) == 3


@pytest.mark.parametrize("octets", [b"halt\n", b"\xff", b"\n", b"stop now"])
def test_another_word_is_refused_and_the_probes_go_on(octets):
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0")
    with pytest.raises(SchemeError, match="is not a verb of ping; the verb is: stop") as refused:
        ping.write(memoryview(octets), 0.0)
    assert refused.value.errno == errno.EINVAL
    host.run_until(2.5)
    assert len(host.network.sent) == 3


def test_a_slow_reader_stops_the_probes_not_the_daemon():
    host, peer = Host("10.0.2.15"), Host("10.0.2.2")
    ping = host.knows(peer).open("ping/10.0.2.2,count=0,interval=0.001")
    host.run_until(10.0)
    assert len(host.network.sent) < 2000
    assert ping.queued() < 70_000
    lines(ping)
    before = len(host.network.sent)
    host.run_until(10.1)
    assert len(host.network.sent) > before


@pytest.mark.parametrize(
    ("icmp_type", "code", "words"),
    [
        (3, 0, "Destination Net Unreachable"),
        (3, 1, "Destination Host Unreachable"),
        (3, 13, "Packet filtered"),
        (11, 0, "Time to live exceeded"),
    ],
)
def test_errors_are_lines_with_their_reporter(icmp_type, code, words):
    host = Host()
    ping = host.open("ping/10.9.9.9,count=1")
    error_about(host, 0, icmp_type, code, 0.1)
    said, ended = lines(ping)
    assert said[1:] == [
        f"From 10.0.2.2 icmp_seq=0 {words}",
        "--- 10.9.9.9 ping statistics ---",
        "1 packets transmitted, 0 packets received, 100.00% packet loss",
    ]
    assert ended


def test_the_mtu_of_the_next_hop_is_told():
    host = Host()
    ping = host.open("ping/10.9.9.9,count=1,size=1400")
    error_about(host, 0, 3, 4, 0.1, mtu=1280)
    assert lines(ping)[0][1] == "From 10.0.2.2 icmp_seq=0 Fragmentation Needed (mtu = 1280)"


def test_giving_up_a_probe_costs_the_same_however_many_wait():
    """It copied all waiting probes, a thousand times a second."""
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0,interval=0.001,timeout=10,size=0")
    host.run_until(9.999)
    assert len(lines(ping)[0]) == 1
    tracemalloc.start()
    host.run_until(10.01)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(lines(ping)[0]) in (10, 11)
    assert peak < 100_000


def test_a_number_that_comes_round_is_the_latest_probe_not_the_oldest():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=65537,interval=1,timeout=5")
    host.run_until(1.5)
    ping.shared._transmitted = 1 << 16
    host.run_until(6.5)
    assert lines(ping)[0] == ["PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.", "From 10.0.2.2 icmp_seq=1 timeout"]


def test_a_route_that_goes_away_is_a_line_too():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=2")
    host.network.unreachable.add(PEER)
    host.run_until(6.0)
    assert "From 10.0.2.15 icmp_seq=1 no route any more" in lines(ping)[0]


def test_no_route_at_open_is_the_error_of_open():
    host = Host()
    host.network.unreachable.add(PEER)
    with pytest.raises(SchemeError) as caught:
        host.open("ping/10.0.2.2")
    assert caught.value.errno == errno.ENETUNREACH


def test_a_full_link_delays_a_probe_and_loses_none():
    host = Host()
    host.network.room = False
    ping = host.open("ping/10.0.2.2,count=1")
    host.run_until(20.0)
    assert host.network.sent == []
    host.network.room = True
    host.engine.transmit_space(20.0)
    reply_to(host, 0, 20.001)
    assert lines(ping)[0][1] == "From 10.0.2.2 icmp_seq=0 ttl=64 time=1.000ms"


def test_duplicates_and_late_replies_are_told_apart_and_do_not_count():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=3,timeout=0.5")
    reply_to(host, 0, 0.1)
    reply_to(host, 0, 0.2)
    host.run_until(1.6)
    reply_to(host, 1, 1.7)
    reply_to(host, 1, 1.8)
    host.run_until(2.6)
    said, ended = lines(ping)
    assert ended
    assert said[1:] == [
        "From 10.0.2.2 icmp_seq=0 ttl=64 time=100.000ms",
        "From 10.0.2.2 icmp_seq=0 ttl=64 time=200.000ms (DUP!)",
        "From 10.0.2.2 icmp_seq=1 timeout",
        "From 10.0.2.2 icmp_seq=1 ttl=64 time=700.000ms (late)",
        "From 10.0.2.2 icmp_seq=1 ttl=64 time=800.000ms (DUP!)",
        "From 10.0.2.2 icmp_seq=2 timeout",
        "--- 10.0.2.2 ping statistics ---",
        "3 packets transmitted, 1 packets received, +2 duplicates, +1 late, 66.67% packet loss",
        "rtt min/avg/max = 100.000/100.000/100.000 ms",
    ]
    reply_to(host, 2, 3.0)
    assert host.counters()["dropped_unmatched_reply"] == 1


def test_unread_duplicates_do_not_make_the_daemon_grow():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0,timeout=0.5")
    for _ in range(5000):
        reply_to(host, 0, 0.1)
    assert ping.queued() < 70_000


def test_a_reply_with_other_octets_says_so():
    host = Host()
    ping = host.open("ping/10.0.2.2,size=2")
    echo = wire.HEADER.unpack_from(host.network.sent[0], 20)
    host.network.receive(datagram(PEER, host.network.address, wire.echo_header(0, echo[3], 0, b"xx") + b"xx"), 0.001)
    assert lines(ping)[0][1].endswith("time=1.000ms (payload differs)")


def test_poll_says_when_there_is_a_line_and_when_it_has_ended():
    host = Host()
    changes = []
    ping = host.open("ping/10.0.2.2,count=1")
    ping.on_changed = lambda: changes.append(1)
    assert ping.fevent(Event.ALL) == Event.IN | Event.OUT  # OUT: `stop` never waits
    lines(ping)
    assert ping.fevent(Event.ALL) == Event.OUT
    assert ping.read(100, 0.0) is None
    reply_to(host, 0, 0.1)
    assert changes
    assert ping.fevent(Event.ALL) == Event.IN | Event.OUT | Event.RDHUP


def test_a_second_descriptor_joins_and_the_last_one_ends_it():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0")
    second = ping.reopen(0, ROOT, 0.0)
    ping.close(0.0)
    host.run_until(3.0)
    assert len(host.network.sent) == 4
    second.close(3.0)
    assert host.timers.pending == 0
    with pytest.raises(SchemeError) as caught:
        second.reopen(0, ROOT, 3.0)
    assert caught.value.errno == errno.ENOTCONN


def test_names_are_resolved_at_open_only():
    host = Host(hosts="10.0.2.2 peer\n")
    assert host.open("ping/peer").read(34, 0.0) == b"PING 10.0.2.2 (10.0.2.2) 56(84) by"
    host.scheme.lookup("ping/unknown", ROOT)
    with pytest.raises(SchemeError) as caught:
        host.open("ping/unknown")
    assert caught.value.errno == errno.ENOENT


def test_trace_names_the_routers():
    host = Host()
    trace = host.open("trace/10.9.9.9,tries=2,timeout=1,hops=4")
    assert [sent[8] for sent in host.network.sent] == [1]
    error_about(host, 0, 11, 0, 0.0005)
    assert host.network.sent[1][8] == 2
    host.run_until(1.3)
    error_about(host, 2, 11, 0, 1.1, reporter="10.8.0.1")
    host.run_until(3.2)
    request = host.network.sent[-1]
    assert request[8] == 4
    echo = wire.HEADER.unpack_from(request, 20)
    answer = wire.echo_header(wire.ECHO_REPLY, echo[3], echo[4], request[28:]) + request[28:]
    host.network.receive(datagram(octets("10.9.9.9"), host.network.address, answer), 3.2)
    said, ended = lines(trace)
    assert said == [
        "trace to 10.9.9.9 (10.9.9.9), 4 hops max, 32(60) bytes",
        " 1  10.0.2.2  0.500ms",
        " 2  *  10.8.0.1  99.500ms",
        " 3  *  *",
        " 4  10.9.9.9  100.000ms",
    ]
    assert ended
    trace.close(4.0)
    assert host.timers.pending == 0


def test_trace_ends_at_another_error():
    host = Host()
    trace = host.open("trace/10.9.9.9")
    error_about(host, 0, 3, 1, 0.001)
    assert lines(trace) == (
        [
            "trace to 10.9.9.9 (10.9.9.9), 30 hops max, 32(60) bytes",
            " 1  10.0.2.2  1.000ms  Destination Host Unreachable",
        ],
        True,
    )


def test_trace_ends_after_its_hops():
    host = Host()
    trace = host.open("trace/10.9.9.9,hops=2,tries=1,timeout=0.5")
    host.run_until(10.0)
    assert lines(trace)[0][1:] == [" 1  *", " 2  *"]
    assert lines(trace)[1]


def sent_by(host, ping):
    """Return how many octets of requests one stream has sent."""
    identifier = ping.shared._identifier
    return sum(
        len(request) - 28 + ECHO_OVERHEAD
        for request in host.network.sent
        if wire.HEADER.unpack_from(request, 20)[3] == identifier
    )


def test_pings_of_one_user_share_its_octets_per_second_and_delay_no_other():
    host = Host()
    many = [host.open("ping/10.0.2.2,count=0,size=65000,interval=0.001", 1.0, Caller(1000)) for _ in range(10)]
    one = host.open("ping/10.0.2.2,count=0,interval=0.01", 1.0, Caller(1001))
    root = [host.open("ping/10.0.2.2,count=0,size=65000,interval=0.001", 1.0) for _ in range(2)]
    host.run_until(3.0)
    total = [sent_by(host, ping) for ping in many]
    assert 0.95 * 2 * ECHO_OCTETS < sum(total) <= 2 * ECHO_OCTETS + 66_000
    assert max(total) - min(total) <= 66_000
    assert sent_by(host, one) == 201 * (56 + ECHO_OVERHEAD)
    assert [sent_by(host, ping) for ping in root] == [2001 * 66_000] * 2
    for ping in (*many, one, *root):
        ping.close(3.0)
    assert host.timers.pending == 0


def test_traces_of_one_user_share_its_octets_per_second():
    host = Host()
    path = "trace/10.0.2.2,hops=255,tries=10,timeout=0.001,size=65000"
    traces = [host.open(path, 1.0, Caller(1000)) for _ in range(20)]
    host.run_until(2.0)
    total = sum(sent_by(host, trace) for trace in traces)
    assert 0.95 * ECHO_OCTETS < total <= ECHO_OCTETS + 66_000
    for trace in traces:
        trace.close(2.0)
    assert host.timers.pending == 0


def test_an_answer_that_comes_while_the_next_probe_waits_for_its_turn_is_too_late():
    host = Host()
    for _ in range(5):
        host.open("ping/10.0.2.2,count=1,size=65000", 1.0, Caller(1000))
    before = len(host.network.sent)
    trace = host.open("trace/10.0.2.2,hops=2,tries=2,timeout=0.01", 1.0, Caller(1000))
    host.run_until(1.3)
    number = next(
        number
        for number, request in enumerate(host.network.sent)
        if number >= before and wire.HEADER.unpack_from(request, 20)[3] == trace.shared._identifier
    )
    for _ in range(5):
        host.open("ping/10.0.2.2,count=1,size=65000", host.timers.latest, Caller(1000))
    host.run_until(1.32)
    reply_to(host, number, 1.32)
    host.run_until(2.0)
    assert lines(trace)[1]
