"""dns in virtual time: CNAMEs are followed to their end; loops and long chains fail."""

from __future__ import annotations

import errno

import pytest

from tests.support.dns_host import ADDRESS, SOA, DnsHost, Query, Server, answers, reply


def test_aliases_in_one_answer_are_followed() -> None:
    host = DnsHost(
        answers(
            "www.example.com 60 IN CNAME Web.Example.com.",
            "web.example.com 5 IN CNAME example.com.",
            ADDRESS,
        )
    )
    assert host.cat("dns/www.example.com") == ["10.0.2.80"]
    assert host.text("cache").startswith("www.example.com A 5 10.0.2.80")


def name_of(query: Query) -> str:
    return query.question[0].name.to_text(omit_final_dot=True)


def test_a_cname_without_records_gets_a_query_of_its_own() -> None:
    def step_by_step(server: Server, query: Query) -> None:
        chain = {
            "a.com": "a.com 60 IN CNAME b.com.",
            "b.com": "b.com 60 IN CNAME c.com.",
            "c.com": "c.com 60 IN A 1.2.3.4",
        }
        server.sends(reply(query, chain[name_of(query)]))

    host = DnsHost(step_by_step)
    assert host.cat("dns/a.com") == ["1.2.3.4"]
    assert host.stats()["names_followed"] == 2


@pytest.mark.parametrize("whole", [True, False])
def test_a_loop_of_cnames_is_eloop(whole: bool) -> None:
    records = ["a.com 60 IN CNAME b.com.", "b.com 60 IN CNAME a.com."]

    def circle(server: Server, query: Query) -> None:
        server.sends(reply(query, *(records if whole else [r for r in records if r.startswith(name_of(query))])))

    host = DnsHost(circle)
    assert host.fails("dns/a.com") == errno.ELOOP


def test_aliases_without_end_are_eloop() -> None:
    def endless(server: Server, query: Query) -> None:
        name = name_of(query)
        server.sends(reply(query, f"{name} 60 IN CNAME x{name}."))

    host = DnsHost(endless)
    assert host.fails("dns/a.com") == errno.ELOOP
    assert len(host.servers[0].queries) == 8


def test_an_alias_of_nothing() -> None:
    host = DnsHost(answers("www.example.com 60 IN CNAME gone.example.com.", rcode="NXDOMAIN", authority=SOA))
    assert host.fails("dns/www.example.com") == errno.ENOENT
    assert "gone.example.com" in host.sentence
    assert "www.example.com is an alias" in host.sentence


def test_an_alias_of_the_root_is_asked_for_as_the_root() -> None:
    def root(server: Server, query: Query) -> None:
        asked = query.question[0].name.to_text()
        server.sends(reply(query, "a.com 60 IN CNAME .") if asked == "a.com." else reply(query, authority=SOA))

    host = DnsHost(root)
    assert host.fails("dns/a.com") == errno.ENODATA
    assert len(host.servers[0].queries) == 2


def test_a_name_with_an_escaped_dot_is_one_label() -> None:
    host = DnsHost(answers("a\\.b.com 60 IN A 10.0.2.80"))
    assert host.cat("dns/a\\.b.com") == ["10.0.2.80"]
