"""dns in virtual time: which messages count as a response, and how others are dropped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import dns.message
import pytest

from tests.support.dns_host import ADDRESS, ROOT, SERVER, SOA, DnsHost, Query, Server, answers, reply, silent


def test_no_such_name_is_enoent_and_says_so() -> None:
    host = DnsHost(answers(rcode="NXDOMAIN", authority=SOA))
    assert host.fails("dns/example.com") == errno.ENOENT
    assert host.sentence == "the name example.com does not exist"


def test_no_such_record_is_enodata() -> None:
    host = DnsHost(answers(authority=SOA))
    assert host.fails("dns/example.com,type=mx") == errno.ENODATA


def test_a_silent_server_times_out_after_three_queries() -> None:
    host = DnsHost(silent)
    assert host.fails("dns/example.com") == errno.ETIMEDOUT
    assert host.now == pytest.approx(7.0, abs=0.01)
    assert host.sentence == f"no address is known for 'example.com': no answer from {SERVER}"
    assert len(host.servers[0].queries) == 3
    assert host.timers.pending == 0


def test_a_lost_query_is_asked_again() -> None:
    def second_time(server: Server, query: Query) -> None:
        if len(server.queries) == 2:
            server.sends(reply(query, ADDRESS))

    host = DnsHost(second_time)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(1.0, abs=0.01)


def test_a_late_answer_is_an_answer() -> None:
    host = DnsHost(lambda server, query: server.later(2.5, reply(query, ADDRESS)))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(2.5, abs=0.01)


def test_an_answer_after_the_end_goes_nowhere() -> None:
    host = DnsHost(lambda server, query: server.later(8.0, reply(query, ADDRESS)))
    assert host.fails("dns/example.com") == errno.ETIMEDOUT
    host.passes(10.0)
    assert host.udp.udp.statistics()["dropped_no_port"] == 3


def wrong_id(query: Query) -> bytes:
    forged = reply(query, "example.com 60 IN A 6.6.6.6")
    forged.id ^= 1
    return forged.to_wire()


def wrong_question(query: Query) -> bytes:
    other = dns.message.make_query("example.org.", "A", id=query.id)
    return reply(other, "example.org 60 IN A 6.6.6.6", "example.com 60 IN A 6.6.6.6").to_wire()


def malformed(query: Query) -> bytes:
    return query.id.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0\xff\xff"


@pytest.mark.parametrize(
    ("forge", "counted"),
    [
        (wrong_id, "dropped_wrong_id"),
        (wrong_question, "dropped_wrong_question"),
        (malformed, "dropped_malformed"),
        (lambda _query: b"", "dropped_short"),
        (lambda _query: b"x" * 11, "dropped_short"),
        (lambda query: query.to_wire(), "dropped_not_a_response"),
    ],
)
def test_a_message_that_does_not_fit_is_dropped_and_the_response_is_used(
    forge: Callable[[Query], bytes], counted: str
) -> None:
    def forged_first(server: Server, query: Query) -> None:
        server.sends(forge(query))
        server.later(0.2, reply(query, ADDRESS))

    host = DnsHost(forged_first)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()[counted] == 1
    assert len(host.servers[0].queries) == 1


def test_a_response_from_another_address_is_dropped() -> None:
    def forged_first(server: Server, query: Query) -> None:
        port = server.ports[-1].rpartition(":")[2]
        forger = server.host.right_udp.open(f"10.0.2.15:{port},from=10.0.2.2:53", os.O_RDWR, ROOT, server.host.now)
        forger.write(memoryview(reply(query, "example.com 60 IN A 6.6.6.6").to_wire()), server.host.now)
        server.later(0.1, reply(query, ADDRESS))

    host = DnsHost(forged_first)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.udp.udp.statistics()["dropped_no_port"] == 1


def test_records_of_other_names_are_not_taken() -> None:
    host = DnsHost(answers("evil.com 60 IN A 6.6.6.6", ADDRESS))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
