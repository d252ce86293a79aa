"""Names of hosts with addresses of both families: looked up together, ordered, tried in turn (RFC 8305)."""

from __future__ import annotations

import os

import dns.rdatatype
import pytest

from schemefs.conversation.connecting import interleaved
from schemefs.net.addresses import presentation
from tests.support.dns_host import ADDRESS, DnsHost, Query, Server, address, answers, reply


class BothFamilies:
    """An order of the addresses in which IPv6 comes first. Satisfies `names.AddressOrder`."""

    uses_v6 = True

    def ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(sorted(addresses, key=len, reverse=True))


def of_family(v4: float | None, v6: float | None):
    """Return a server that answers for each family after so many seconds; None: never."""

    def answer(server: Server, query: Query) -> None:
        name = query.question[0].name.to_text(omit_final_dot=True)
        is_v6 = query.question[0].rdtype == dns.rdatatype.AAAA
        delay = v6 if is_v6 else v4
        if delay is not None:
            record = f"{name} 60 IN AAAA fd00::2" if is_v6 else f"{name} 60 IN A 10.0.2.2"
            server.later(delay, reply(query, record))

    return answer


@pytest.mark.parametrize(
    ("v4", "v6", "found", "seconds"),
    [
        (0.1, 0.1, ["fd00::2", "10.0.2.2"], 0.1),
        (0.1, 0.13, ["fd00::2", "10.0.2.2"], 0.13),
        (0.13, 0.1, ["fd00::2", "10.0.2.2"], 0.13),
        (0.1, 0.4, ["10.0.2.2"], 0.15),  # RFC 8305 §3: 50 ms after the first family
        (0.1, None, ["10.0.2.2"], 0.15),  # a name server that drops the question for AAAA
        (None, 0.1, ["fd00::2"], 0.15),
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
