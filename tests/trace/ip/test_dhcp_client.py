"""The DHCP client in virtual time, message by message, with dpkt as the server: RFC 2131 §3.1, §4.4."""

from __future__ import annotations

import random
from itertools import pairwise

import dpkt
import pytest

from schemefs.timers import Timers
from schemes.netcfg import dhcp_options as option
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.dhcp_client import DhcpClient
from tests.support.ip_host import MAC, address

SERVER = address("10.0.2.2")
OTHER_SERVER = address("10.0.2.3")
ADDRESS = address("10.0.2.55")
PARAMETERS = {
    option.NETMASK: b"\xff\xff\xff\0",
    option.ROUTERS: SERVER,
    option.NAMESERVERS: SERVER + OTHER_SERVER,
}
KINDS = {1: "discover", 3: "request", 4: "decline", 7: "release"}


class ClientHost:
    """A client and its host. Records the messages sent, with their times, and the leases configured."""

    mac = MAC
    hostname = ""

    def __init__(self) -> None:
        self.timers = Timers()
        self.sent: list[tuple[float, str, dpkt.dhcp.DHCP]] = []
        self.configured: list[str] = []
        self.fault = ""
        self.client = DhcpClient(self, self.timers, random.Random(5), "eth0")

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        octets = wire.frame(MAC, source, message)
        datagram = dpkt.ethernet.Ethernet(octets).data
        assert (datagram.data.sport, datagram.data.dport) == (68, 67)
        assert (datagram.src, datagram.dst) == (source, b"\xff" * 4)
        self._record("broadcast", message, now)

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        assert server == SERVER
        self._record("unicast", message, now)

    def _record(self, how: str, message: bytes, now: float) -> None:
        assert len(message) >= 300
        parsed = dpkt.dhcp.DHCP(message)
        kind = dict(parsed.opts)[option.MESSAGE_TYPE][0]
        self.sent.append((now, f"{how} {KINDS[kind]}", parsed))

    def configure(self, lease: wire.Reply, now: float) -> str:
        self.configured.append(f"+{lease.address[3]}")
        return self.fault

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        self.configured.append(f"-{lease.address[3]}")

    def changed(self) -> None:
        """Ignore changes of the text."""

    def takes_sent(self) -> list[str]:
        words = [words for _, words, _ in self.sent]
        self.last = self.sent[-1][2] if self.sent else None
        self.sent.clear()
        return words

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())

    def receives(
        self,
        kind: int,
        now: float,
        *,
        server: bytes = SERVER,
        leased: bytes = ADDRESS,
        lease: int = 1000,
        parameters: dict[int, bytes] = PARAMETERS,
        **changes: int | bytes,
    ) -> None:
        options = [
            (option.MESSAGE_TYPE, bytes((kind,))),
            (option.SERVER, server),
            (option.LEASE, lease.to_bytes(4, "big")),
            *parameters.items(),
        ]
        fields = {
            "op": 2,
            "xid": self.client._xid,
            "yiaddr": int.from_bytes(leased, "big"),
            "chaddr": MAC.ljust(16, b"\0"),
        }
        message = dpkt.dhcp.DHCP(opts=options, **{**fields, **changes})
        reply = wire.parse(bytes(message))
        if reply is not None:
            self.client.receive(reply, now)


def bound(now: float = 0.0) -> ClientHost:
    host = ClientHost()
    host.client.start(now)
    host.receives(wire.OFFER, now)
    host.receives(wire.ACK, now)
    assert host.takes_sent() == ["broadcast discover", "broadcast request"]
    assert host.client.state == "BOUND"
    return host


def test_discover_offer_request_acknowledgment() -> None:
    host = ClientHost()
    host.client.start(0.0)
    assert host.takes_sent() == ["broadcast discover"]
    assert host.last.flags == 0x8000
    assert bytes(host.last.chaddr) == MAC
    host.receives(wire.OFFER, 0.1)
    assert host.takes_sent() == ["broadcast request"]
    options = dict(host.last.opts)
    assert (options[option.REQUESTED], options[option.SERVER]) == (ADDRESS, SERVER)
    assert host.configured == []
    host.receives(wire.ACK, 0.2)
    assert host.configured == ["+55"]
    assert host.client.text(0.2).splitlines() == [
        "state=BOUND",
        "address=10.0.2.55/24",
        "server=10.0.2.2",
        "routers=10.0.2.2",
        "nameservers=10.0.2.2 10.0.2.3",
        "lease=1000",
        "renews_in=500.0",
        "rebinds_in=875.0",
        "expires_in=1000.0",
    ]


