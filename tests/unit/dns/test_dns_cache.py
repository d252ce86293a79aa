"""dns in virtual time: the cache, joined questions and bounds."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Caller
from schemefs.shares import LOOKUPS
from schemes.dns.cache import MAX_ENTRIES, MAX_NEGATIVE_TTL, MAX_OCTETS, MAX_TTL, Cache
from schemes.dns.stub_resolver import MAX_LOOKUPS
from schemes.dns.wire import Question
from tests.support.dns_host import ADDRESS, ROOT, SECOND, DnsHost, Query, Server, address, answers, only, reply


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


def test_a_negative_answer_is_cached_for_the_ttl_of_the_soa() -> None:
    host = DnsHost(only())
    host.fails("dns/example.com")
    host.passes(89.0)
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 1
    assert "none: the name example.com does not exist" in host.text("cache")
    host.passes(2.0)
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 2


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "NOERROR", "SERVFAIL"])
def test_without_a_soa_nothing_negative_is_kept(rcode: str) -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, rcode=rcode)))
    host.fails("dns/example.com")
    before = len(host.servers[0].queries)
    host.fails("dns/example.com")
    assert len(host.servers[0].queries) == 2 * before


def test_an_answer_with_ttl_0_is_not_cached() -> None:
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


def test_pending_questions_are_bounded() -> None:
    host = DnsHost(lambda server, query: None)
    handles = [host.open(f"dns/n{number}.com", os.O_NONBLOCK) for number in range(MAX_LOOKUPS)]
    assert host.fails("dns/one-more.com") == errno.ENOBUFS
    for handle in handles:
        handle.close(host.now)
    assert host.timers.pending <= 1  # the wire's own


def test_one_user_can_not_stop_the_look_ups_of_others() -> None:
    def answer(server: Server, query: Query) -> None:
        if "example" in query.question[0].to_text():
            server.sends(reply(query, ADDRESS))

    host = DnsHost(answer)
    user, other = Caller(1000), Caller(1001)
    handles = [host.open(f"dns/n{number}.com", os.O_NONBLOCK, user) for number in range(LOOKUPS)]
    handles += [host.open("dns/n0.com", os.O_NONBLOCK, other)]
    for path in ("dns/one-more.com", "dns/n0.com"):
        with pytest.raises(SchemeError) as raised:
            host.open(path, os.O_NONBLOCK, user)
        assert raised.value.errno == errno.ENOBUFS
        assert raised.value.sentence == f"uid 1000 has {LOOKUPS} look-ups under way; no more are allowed"
    with pytest.raises(SchemeError, match="no more are allowed"):
        host.open("tcp/one-more.com:80", os.O_NONBLOCK, user)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    handles.pop(0).close(host.now)
    handles.append(host.open("dns/one-more.com", os.O_NONBLOCK, user))
    host.passes(60.0)  # all have timed out
    for number in range(LOOKUPS):
        handles.append(host.open(f"dns/m{number}.com", os.O_NONBLOCK, user))
    for handle in handles:
        handle.close(host.now)
    assert host.dns.context.shares.lookups.taken(1000) == 0


def test_the_cache_is_bounded_in_entries_and_octets() -> None:
    cache = Cache()
    for number in range(2 * MAX_ENTRIES):
        cache.put(Question(f"n{number}", "A"), ("10.0.2.1",), 60, 0.0)
    assert len(cache) == MAX_ENTRIES
    assert cache.get(Question("n0", "A"), 0.0) is None
    for number in range(100):
        cache.put(Question(f"t{number}", "TXT"), ("x" * 60_000,), 60, 0.0)
    assert sum(len(text) for _, _, texts in cache.rows(0.0) for text in texts) <= MAX_OCTETS
    cache.put(Question("huge", "TXT"), ("x" * (MAX_OCTETS + 1),), 60, 0.0)
    assert len(cache) == 0


def test_the_entry_used_last_stays() -> None:
    cache = Cache()
    for number in range(MAX_ENTRIES):
        cache.put(Question(f"n{number}", "A"), ("10.0.2.1",), 60, 0.0)
    cache.get(Question("n0", "A"), 1.0)
    cache.put(Question("new", "A"), ("10.0.2.1",), 60, 1.0)
    assert cache.get(Question("n0", "A"), 1.0) == ("10.0.2.1",)
    assert cache.get(Question("n1", "A"), 1.0) is None


def test_ttls_are_capped() -> None:
    cache = Cache()
    cache.put(Question("a", "A"), ("10.0.2.1",), 2**31, 0.0)
    cache.put(Question("b", "A"), SchemeError(errno.ENOENT, "none"), 2**31, 0.0)
    assert [left for _, left, _ in cache.rows(0.0)] == [MAX_TTL, MAX_NEGATIVE_TTL]
    assert cache.get(Question("a", "A"), MAX_TTL) is None


def test_cached_addresses_rotate() -> None:
    addresses = ["10.0.2.80", "10.0.2.81", "10.0.2.82"]
    host = DnsHost(answers(*(f"example.com 60 IN A {text}" for text in addresses)))
    assert host.cat("dns/example.com") == addresses
    first = [host.cat("dns/example.com")[0] for _ in range(6)]
    assert first == addresses * 2
    assert len(host.servers[0].queries) == 1


def test_records_with_a_preference_do_not_rotate() -> None:
    host = DnsHost(answers("example.com 60 IN MX 10 a.example.com.", "example.com 60 IN MX 20 b.example.com."))
    assert len({tuple(host.cat("dns/example.com,type=mx")) for _ in range(3)}) == 1


def test_the_cache_is_flushed_by_its_owner_only() -> None:
    host = DnsHost(answers(ADDRESS))
    host.cat("dns/example.com")
    cache = host.dns.lookup("cache", ROOT)
    with pytest.raises(SchemeError, match="only root and the daemon's user may flush the cache") as refused:
        cache.write(b"flush\n", Caller(1000), host.now)
    assert refused.value.errno == errno.EACCES
    with pytest.raises(SchemeError, match="'all' is not a command of the cache; the command is: flush"):
        cache.write(b"all\n", ROOT, host.now)
    assert host.text("cache")
    cache.write(b"flush\n", ROOT, host.now)
    assert not host.text("cache")
    host.cat("dns/example.com")
    assert len(host.servers[0].queries) == 2
