"""dns in virtual time: the order of the name servers, and the failover from one to the next."""

from __future__ import annotations

import errno

import pytest

from tests.support.dns_host import (
    ADDRESS,
    SECOND,
    SERVER,
    DnsHost,
    Query,
    Server,
    address,
    answers,
    name_of,
    reply,
    silent,
)


def test_the_second_server_answers_when_the_first_is_silent_and_is_asked_first_from_then_on() -> None:
    host = DnsHost(silent, lambda server, query: server.sends(reply(query, f"{name_of(query)} 60 IN A 10.0.2.80")))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(1.0, abs=0.01)
    host.cat("dns/example.org")
    assert host.now == pytest.approx(1.0, abs=0.02)
    assert len(host.servers[0].queries) == 1


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_a_server_with_an_error_code_is_followed_by_the_next_at_once(rcode: str) -> None:
    host = DnsHost(answers(rcode=rcode), answers(ADDRESS))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1


def test_servfail_of_the_only_server_is_asked_again() -> None:
    def passing(server: Server, query: Query) -> None:
        failing = len(server.queries) == 1
        server.sends(reply(query, rcode="SERVFAIL") if failing else reply(query, ADDRESS))

    host = DnsHost(passing)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1
    failing = DnsHost(answers(rcode="SERVFAIL"))
    assert failing.fails("dns/example.com") == errno.EREMOTEIO
    assert len(failing.servers[0].queries) == 2


def test_a_referral_is_followed_by_the_next_server_at_once() -> None:
    lame = answers(authority="example.com 300 IN NS ns.example.com.")
    host = DnsHost(lame, answers(ADDRESS))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1
    alone = DnsHost(lame)
    assert alone.fails("dns/example.com") == errno.EREMOTEIO
    assert f"{SERVER}: answers with a referral to other servers" in alone.sentence


def test_a_dead_server_costs_one_time_out_even_if_the_other_fails_once() -> None:
    def passing(server: Server, query: Query) -> None:
        server.sends(reply(query, ADDRESS) if len(server.queries) % 2 == 0 else reply(query, rcode="SERVFAIL"))

    host = DnsHost(silent, passing)
    for question in range(1, 4):
        assert host.cat("dns/example.com") == ["10.0.2.80"]
        assert host.now <= question * 1.01
        host.dns.resolver.cache.clear()


def test_error_codes_from_all_servers_are_eremoteio() -> None:
    host = DnsHost(answers(rcode="SERVFAIL"), answers(rcode="REFUSED"))
    assert host.fails("dns/example.com") == errno.EREMOTEIO
    assert f"{SERVER}: answers SERVFAIL; {SECOND}: answers REFUSED" in host.sentence


def test_a_closed_port_is_followed_by_the_next_server_at_once() -> None:
    host = DnsHost(answers(ADDRESS))
    host.names.nameservers = (address("10.0.2.2"), address(SERVER))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1
    assert host.stats()["not_delivered"] == 1


def test_a_closed_port_of_the_only_server_is_enoent() -> None:
    host = DnsHost()
    host.names.nameservers = (address("10.0.2.2"),)
    assert host.fails("dns/example.com") == errno.ENOENT
    assert "10.0.2.2" in host.sentence
    assert host.now < 0.1


def test_no_name_server_at_all() -> None:
    host = DnsHost()
    assert host.fails("dns/example.com") == errno.ENOENT
    assert "netcfg/resolv/nameserver" in host.sentence
    host.names.nameservers = (address("192.0.2.1"),)
    assert host.fails("dns/example.com") == errno.ENOENT
    assert "no route" in host.sentence


def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    def old(server: Server, query: Query) -> None:
        server.sends(reply(query, rcode="FORMERR") if query.edns >= 0 else reply(query, ADDRESS))

    host = DnsHost(old)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()["retried_without_edns"] == 1