def test_without_an_answer_the_retry_delay_doubles_up_to_64_seconds() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.until(200.0)
    times = [now for now, _, _ in host.sent]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, expected in zip(gaps, (4, 8, 16, 32, 64), strict=False):
        assert expected - 1 <= gap <= expected + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"xid": 1},
        {"chaddr": b"\2\0\0\0\0\1".ljust(16, b"\0")},
        {"op": 1},
        {"magic": 7},
        {"hln": 5},
        {"yiaddr": 0},
        {"yiaddr": 0x7F000001},
        {"yiaddr": 0xE0000001},
    ],
)
def test_messages_for_other_clients_and_unusable_offers_are_ignored(changes: dict[str, int | bytes]) -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.takes_sent()
    host.receives(wire.OFFER, 0.1, **changes)
    host.receives(wire.ACK, 0.1)
    host.receives(wire.NAK, 0.1)
    assert host.takes_sent() == []
    assert host.client.state == "SELECTING"


def test_malformed_octets_are_no_message() -> None:
    good = wire.build(wire.DISCOVER, 1, MAC, 0)
    assert wire.parse(good) is None
    assert wire.parse(b"") is None
    reply = bytes(dpkt.dhcp.DHCP(op=2, opts=[(option.MESSAGE_TYPE, b"\2"), (option.LEASE, b"\0\0")]))
    for length in range(len(reply)):
        wire.parse(reply[:length])
    for at in range(240, len(reply)):
        wire.parse(reply[:at] + b"\xfe" + reply[at + 1 :])


def test_a_silent_server_gets_four_requests() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    host.until(70.0)
    words = host.takes_sent()
    assert words.count("broadcast request") == 4
    assert words[5:] != []
    assert set(words[5:]) == {"broadcast discover"}


def test_an_acknowledgment_of_another_server_is_ignored() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    host.receives(wire.ACK, 0.1, server=OTHER_SERVER)
    assert host.client.state == "REQUESTING"


def test_a_nak_restarts_the_client_after_a_second() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    host.receives(wire.NAK, 0.1)
    host.takes_sent()
    host.until(1.0)
    assert host.takes_sent() == []
    host.until(1.1)
    assert host.takes_sent() == ["broadcast discover"]


def test_a_renewal_at_t1_keeps_the_configuration() -> None:
    host = bound()
    host.until(499.0)
    assert host.takes_sent() == []
    host.until(500.0)
    assert host.takes_sent() == ["unicast request"]
    assert host.last.ciaddr == int.from_bytes(ADDRESS, "big")
    assert option.REQUESTED not in dict(host.last.opts)
    assert option.SERVER not in dict(host.last.opts)
    host.receives(wire.ACK, 500.5)
    assert host.client.state == "BOUND"
    assert host.configured == ["+55"]
    assert "renews_in=500.0" in host.client.text(500.5)


def test_without_an_answer_the_client_rebinds_at_t2_and_the_lease_expires() -> None:
    host = bound()
    host.until(1000.0)
    history = [(now, words) for now, words, _ in host.sent]
    assert [words for now, words in history if now < 875] == ["unicast request"] * 4
    assert history[0][0] == 500.0
    assert next(now for now, words in history if words == "broadcast request") == pytest.approx(875.0)
    assert history[-1] == (1000.0, "broadcast discover")
    assert host.configured == ["+55", "-55"]


def test_any_server_may_acknowledge_a_rebind() -> None:
    host = bound()
    host.until(880.0)
    assert host.client.state == "REBINDING"
    host.receives(wire.ACK, 880.0, server=OTHER_SERVER)
    assert host.client.state == "BOUND"
    assert host.configured == ["+55"]


def test_a_nak_counts_only_from_the_server_that_was_asked() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    for server in (OTHER_SERVER, b"\0\0\0"):
        host.receives(wire.NAK, 0.1, server=server)
        assert host.client.state == "REQUESTING"
    host.receives(wire.ACK, 0.0)
    host.until(500.0)
    host.receives(wire.NAK, 500.1, server=OTHER_SERVER)
    assert host.client.state == "RENEWING"
    host.until(875.0)
    assert host.client.state == "REBINDING"
    host.receives(wire.NAK, 875.1, server=OTHER_SERVER)  # the request went to all servers
    assert host.client.state == "INIT"
    assert host.configured == ["+55", "-55"]


def test_a_renewal_without_its_options_keeps_them() -> None:
    host = bound()
    host.until(500.0)
    host.receives(wire.ACK, 500.0, parameters={}, lease=600)
    text = host.client.text(500.0)
    for line in ("address=10.0.2.55/24", "routers=10.0.2.2", "nameservers=10.0.2.2 10.0.2.3", "lease=600"):
        assert f"{line}\n" in text
    assert host.configured == ["+55"]
    host.until(800.0)
    host.receives(wire.ACK, 800.0, parameters={option.ROUTERS: OTHER_SERVER})
    assert "routers=10.0.2.3\n" in host.client.text(800.0)
    assert host.configured == ["+55", "+55"]  # the address was not removed


