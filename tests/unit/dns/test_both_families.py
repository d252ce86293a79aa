"""Names of hosts with addresses of both families: looked up together, ordered, tried in turn (RFC 8305)."""

from __future__ import annotations

import errno
import os

import dns.rdatatype
import pytest

from schemefs.conversation.connecting import interleaved
from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from tests.support.dns_host import ADDRESS, ROOT, DnsHost, Query, Server, address, answers, reply


class PrefersIpv4:
    """The order of a host that has a unique local address alone: IPv4 comes first."""

    uses_v6 = True

    def ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(sorted(addresses, key=len))


class BothFamilies:
    """An order of the addresses in which IPv6 comes first. Satisfies `names.AddressOrder`."""

    uses_v6 = True

    def ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(sorted(addresses, key=len, reverse=True))


def of_family(v4: float | None, v6: float | None, v4_text: str = "10.0.2.2"):
    """Return a server that answers for each family after so many seconds; None: never."""

    def answer(server: Server, query: Query) -> None:
        name = query.question[0].name.to_text(omit_final_dot=True)
        is_v6 = query.question[0].rdtype == dns.rdatatype.AAAA
        delay = v6 if is_v6 else v4
        if delay is not None:
            record = f"{name} 60 IN AAAA fd00::2" if is_v6 else f"{name} 60 IN A {v4_text}"
            server.later(delay, reply(query, record))

    return answer


@pytest.mark.parametrize(
    ("v4", "v6", "found", "seconds"),
    [
        (0.1, 0.1, ["fd00::2", "10.0.2.2"], 0.1),
        (0.1, 0.13, ["fd00::2", "10.0.2.2"], 0.13),
        (0.13, 0.1, ["fd00::2"], 0.1),  # RFC 8305 §3: IPv6 waits for nothing
        (0.1, 0.4, ["10.0.2.2"], 0.15),  # RFC 8305 §3: 50 ms after the first family
        (0.1, None, ["10.0.2.2"], 0.15),  # a name server that drops the question for AAAA
        (None, 0.1, ["fd00::2"], 0.1),
    ],
)
def test_both_families_are_looked_up_and_neither_waits_long(
    v4: float | None, v6: float | None, found: list[str], seconds: float
) -> None:
    host = DnsHost(of_family(v4, v6))
    host.names.order = BothFamilies()
    answers: list[tuple[bytes, ...]] = []
    host.names.lookup("example.com", lambda answer, _now: answers.append(answer), host.now)
    host.until(lambda: bool(answers), 10.0)
    assert [presentation(each) for each in answers[0]] == found
    assert host.now == pytest.approx(seconds, abs=0.02)
    host.passes(30.0)
    assert len(answers) == 1
    assert host.dns.resolver.under_way == 0
    assert host.timers.pending == 0


@pytest.mark.parametrize(("v4", "found", "seconds"), [(0.13, ["10.0.2.2", "fd00::2"], 0.13), (0.4, ["fd00::2"], 0.15)])
def test_ipv6_waits_for_ipv4_where_that_would_be_tried_first(v4: float, found: list[str], seconds: float) -> None:
    host = DnsHost(of_family(v4, 0.1))
    host.names.order = PrefersIpv4()
    answers: list[tuple[bytes, ...]] = []
    host.names.lookup("example.com", lambda answer, _now: answers.append(answer), host.now)
    host.until(lambda: bool(answers), 10.0)
    assert [presentation(each) for each in answers[0]] == found
    assert host.now == pytest.approx(seconds, abs=0.02)


def with_both_families(*servers) -> DnsHost:
    """Return a host with IPv6, whose peer has fd00::2 and 10.0.2.2, and refuses port 81 at both."""
    host = DnsHost(*servers)
    host.names.order = BothFamilies()
    for network, text in ((host.network, "fd00::15"), (host.right_tcp.tcp.network, "fd00::2")):
        next(iter(network.interfaces.values())).add_address(address(text), 64, 0.0)
    return host


