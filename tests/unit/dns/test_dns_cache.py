"""The cache, joined questions and bounds, in virtual time."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.errors import SchemeError
from schemes.dns.cache import ENTRIES, LONGEST, LONGEST_NEGATIVE, OCTETS, Cache
from schemes.dns.resolver import PURSUITS
from schemes.dns.wire import Question
from tests.support.dns_host import ADDRESS, SECOND, DnsHost, address, only, reply


def test_an_answer_holds_for_its_ttl() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, ADDRESS)))
    host.cat("dns/example.com")
    host.passes(59.0)
    host.cat("dns/EXAMPLE.com.")
    assert len(host.servers[0].queries) == 1
    assert host.stats()["from_cache"] == 1
    host.passes(1.1)
    host.cat("dns/example.com")
    assert len(host.servers[0].queries) == 2


def test_that_there_is_none_holds_as_long_as_the_soa_says() -> None:
    host = DnsHost(only())
    host.fails("dns/example.com")
    host.passes(89.0)
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 1
    assert "none: there is no name example.com" in host.text("cache")
    host.passes(2.0)
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 2


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR", "SERVFAIL"])
def test_without_a_soa_nothing_negative_is_kept(rcode: str) -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode=rcode)))
    host.fails("dns/example.com")
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 2


def test_a_ttl_of_0_is_for_who_asked_only() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, "example.com 0 IN A 10.0.2.80")))
    host.cat("dns/example.com")
    host.cat("dns/example.com")
    assert len(host.servers[0].queries) == 2


def test_the_same_question_is_asked_once() -> None:
    host = DnsHost(lambda server, query: server.later(0.5, reply(query, ADDRESS)))
    handles = [host.open("dns/example.com", os.O_NONBLOCK) for _ in range(5)]
    handles.pop().close(host.now)
    host.passes(1.0)
    assert [handle.read(100, host.now) for handle in handles] == [b"10.0.2.80\n"] * 4
    assert len(host.servers[0].queries) == 1


def test_other_servers_begin_with_an_empty_cache() -> None:
    host = DnsHost(only("example.com"), lambda server, query: server.sends(reply(query, "example.com 60 IN A 1.2.3.4")))
    host.cat("dns/example.com")
    host.names.nameserver = address(SECOND)
    assert host.cat("dns/example.com") == ["1.2.3.4"]


def test_questions_under_way_are_bounded() -> None:
    host = DnsHost(lambda server, query: None)
    handles = [host.open(f"dns/n{number}.com", os.O_NONBLOCK) for number in range(PURSUITS)]
    assert host.fails("dns/one-more.com") == errno.ENOBUFS
    for handle in handles:
        handle.close(host.now)
    assert host.timers.pending <= 1  # the wire's own


def test_the_cache_is_bounded_in_entries_and_octets() -> None:
    cache = Cache()
    for number in range(2 * ENTRIES):
        cache.put(Question(f"n{number}", "A"), ("10.0.2.1",), 60, 0.0)
    assert len(cache) == ENTRIES
    assert cache.get(Question("n0", "A"), 0.0) is None
    for number in range(100):
        cache.put(Question(f"t{number}", "TXT"), ("x" * 60_000,), 60, 0.0)
    assert sum(len(text) for _, _, texts in cache.rows(0.0) for text in texts) <= OCTETS
    cache.put(Question("huge", "TXT"), ("x" * (OCTETS + 1),), 60, 0.0)
    assert len(cache) == 0


def test_the_entry_used_last_stays() -> None:
    cache = Cache()
    for number in range(ENTRIES):
        cache.put(Question(f"n{number}", "A"), ("10.0.2.1",), 60, 0.0)
    cache.get(Question("n0", "A"), 1.0)
    cache.put(Question("new", "A"), ("10.0.2.1",), 60, 1.0)
    assert cache.get(Question("n0", "A"), 1.0) == ("10.0.2.1",)
    assert cache.get(Question("n1", "A"), 1.0) is None


def test_no_ttl_is_longer_than_the_longest() -> None:
    cache = Cache()
    cache.put(Question("a", "A"), ("10.0.2.1",), 2**31, 0.0)
    cache.put(Question("b", "A"), SchemeError(errno.ENOENT, "none"), 2**31, 0.0)
    assert [left for _, left, _ in cache.rows(0.0)] == [LONGEST, LONGEST_NEGATIVE]
    assert cache.get(Question("a", "A"), LONGEST) is None
