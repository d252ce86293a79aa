"""dns in virtual time: truncated responses are repeated over TCP."""

from __future__ import annotations

import dns.flags
import dns.message
import pytest

from tests.support.dns_host import ADDRESS, DnsHost, Query, Server, answers, reply


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


def test_a_silent_tcp_server_is_followed_by_the_next_server() -> None:
    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].tcp_answers = lambda connection, query: None  # type: ignore[method-assign]
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now == pytest.approx(5.0, abs=0.1)
    host.passes(200.0)
    assert not host.tcp.tcp.connections


@pytest.mark.parametrize("octets", [b"", b"\0\5abc", b"\0\3abc", b"\0\0"])
def test_a_malformed_tcp_response_is_followed_by_the_next_server(octets: bytes) -> None:
    def garbage(connection, _query) -> None:
        connection.write(memoryview(octets), 0.0) if octets else None
        connection.close(0.0)

    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].tcp_answers = garbage  # type: ignore[method-assign]
    assert host.cat("dns/example.com") == ["10.0.2.80"]


def test_a_refused_connection_is_followed_by_the_next_server() -> None:
    host = DnsHost(truncated, answers(ADDRESS))
    host.servers[0].listener.close(0.0)
    assert host.cat("dns/example.com") == ["10.0.2.80"]
    assert host.now < 1.0
