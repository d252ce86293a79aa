"""dns in virtual time: what is asked, what counts as an answer, and what a user reads."""

from __future__ import annotations

import errno
import os

import dns.flags
import dns.message
import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.dns.scheme import README
from tests.dns_host import ROOT, SECOND, SERVER, DnsHost, Query, Server, address, reply

ADDRESS = "example.com 60 IN A 10.0.2.80"
SOA = "example.com 300 IN SOA ns.example.com. root.example.com. 1 2 3 4 90"


def answers(*records: str, rcode: str = "NOERROR", authority: str = ""):
    """Return a server that always answers so."""
    return lambda server, query: server.sends(reply(query, *records, rcode=rcode, authority=authority))


def silent(server: Server, query: Query) -> None:
    """Never answer."""


# What is asked


def test_one_address_per_line() -> None:
    host = DnsHost(answers(ADDRESS, "example.com 60 IN A 10.0.2.81"))
    assert host.cat("dns/example.com") == ["10.0.2.80", "10.0.2.81"]


def test_a_query_asks_for_recursion_and_offers_edns() -> None:
    host = DnsHost(answers(ADDRESS))
    host.cat("dns/Example.COM.")
    (query,) = host.servers[0].queries
    assert query.question[0].to_text() == "example.com. IN A"
    assert query.flags & dns.flags.RD
    assert (query.edns, query.payload) == (0, 1232)


def test_ids_and_ports_are_random() -> None:
    host = DnsHost(answers(rcode="NXDOMAIN"))
    for number in range(20):
        assert host.fails(f"dns/n{number}.com") == errno.ENOENT
    (server,) = host.servers
    assert len({query.id for query in server.queries}) == 20
    assert len(set(server.ports)) == 20
    assert max(query.id for query in server.queries) > 0x3FFF


@pytest.mark.parametrize(
    ("type_", "record", "line"),
    [
        ("mx", "example.com 60 IN MX 10 mail.example.com.", "10 mail.example.com"),
        ("txt", 'example.com 60 IN TXT "v=spf1 " "-all"', "v=spf1 -all"),
        ("srv", "example.com 60 IN SRV 1 2 443 www.example.com.", "1 2 443 www.example.com"),
        ("ns", "example.com 60 IN NS ns1.example.com.", "ns1.example.com"),
        ("cname", "example.com 60 IN CNAME other.example.com.", "other.example.com"),
        ("aaaa", "example.com 60 IN AAAA fd00::1", "fd00::1"),
    ],
)
def test_other_records(type_: str, record: str, line: str) -> None:
    host = DnsHost(answers(record))
    assert host.cat(f"dns/example.com,type={type_}") == [line]


def test_any_is_both_kinds_of_address() -> None:
    def both(server: Server, query: Query) -> None:
        aaaa = "AAAA" in query.question[0].to_text()
        server.sends(reply(query, "example.com 60 IN AAAA fd00::1" if aaaa else ADDRESS))

    host = DnsHost(both)
    assert host.cat("dns/example.com,type=any") == ["10.0.2.80", "fd00::1"]


def test_any_is_satisfied_with_one_kind() -> None:
    def v4_only(server: Server, query: Query) -> None:
        server.sends(reply(query, *([] if "AAAA" in query.question[0].to_text() else [ADDRESS]), authority=SOA))

    assert DnsHost(v4_only).cat("dns/example.com,type=any") == ["10.0.2.80"]


def test_ptr_of_an_address() -> None:
    host = DnsHost(answers("2.2.0.10.in-addr.arpa 60 IN PTR gateway.example.com."))
    assert host.cat("dns/10.0.2.2,type=ptr") == ["gateway.example.com"]


def test_txt_can_not_forge_lines() -> None:
    host = DnsHost(answers('example.com 60 IN TXT "one\\010two"'))
    assert host.cat("dns/example.com,type=txt") == ["one\\x0atwo"]


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "a,type=nosuch", "a,kind=a", "a,type=a,type=a", ","])
def test_what_is_no_name_is_invalid_at_lookup(name: str) -> None:
    host = DnsHost(silent)
    with pytest.raises(SchemeError) as caught:
        host.dns.lookup(name, ROOT)
    assert caught.value.errno == errno.EINVAL