def test_a_renewal_on_another_network_keeps_nothing() -> None:
    host = bound()
    host.until(500.0)
    host.receives(wire.ACK, 500.0, leased=address("192.0.2.7"), parameters={})
    assert "address=192.0.2.7/24\nserver=10.0.2.2\nrouters=\nnameservers=\n" in host.client.text(500.0)


def test_a_short_lease_ends_when_the_server_says() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0, lease=5)
    host.receives(wire.ACK, 0.0, lease=5)
    assert host.client.text(0.0).endswith("lease=5\nrenews_in=2.5\nrebinds_in=4.4\nexpires_in=5.0\n")
    host.takes_sent()
    host.until(4.9)
    assert host.configured == ["+55"]
    host.until(5.0)
    assert [now for now, _, _ in host.sent] == [2.5, 4.375, 5.0]
    assert host.takes_sent() == ["unicast request", "broadcast request", "broadcast discover"]
    assert host.configured == ["+55", "-55"]


@pytest.mark.parametrize("bad", ["10.0.2.0", "10.0.2.255"])
def test_the_address_of_the_network_and_its_broadcast_address_are_declined(bad: str) -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0, leased=address(bad))
    host.receives(wire.ACK, 0.0, leased=address(bad))
    assert host.takes_sent() == ["broadcast discover", "broadcast request", "broadcast decline"]
    assert dict(host.last.opts)[option.REQUESTED] == address(bad)
    assert (host.client.state, host.configured) == ("INIT", [])
    host.until(10.0)
    assert host.takes_sent() == ["broadcast discover"]


def test_both_addresses_of_a_31_are_hosts_and_a_32_has_one() -> None:
    for mask in (b"\xff\xff\xff\xfe", b"\xff\xff\xff\xff"):
        for leased in ("10.0.2.54", "10.0.2.55"):
            host = ClientHost()
            host.client.start(0.0)
            host.receives(wire.OFFER, 0.0, leased=address(leased), parameters={option.NETMASK: mask})
            host.receives(wire.ACK, 0.0, leased=address(leased), parameters={option.NETMASK: mask})
            assert host.client.state == "BOUND"


def test_an_address_that_the_host_cannot_use_is_declined() -> None:
    host = ClientHost()
    host.fault = "10.0.2.55 is an address of eth1 already"
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    host.receives(wire.ACK, 0.0)
    assert host.takes_sent()[-1] == "broadcast decline"
    assert (host.client.state, host.client.lease) == ("INIT", None)


def test_a_renewal_with_another_address_replaces_the_old_one() -> None:
    host = bound()
    host.until(500.0)
    host.receives(wire.ACK, 500.0, leased=address("10.0.2.66"))
    assert host.configured == ["+55", "-55", "+66"]


def test_a_nak_to_a_renewal_removes_the_address_at_once() -> None:
    host = bound()
    host.until(500.0)
    host.receives(wire.NAK, 500.0)
    assert host.configured == ["+55", "-55"]


def test_a_duplicate_address_is_declined_and_the_client_restarts_after_ten_seconds() -> None:
    host = bound()
    host.client.decline(3.0)
    assert host.takes_sent() == ["broadcast decline"]
    options = dict(host.last.opts)
    assert (options[option.REQUESTED], options[option.SERVER]) == (ADDRESS, SERVER)
    assert host.configured == ["+55", "-55"]
    host.until(12.9)
    assert host.takes_sent() == []
    host.until(13.0)
    assert host.takes_sent() == ["broadcast discover"]


def test_stop_releases_the_lease() -> None:
    host = bound()
    host.client.stop(3.0)
    assert host.takes_sent() == ["unicast release"]
    assert host.configured == ["+55", "-55"]
    assert host.timers.pending == 0


def test_renew_on_demand() -> None:
    host = bound()
    host.client.renew(3.0)
    assert host.takes_sent() == ["unicast request"]
    host.receives(wire.ACK, 3.1)
    assert "renews_in=500.0" in host.client.text(3.1)


def test_an_infinite_lease_is_never_renewed() -> None:
    host = ClientHost()
    host.client.start(0.0)
    host.receives(wire.OFFER, 0.0)
    forever = [(option.MESSAGE_TYPE, b"\5"), (option.SERVER, SERVER), (option.LEASE, b"\xff" * 4)]
    fields = {"xid": host.client._xid, "yiaddr": int.from_bytes(ADDRESS, "big"), "chaddr": MAC.ljust(16, b"\0")}
    reply = wire.parse(bytes(dpkt.dhcp.DHCP(op=2, opts=forever, **fields)))
    assert reply is not None
    host.client.receive(reply, 0.1)
    assert host.client.state == "BOUND"
    assert host.timers.pending == 0
    assert "lease=infinite" in host.client.text(1.0)
    assert "address=10.0.2.55/8" in host.client.text(1.0)
