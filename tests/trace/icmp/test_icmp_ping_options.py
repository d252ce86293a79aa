"""What ping(8) and traceroute(8) have as options: deadline, flood, source, interface, fragments, probes per hop."""

import errno

import pytest
from icmp_network import Host, lines, octets
from test_icmp_ping import error_about, reply_to

from schemefs.errors import SchemeError
from schemefs.scheme import Caller
from schemefs.shares import ECHO_OCTETS, ECHO_OVERHEAD


def statistics(ping):
    return next(line for line in lines(ping)[0] if " transmitted" in line)


def test_a_deadline_ends_the_ping_whatever_is_answered():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0,deadline=2.5", now=10.0)
    reply_to(host, 0, 10.05)
    host.run_until(12.4)
    assert lines(ping)[1] is False
    host.run_until(12.5)
    said, ended = lines(ping)
    assert ended
    assert "3 packets transmitted, 1 packets received, 66.67% packet loss" in said
    ping.close(13.0)
    assert host.timers.pending == 0


def test_with_a_deadline_the_count_is_of_answers():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=2,deadline=10,timeout=0.5")
    host.run_until(3.2)
    reply_to(host, 2, 3.2)  # late, but an answer
    reply_to(host, 3, 3.2)
    assert statistics(ping) == "4 packets transmitted, 1 packets received, +1 late, 75.00% packet loss"
    host.run_until(20.0)
    assert len(host.network.sent) == 4


def test_with_a_deadline_and_a_peer_at_once_every_probe_is_counted():
    host, peer = Host("10.0.2.15"), Host("10.0.2.2")
    ping = host.knows(peer).open("ping/10.0.2.2,count=3,deadline=10,interval=0.5")
    host.run_until(5.0)
    assert statistics(ping) == "3 packets transmitted, 3 packets received, 0.00% packet loss"
    assert host.timers.pending == 0


def test_with_a_deadline_an_error_ends_the_ping():
    host = Host()
    ping = host.open("ping/10.9.9.9,count=5,deadline=10")
    error_about(host, 0, 3, 1, 0.1)
    said, ended = lines(ping)
    assert ended
    assert said[1] == "From 10.0.2.2 icmp_seq=0 Destination Host Unreachable"
    assert said[-1] == "1 packets transmitted, 0 packets received, 100.00% packet loss"


def test_without_an_interval_an_answer_sends_the_next_probe():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=5,interval=0", now=1.0)
    reply_to(host, 0, 1.001)
    host.run_until(1.001)
    reply_to(host, 1, 1.002)
    host.run_until(1.002)
    assert len(host.network.sent) == 3
    host.run_until(1.0119)
    assert len(host.network.sent) == 3
    host.run_until(1.0121)  # none: 10 ms later
    assert len(host.network.sent) == 4
    host.run_until(20.0)
    assert statistics(ping) == "5 packets transmitted, 2 packets received, 60.00% packet loss"


def test_a_flood_of_what_cannot_be_sent_is_paced():
    host = Host()
    ping = host.open("ping/10.0.2.2,count=0,interval=0")
    host.network.unreachable.add(octets("10.0.2.2"))
    host.run_until(1.0)
    assert 99 <= len(lines(ping)[0]) <= 102


def test_a_flood_on_lo_waits_for_its_reader_and_for_its_share():
    host, peer = Host("10.0.2.15"), Host("10.0.2.2")
    ping = host.knows(peer).open("ping/10.0.2.2,count=0,interval=0", 1.0, Caller(1000))
    for hundredth in range(100, 200):
        host.run_until(hundredth / 100)
        lines(ping)
    sent = len(host.network.sent) * (56 + ECHO_OVERHEAD)
    assert 0.9 * ECHO_OCTETS < sent < 1.1 * ECHO_OCTETS


@pytest.mark.parametrize(
    ("words", "size", "is_set"), [("dont", 56, False), ("want", 56, True), ("want", 2000, False), ("do", 56, True)]
)
@pytest.mark.parametrize("kind", ["ping", "trace"])
def test_whether_routers_may_fragment(kind, words, size, is_set):
    host = Host()
    host.open(f"{kind}/10.9.9.9,size={size},pmtudisc={words}")
    assert bool(host.network.sent[0][6] & 0x40) is is_set


@pytest.mark.parametrize("kind", ["ping", "trace"])
def test_the_source_and_the_interface_are_those_that_are_given(kind):
    host = Host(hosts="::5 peer\n10.0.2.2 peer\n")
    host.open(f"{kind}/peer,from=10.0.2.99,interface=eth1")
    assert host.network.sent[0][12:20] == octets("10.0.2.99") + octets("10.0.2.2")
    assert host.network.interface == "eth1"


@pytest.mark.parametrize("option", ["from=here", "pmtudisc=probe", "deadline=-1", "interval=0.0001", "first=31"])
def test_a_bad_option_has_a_sentence(option):
    kind = "trace" if option.startswith("first") else "ping"
    with pytest.raises(SchemeError, match=option.partition("=")[2] if kind == "ping" else "from 1 to 30") as caught:
        Host().scheme.lookup(f"{kind}/10.0.2.2,{option}", Caller(0))
    assert caught.value.errno == errno.EINVAL


def test_each_hop_is_probed_as_often_as_asked_for():
    host = Host()
    trace = host.open("trace/10.9.9.9,probes=3,first=2,timeout=1")
    assert host.network.sent[0][8] == 2
    error_about(host, 0, 11, 0, 0.001, reporter="10.8.0.1")
    host.run_until(1.1)  # the second is lost
    error_about(host, 2, 11, 0, 1.1, reporter="10.8.0.9")
    error_about(host, 3, 3, 1, 1.2, reporter="10.8.0.9")
    error_about(host, 4, 3, 1, 1.3, reporter="10.8.0.9")
    error_about(host, 5, 3, 1, 1.4, reporter="10.8.0.9")
    assert lines(trace) == (
        [
            "trace to 10.9.9.9 (10.9.9.9), 30 hops max, 32(60) bytes",
            " 2  10.8.0.1  1.000ms  *  10.8.0.9  99.000ms",
            " 3  10.8.0.9  100.000ms  100.000ms  100.000ms  Destination Host Unreachable",
        ],
        True,
    )


def test_the_probes_of_a_hop_are_no_tries():
    host = Host()
    trace = host.open("trace/10.9.9.9,probes=1,tries=3,hops=2,timeout=0.1")
    host.run_until(10.0)
    assert lines(trace)[0][1:] == [" 1  *", " 2  *"]
