"""dns in virtual time: the candidates of a short name, and the error when none exists."""

from __future__ import annotations

import errno
import os

import pytest

from tests.support.dns_host import SOA, DnsHost, Query, Server, name_of, only, reply


@pytest.mark.parametrize(
    ("known", "asked", "questions"),
    [
        ("www.one.org", "www", ["www.one.org"]),
        ("www.two.org", "www", ["www.one.org", "www.two.org"]),
        ("www", "www", ["www.one.org", "www.two.org", "www"]),
        ("www.dev", "www.dev", ["www.dev"]),
        ("www.dev.one.org", "www.dev", ["www.dev", "www.dev.one.org"]),
        ("www.dev", "www.dev.", ["www.dev"]),
    ],
)
def test_the_search_list(known: str, asked: str, questions: list[str]) -> None:
    host = DnsHost(only(known))
    host.names.search = ("one.org", "two.org")
    assert host.cat(f"dns/{asked}") == ["10.0.2.80"]
    assert [name_of(query) for query in host.servers[0].queries] == questions


@pytest.mark.parametrize("asked", ["www", "www.dev"])
def test_the_error_names_the_name_as_written(asked: str) -> None:
    host = DnsHost(only())
    host.names.search = ("one.org",)
    assert host.fails(f"dns/{asked}") == errno.ENOENT
    assert host.sentence == f"the name {asked} does not exist"


def test_the_search_ends_where_no_server_answers() -> None:
    host = DnsHost(lambda server, query: None)
    host.names.search = ("one.org", "two.org")
    assert host.fails("dns/www") == errno.ETIMEDOUT
    assert host.now == pytest.approx(7.0, abs=0.01)


def test_an_absolute_name_is_not_searched_for() -> None:
    host = DnsHost(only())
    host.names.search = ("one.org",)
    host.fails("dns/www.")
    assert len(host.servers[0].queries) == 1


def test_a_domain_that_the_server_does_not_serve_ends_no_search() -> None:
    def partial(server: Server, query: Query) -> None:
        name = name_of(query)
        refused = name.endswith("one.org")
        server.sends(reply(query, rcode="REFUSED") if refused else reply(query, f"{name} 60 IN A 10.0.2.80"))

    host = DnsHost(partial)
    host.names.search = ("one.org", "two.org")
    assert host.cat("dns/www") == ["10.0.2.80"]


def test_a_refusal_is_the_error_when_no_candidate_exists() -> None:
    def partial(server: Server, query: Query) -> None:
        refused = name_of(query).endswith("one.org")
        server.sends(reply(query, rcode="REFUSED" if refused else "NXDOMAIN"))

    host = DnsHost(partial)
    host.names.search = ("one.org", "two.org")
    assert host.fails("dns/www") == errno.EREMOTEIO


def test_giving_up_in_the_middle_of_the_search_list_leaves_nothing() -> None:
    def first_only(server: Server, query: Query) -> None:
        if name_of(query) == "www.one.org":
            server.sends(reply(query, rcode="NXDOMAIN", authority="one.org" + SOA[len("example.com") :]))

    host = DnsHost(first_only)
    host.names.search = ("one.org",)
    for _ in range(2):  # in the second round the first candidate's answer comes from the cache, inside start()
        handle = host.open("dns/www", os.O_NONBLOCK)
        host.passes(0.1)
        assert host.stats()["under_way"] == 1
        handle.close(host.now)
        assert "under_way" not in host.stats()