def test_the_hosts_file_comes_first() -> None:
    host = DnsHost(silent, hosts="10.0.2.99 example.com\nfd00::9 example.com\n")
    assert host.cat("dns/example.com") == ["10.0.2.99"]
    assert host.cat("dns/example.com,type=any") == ["10.0.2.99", "fd00::9"]
    assert host.cat("dns/10.1.2.3") == ["10.1.2.3"]
    assert host.cat("dns/localhost") == ["127.0.0.1"]
    assert not host.servers[0].queries


# What is answered


def test_no_such_name_is_enoent_and_says_so() -> None:
    host = DnsHost(answers(rcode="NXDOMAIN", authority=SOA))
    assert host.fails("dns/example.com") == errno.ENOENT
    assert host.sentence == "there is no name example.com, say the name servers"


def test_no_such_record_is_enodata() -> None:
    host = DnsHost(answers(authority=SOA))
    assert host.fails("dns/example.com,type=mx") == errno.ENODATA


def test_silence_is_a_time_out_after_three_tries() -> None:
    host = DnsHost(silent)
    assert host.fails("dns/example.com") == errno.ETIMEDOUT
    assert host.now == pytest.approx(7.0, abs=0.01)
    assert host.sentence == f"no address is known for 'example.com': no answer from {SERVER}"
    assert len(host.servers[0].queries) == 3
    assert host.alarm.pending == 0


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


def test_a_wrong_id_is_dropped_and_the_right_one_taken() -> None:
    def forged_first(server: Server, query: Query) -> None:
        forged = reply(query, "example.com 60 IN A 6.6.6.6")
        forged.id ^= 1
        server.sends(forged)
        server.sends(reply(query, ADDRESS))

    host = DnsHost(forged_first)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()["dropped_wrong_id"] == 1


def test_another_question_is_dropped() -> None:
    def forged_first(server: Server, query: Query) -> None:
        other = dns.message.make_query("example.org.", "A", id=query.id)
        server.sends(reply(other, "example.org 60 IN A 6.6.6.6", "example.com 60 IN A 6.6.6.6"))
        server.sends(reply(query, ADDRESS))

    host = DnsHost(forged_first)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()["dropped_wrong_question"] == 1


def test_somebody_else_is_not_heard() -> None:
    def forged_first(server: Server, query: Query) -> None:
        port = server.ports[-1].rpartition(":")[2]
        forger = server.host.right_udp.open(f"10.0.2.15:{port},from=10.0.2.2:53", os.O_RDWR, ROOT, server.host.now)
        forger.write(memoryview(reply(query, "example.com 60 IN A 6.6.6.6").to_wire()), server.host.now)
        server.later(0.1, reply(query, ADDRESS))

    host = DnsHost(forged_first)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.udp.udp.statistics()["dropped_no_port"] == 1


