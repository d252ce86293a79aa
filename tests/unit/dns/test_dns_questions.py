"""dns in virtual time: the queries sent, and the text that a reader gets."""

from __future__ import annotations

import errno
import os

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.dns.scheme import README
from tests.support.dns_host import ADDRESS, ROOT, SOA, DnsHost, Query, Server, answers, reply, silent


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


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("10.0.2.2", "10.0.2.2"),
        ("10.0.2.2,type=any", "10.0.2.2"),
        ("fd00::2", "fd00::2"),
        ("::1,type=aaaa", "::1"),
        ("fe80::2%LINK", "fe80::2%LINK"),
        ("fe80::2%LINK,type=any", "fe80::2%LINK"),
        ("fe80::2%LINK,type=a", "fe80::2%LINK is an address, and has no A record; its name is in type=ptr"),
        ("10.0.2.2,type=aaaa", "10.0.2.2 is an address, and has no AAAA record; its name is in type=ptr"),
        ("fd00::2,type=mx", "fd00::2 is an address, and has no MX record; its name is in type=ptr"),
    ],
)
def test_an_address_is_no_name_to_ask_for(name: str, found: str) -> None:
    host = DnsHost(silent)
    link = next(iter(host.network.interfaces))
    path, found = f"dns/{name}".replace("LINK", link), found.replace("LINK", link)
    if " " in found:
        assert host.fails(path) == errno.ENODATA
        assert host.sentence == found
    else:
        assert host.cat(path) == [found]
    assert not host.servers[0].queries


def test_ptr_of_a_link_local_address_has_no_zone() -> None:
    owner = "2" + ".0" * 28 + ".8.e.f.ip6.arpa"
    host = DnsHost(answers(f"{owner} 60 IN PTR router.example.com."))
    assert host.cat(f"dns/fe80::2%{next(iter(host.network.interfaces))},type=ptr") == ["router.example.com"]


def test_ptr_of_an_address_in_the_hosts_file() -> None:
    host = DnsHost(silent, hosts="10.0.2.2 gateway.example gw\n10.0.2.3 other\n10.0.2.2 second.example\nfd00::9 six\n")
    assert host.cat("dns/10.0.2.2,type=ptr") == ["gateway.example", "second.example"]
    assert host.cat("dns/fd00::9,type=ptr") == ["six"]
    assert host.cat("dns/2.2.0.10.in-addr.arpa,type=ptr") == ["gateway.example", "second.example"]
    assert not host.servers[0].queries


@pytest.mark.parametrize(
    ("type_", "asked", "record", "shown"),
    [
        ("caa", "CAA", '0 issue "ca.example.net"', '0 issue "ca.example.net"'),
        ("https", "HTTPS", "1 . alpn=h2", '1 . alpn="h2"'),
        ("65", "HTTPS", "1 . alpn=h2", '1 . alpn="h2"'),
        ("type65", "HTTPS", "1 . alpn=h2", '1 . alpn="h2"'),
        ("svcb", "SVCB", "1 svc.example.com. port=8443", '1 svc.example.com port="8443"'),
        ("tlsa", "TLSA", f"3 1 1 {'ab' * 32}", f"3 1 1 {'ab' * 32}"),
        ("65280", "TYPE65280", "\\# 2 abcd", "\\# 2 abcd"),
    ],
)
def test_other_types_by_name_and_by_number(type_: str, asked: str, record: str, shown: str) -> None:
    host = DnsHost(answers(f"example.com 60 IN {asked} {record}"))
    assert host.cat(f"dns/example.com,type={type_}") == [shown]
    assert dns.rdatatype.to_text(host.servers[0].queries[0].question[0].rdtype) == asked


@pytest.mark.parametrize("name", ["a.onion", "ONION", "www.invalid.", "x.localhost,type=mx"])
def test_names_that_are_never_in_the_dns_are_not_queried(name: str) -> None:
    host = DnsHost(answers(ADDRESS))
    host.names.search = ("example.com",)
    assert host.fails(f"dns/{name}") == errno.ENOENT
    assert "is not looked up: no name server knows names below" in host.sentence
    assert not host.servers[0].queries


@pytest.mark.parametrize("asked", ["faß.example", "FAß.example", "xn--fa-hia.example"])
def test_an_internationalized_name_is_looked_up_by_its_a_labels(asked: str) -> None:
    host = DnsHost(answers("xn--fa-hia.example 60 IN A 10.0.2.80"), hosts="10.0.2.81 bücher\n")
    assert host.cat(f"dns/{asked}") == ["10.0.2.80"]
    assert host.cat("dns/bücher") == host.cat("dns/xn--bcher-kva") == ["10.0.2.81"]


def test_octets_after_the_message_are_ignored() -> None:
    host = DnsHost(lambda server, query: server.sends(reply(query, ADDRESS).to_wire() + b"\0rest"))
    assert host.cat("dns/example.com") == ["10.0.2.80"]


def test_txt_can_not_forge_lines() -> None:
    host = DnsHost(answers('example.com 60 IN TXT "one\\010two"'))
    assert host.cat("dns/example.com,type=txt") == ["one\\ntwo"]


TYPES = (
    "there are: a, aaaa, any, mx, txt, ptr, srv, ns, cname, soa, caa, https, svcb, tlsa, "
    "others of IANA's list, and numbers"
)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a..b", "'a..b' is not a domain name: a DNS label is empty"),
        ("x" * 64, f"'{'x' * 64}' is not a domain name: a DNS label is > 63 octets long"),
        ("a,type=nosuch", f"there is no type 'nosuch'; {TYPES}"),
        ("a,type=255", f"there is no type '255'; {TYPES}"),
        ("a,type=65536", f"there is no type '65536'; {TYPES}"),
        ("a,type=axfr", f"there is no type 'axfr'; {TYPES}"),
        ("a,type=opt", f"there is no type 'opt'; {TYPES}"),
        ("a,type=", f"there is no type ''; {TYPES}"),
        ("[fd00::2]", "'[fd00::2]' has brackets; an address has none where no port follows"),
        (
            "fe80::2%nope",
            "'fe80::2%nope' is not a link-local address on an interface of this host, such as fe80::2%eth0",
        ),
        ("a,kind=a", "there is no option 'kind'; there are: type"),
        ("a,type=a,type=a", "option 'type' is given twice"),
        (",", "an option is empty"),
    ],
)
def test_a_malformed_name_is_einval_at_lookup(name: str, sentence: str) -> None:
    host = DnsHost(silent)
    with pytest.raises(SchemeError) as caught:
        host.dns.lookup(name, ROOT)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.sentence == f"dns/{name}: {sentence}"


def test_the_hosts_file_comes_first() -> None:
    host = DnsHost(silent, hosts="10.0.2.99 example.com\nfd00::9 example.com\n")
    assert host.cat("dns/example.com") == ["10.0.2.99"]
    assert host.cat("dns/example.com,type=any") == ["10.0.2.99", "fd00::9"]
    assert host.cat("dns/10.1.2.3") == ["10.1.2.3"]
    assert host.cat("dns/localhost") == ["127.0.0.1"]
    assert not host.servers[0].queries


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
    assert host.timers.pending == 0
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