@pytest.mark.parametrize(
    ("v4", "v6", "port", "remote", "seconds"),
    [
        # The first address is dead: the one that came later is tried 250 ms after it.
        (0.1, 0.3, 80, "[fd00::2]:80", 0.4),
        (0.1, 0.6, 80, "[fd00::2]:80", 0.6),
        (0.6, 0.1, 443, "10.0.2.2:443", 0.6),
    ],
)
def test_addresses_that_come_later_are_tried_too(v4: float, v6: float, port: int, remote: str, seconds: float) -> None:
    """RFC 8305 §3: they are added to those that are left."""
    host = with_both_families(of_family(v4, v6, v4_text="10.0.2.77" if port == 80 else "10.0.2.2"))
    host.right_tcp.tcp.listen(address("fd00::2" if port == 80 else "10.0.2.2"), port)
    handle = host.opened(host.open(f"tcp/example.com:{port}", os.O_RDWR))
    assert host.tcp.lookup("0/remote", ROOT).read(ROOT, host.now).decode() == f"{remote}\n"
    assert host.now == pytest.approx(seconds, abs=0.03)
    handle.close(host.now)
    host.passes(200.0)
    assert not host.tcp.tcp.connections
    assert host.dns.resolver.under_way == 0
    assert host.timers.pending == 0


@pytest.mark.parametrize("later", [0.5, None])
def test_when_all_addresses_have_failed_those_of_the_other_family_are_awaited(later: float | None) -> None:
    host = with_both_families(of_family(0.1, later))
    handle = host.open("tcp/example.com:81", os.O_RDWR)
    with pytest.raises(SchemeError) as caught:
        host.opened(handle)
    failure = caught.value
    assert failure.errno == errno.ECONNREFUSED
    assert failure.sentence.startswith("none of 2 addresses" if later else "RST from 10.0.2.2")
    assert host.now == pytest.approx(0.5, abs=0.03) if later else host.now > 1


def test_an_answer_after_the_connect_is_kept_for_the_next_one() -> None:
    host = with_both_families(of_family(0.1, 0.4))
    host.right_tcp.tcp.listen(address("10.0.2.2"), 80)
    handle = host.opened(host.open("tcp/example.com:80", os.O_RDWR))
    assert host.now < 0.2
    host.passes(1.0)
    assert host.cat("dns/example.com,type=aaaa") == ["fd00::2"]
    assert len(host.servers[0].queries) == 2
    handle.close(host.now)


def test_a_name_without_ipv6_in_use_costs_one_question() -> None:
    host = DnsHost(answers(ADDRESS.replace("10.0.2.80", "10.0.2.2")))
    host.right_tcp.tcp.listen(address("10.0.2.2"), 80)
    host.opened(host.open("tcp/example.com:80", os.O_RDWR))
    assert len(host.servers[0].queries) == 1


@pytest.mark.parametrize(
    ("addresses", "tried"),
    [
        (("fd00::1", "fd00::2", "10.0.2.2", "10.0.2.3"), ["fd00::1", "10.0.2.2", "fd00::2", "10.0.2.3"]),
        (("10.0.2.2", "10.0.2.3", "fd00::1"), ["10.0.2.2", "fd00::1", "10.0.2.3"]),
        (("10.0.2.2", "10.0.2.3"), ["10.0.2.2", "10.0.2.3"]),
        ((), []),
    ],
)
def test_the_families_are_tried_in_turn(addresses: tuple[str, ...], tried: list[str]) -> None:
    assert [presentation(each) for each in interleaved(tuple(map(address, addresses)))] == tried


def test_localhost_has_both_families_where_the_network_has() -> None:
    host = DnsHost()
    assert host.names.known("localhost") == (address("127.0.0.1"),)
    host.names.order = BothFamilies()
    assert host.names.known("x.localhost") == (address("::1"), address("127.0.0.1"))
    assert host.cat("dns/localhost,type=aaaa") == ["::1"]


@pytest.mark.parametrize(
    ("line", "v6", "v4"),
    [
        ("127.0.0.1 localhost", "::1", "127.0.0.1"),
        ("::1 localhost", "::1", "127.0.0.1"),
        ("127.0.0.5 localhost x.localhost", "::1", "127.0.0.5"),
        ("fd00::1 localhost", "fd00::1", "127.0.0.1"),
    ],
)
def test_localhost_has_the_family_that_the_hosts_file_lacks(line: str, v6: str, v4: str) -> None:
    """RFC 6761 §6.3."""
    host = DnsHost()
    host.names.order = BothFamilies()
    host.names.set_hosts(f"{line}\n")
    assert host.cat("dns/localhost,type=aaaa") == [v6]
    assert host.cat("dns/localhost,type=a") == [v4]
    assert host.names.known("x.localhost")[0] == address("::1")
