"""The stateless DHCPv6 client in virtual time (RFC 8415 §18.2.6), and its octets."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.addresses import packed
from schemefs.timers import Timers
from schemes.netcfg import dhcpv6_client, dhcpv6_wire
from schemes.netcfg.dhcpv6_client import InformationClient

MAC = bytes.fromhex("020000000001")
CLIENT = dhcpv6_wire.client_identifier(MAC)
SERVER = packed("2001:db8::53")


class Host:
    mac = MAC

    def __init__(self) -> None:
        self.timers = Timers()
        self.sent: list[tuple[float, bytes]] = []
        self.used: list[tuple] = []
        self.client = InformationClient(self, self.timers, random.Random(1), "eth0")

    def send(self, message: bytes, now: float) -> None:
        self.sent.append((now, message))

    def use(self, nameservers, domains) -> None:
        self.used.append((nameservers, domains))

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())

    def transaction(self) -> bytes:
        return self.sent[-1][1][1:4]


def option(code: int, value: bytes) -> bytes:
    return code.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


def reply(transaction: bytes, *options: bytes, server: bytes = b"\0\3\0\1server", client: bytes = CLIENT) -> bytes:
    return b"\x07" + transaction + option(2, server) + option(1, client) + b"".join(options)


def test_a_request_asks_for_name_servers_and_domains() -> None:
    host = Host()
    host.client.start(0.0)
    host.until(1.0)
    (when, message), = host.sent  # fmt: skip
    assert when <= 1.0
    assert message[0] == 11
    assert message[4:] == option(1, CLIENT) + option(8, bytes(2)) + option(6, bytes((0, 23, 0, 24, 0, 32, 0, 83)))


def test_requests_are_repeated_with_growing_pauses_up_to_an_hour() -> None:
    """RFC 8415 §15: INF_TIMEOUT 1 s, INF_MAX_RT 3600 s; §21.9: the elapsed time."""
    host = Host()
    host.client.start(0.0)
    host.until(30_000.0)
    pauses = [after - before for (before, _), (after, _) in itertools.pairwise(host.sent)]
    assert 0.9 <= pauses[0] <= 1.1
    for before, after in itertools.pairwise(pauses[:11]):
        assert 1.9 * before <= after <= 2.1 * before
    assert all(3240 <= pause <= 3960 for pause in pauses[13:])
    assert len({message[1:4] for _, message in host.sent}) == 1
    first = host.sent[0][0]
    elapsed = [int.from_bytes(message[22:24], "big") for _, message in host.sent]
    assert elapsed == [min(round((when - first) * 100), 65_535) for when, _ in host.sent]


def test_a_reply_is_used_until_the_refresh_time() -> None:
    """RFC 8415 §21.23."""
    host = Host()
    host.client.start(0.0)
    host.until(1.0)
    domains = b"\7example\3net\0\3lab\0"
    octets = reply(
        host.transaction(), option(23, SERVER * 2), option(24, domains), option(32, (700).to_bytes(4, "big"))
    )
    host.client.receive(octets, 1.0)
    assert host.used == [((SERVER, SERVER), ("example.net", "lab"))]
    host.until(700.0)
    assert len(host.sent) == 1
    host.until(702.0)
    assert len(host.sent) == 2
    host.client.receive(octets, 702.0)  # the reply to the first request is none to the second
    assert host.client.state == dhcpv6_client.ASKING
    host.client.stop()
    assert host.used[-1] == ((), ())
    assert not host.timers.pending


@pytest.mark.parametrize(("options", "refresh"), [
    ((), 86_400),
    ((option(32, bytes(4)),), 600),
    ((option(32, b"\xff" * 4),), None),
])  # fmt: skip
def test_refresh_times(options: tuple, refresh: int | None) -> None:
    host = Host()
    host.client.start(0.0)
    host.until(1.0)
    host.client.receive(reply(host.transaction(), *options), 1.0)
    assert host.timers.next_deadline() == (1.0 + refresh if refresh else float("inf"))


def test_replies_that_are_ignored() -> None:
    """RFC 8415 §16.10."""
    host = Host()
    host.client.receive(reply(bytes(3)), 0.0)
    host.client.start(0.0)
    host.client.receive(reply(bytes(3)), 0.0)
    host.until(1.0)
    mine = host.transaction()
    whole = reply(mine, option(23, SERVER))
    other = bytes((mine[0] ^ 1,)) + mine[1:]
    bad = (
        b"",
        whole[:3],
        b"\x02" + whole[1:],
        reply(other),
        reply(mine, server=b""),
        reply(mine, client=CLIENT + b"x"),
        reply(mine, option(13, b"\0\1no")),
        whole[:-1],
        whole + b"\0",
    )
    for octets in bad:
        host.client.receive(octets, 1.0)
    assert not host.used
    host.client.receive(whole, 1.0)
    assert host.used == [((SERVER,), ())]


def test_what_a_reply_gives_is_bounded_and_plain() -> None:
    def parsed(*options: bytes) -> dhcpv6_wire.Information:
        found = dhcpv6_wire.parse(reply(bytes(3), *options), CLIENT)
        assert found is not None
        return found

    assert len(parsed(option(23, SERVER * 100)).nameservers) == dhcpv6_wire.MAX_SERVERS
    assert parsed(option(23, bytes(16) + packed("ff02::1") + SERVER + b"x")).nameservers == (SERVER,)
    assert len(parsed(option(24, b"\1a\0" * 100)).domains) == dhcpv6_wire.MAX_DOMAINS
    for names in (b"\3a\nb\0", b"\xc0\0", b"\5ab", b"\1a", b"\0\1a\0"):
        assert parsed(option(24, names)).domains == ()


@given(st.binary(max_size=80))
def test_any_octets_are_information_or_nothing(octets: bytes) -> None:
    for message in (octets, reply(bytes(3)) + octets, reply(bytes(3), option(24, octets), option(23, octets))):
        dhcpv6_wire.parse(message, CLIENT)