@pytest.mark.parametrize(
    ("octets", "counted"),
    [(b"", "dropped_short"), (b"x" * 11, "dropped_short"), (None, "dropped_malformed")],
)
def test_garbage_is_dropped_and_the_wait_goes_on(octets: bytes | None, counted: str) -> None:
    def garbage(server: Server, query: Query) -> None:
        server.sends(query.id.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0\xff\xff" if octets is None else octets)
        server.later(0.5, reply(query, ADDRESS))

    host = DnsHost(garbage)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()[counted] == 1


def test_a_query_sent_back_is_no_answer() -> None:
    def echo(server: Server, query: Query) -> None:
        server.sends(query)
        server.later(0.2, reply(query, ADDRESS))

    host = DnsHost(echo)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.stats()["dropped_not_a_response"] == 1


def test_records_of_other_names_are_not_taken() -> None:
    host = DnsHost(answers("evil.com 60 IN A 6.6.6.6", ADDRESS))
    assert host.cat("dns/example.com") == ["10.0.2.80"]


# Several servers


def test_the_second_server_answers_when_the_first_is_silent_and_is_asked_first_from_then_on() -> None:
    host = DnsHost(silent, lambda server, query: server.sends(reply(query, f"{name_of(query)} 60 IN A 10.0.2.80")))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(1.0, abs=0.01)
    host.cat("dns/example.org")
    assert host.now == pytest.approx(1.0, abs=0.02)
    assert len(host.servers[0].queries) == 1


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_a_server_that_can_not_tell_is_passed_over_at_once(rcode: str) -> None:
    host = DnsHost(answers(rcode=rcode), answers(ADDRESS))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1


def test_when_no_server_can_tell_it_is_eremoteio() -> None:
    host = DnsHost(answers(rcode="SERVFAIL"), answers(rcode="REFUSED"))
    assert host.fails("dns/example.com") == errno.EREMOTEIO
    assert f"{SERVER}: answers SERVFAIL; {SECOND}: answers REFUSED" in host.sentence


def test_a_closed_port_is_passed_over_at_once() -> None:
    host = DnsHost(answers(ADDRESS))
    host.names.nameservers = (address("10.0.2.2"), address(SERVER))
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 0.1
    assert host.stats()["not_delivered"] == 1


def test_nobody_at_the_servers_port_is_no_name_server() -> None:
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


# TCP


def truncated(server: Server, query: Query) -> None:
    message = reply(query, ADDRESS)
    message.flags |= dns.flags.TC
    server.sends(message)


def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    host = DnsHost(truncated)
    assert len(host.cat("dns/example.com")) == 300
    assert host.servers[0].by_tcp == 1
    assert host.stats()["queries_by_tcp"] == 1
    host.passes(200.0)
    assert not host.tcp.tcp.connections


def test_when_tcp_says_nothing_the_next_server_is_asked() -> None:
    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].tcp_answers = lambda connection, query: None  # type: ignore[method-assign]
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(5.0, abs=0.1)
    host.passes(200.0)
    assert not host.tcp.tcp.connections


@pytest.mark.parametrize("octets", [b"", b"\0\5abc", b"\0\3abc", b"\0\0"])
def test_garbage_over_tcp_is_passed_over(octets: bytes) -> None:
    def garbage(connection, _query) -> None:
        connection.write(memoryview(octets), 0.0) if octets else None
        connection.close(0.0)

    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].tcp_answers = garbage  # type: ignore[method-assign]
    assert host.cat("dns/example.com") == ["10.0.2.80"]


def test_a_refused_connection_is_passed_over() -> None:
    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].listener.close(0.0)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 1.0


# Aliases


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


def test_an_alias_whose_end_was_not_told_is_asked_for() -> None:
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
def test_aliases_in_a_circle_are_eloop(whole: bool) -> None:
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


# Files


def test_an_open_that_does_not_wait_has_no_answer_yet_and_then_says_why_once() -> None:
    host = DnsHost(lambda server, query: server.later(0.5, reply(query, rcode="NXDOMAIN")))
    handle = host.open("dns/example.com", os.O_NONBLOCK)
    changes = []
    handle.on_changed = lambda: changes.append(host.now)
    assert handle.fevent(Event.ALL) == 0
    assert handle.read(10, host.now) is None
    host.passes(1.0)
    assert len(changes) == 1
    assert handle.fevent(Event.ALL) == Event.IN | Event.ERR
    with pytest.raises(SchemeError) as caught:
        handle.read(10, host.now)
    assert caught.value.errno == errno.ENOENT
    assert handle.fevent(Event.ALL) == Event.IN
    assert handle.read(10, host.now) == b""
    handle.close(host.now)


def test_closing_gives_up_the_question() -> None:
    host = DnsHost(silent)
    handle = host.open("dns/example.com", os.O_NONBLOCK)
    host.passes(0.1)
    assert host.stats()["under_way"] == 1
    handle.interrupted(host.now)
    handle.close(host.now)
    assert "under_way" not in host.stats()
    assert host.alarm.pending == 0
    assert list(host.udp.udp.ports) == []


def test_a_second_open_of_the_inode_reads_on() -> None:
    host = DnsHost(answers(ADDRESS))
    first = host.opened(host.open("dns/example.com"))
    second = first.reopen(os.O_RDONLY, ROOT, host.now)
    assert first.read(3, host.now) == b"10."
    first.close(host.now)
    assert second.read(100, host.now) == b"0.2.80\n"
    assert second.read(100, host.now) == b""
    second.close(host.now)


def test_the_readme_names_every_file() -> None:
    host = DnsHost()
    for name, _ in host.dns.root.list(ROOT):
        assert name == "README" or f"\n{name} " in README
