"""The DHCP client in virtual time, message by message, with dpkt as the server: RFC 2131 §3.1, §4.4."""

from __future__ import annotations

import random
from itertools import pairwise

import dpkt
import pytest

from schemefs.timers import Timers
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.dhcp_client import DhcpClient
from tests.support.ip_host import MAC, address

SERVER = address("10.0.2.2")
OTHER_SERVER = address("10.0.2.3")
OURS = address("10.0.2.55")
KINDS = {1: "discover", 3: "request", 4: "decline", 7: "release"}


class Place:
    """A client with its host: what it says, what it configures, at which time."""

    mac = MAC

    def __init__(self) -> None:
        self.timers = Timers()
        self.said: list[tuple[float, str, dpkt.dhcp.DHCP]] = []
        self.configured: list[str] = []
        self.client = DhcpClient(self, self.timers, random.Random(5), "eth0")

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        octets = wire.frame(MAC, source, message)
        datagram = dpkt.ethernet.Ethernet(octets).data
        assert (datagram.data.sport, datagram.data.dport) == (68, 67)
        assert (datagram.src, datagram.dst) == (source, b"\xff" * 4)
        self._note("broadcast", message, now)

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        assert server == SERVER
        self._note("unicast", message, now)

    def _note(self, how: str, message: bytes, now: float) -> None:
        assert len(message) >= 300
        parsed = dpkt.dhcp.DHCP(message)
        kind = dict(parsed.opts)[wire.KIND][0]
        self.said.append((now, f"{how} {KINDS[kind]}", parsed))

    def configure(self, lease: wire.Reply, now: float) -> None:
        self.configured.append(f"+{lease.address[3]}")

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        self.configured.append(f"-{lease.address[3]}")

    def changed(self) -> None:
        """Nobody polls."""

    def says(self) -> list[str]:
        words = [words for _, words, _ in self.said]
        self.last = self.said[-1][2] if self.said else None
        self.said.clear()
        return words

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())

    def hears(
        self, kind: int, now: float, *, server: bytes = SERVER, ours: bytes = OURS, **changes: int | bytes
    ) -> None:
        options = [
            (wire.KIND, bytes((kind,))),
            (wire.SERVER, server),
            (wire.LEASE, (1000).to_bytes(4, "big")),
            (wire.NETMASK, b"\xff\xff\xff\0"),
            (wire.ROUTERS, SERVER),
            (wire.NAMESERVERS, SERVER + OTHER_SERVER),
        ]
        fields = {
            "op": 2,
            "xid": self.client._xid,
            "yiaddr": int.from_bytes(ours, "big"),
            "chaddr": MAC.ljust(16, b"\0"),
        }
        message = dpkt.dhcp.DHCP(opts=options, **{**fields, **changes})
        reply = wire.parse(bytes(message))
        if reply is not None:
            self.client.receive(reply, now)


def bound(now: float = 0.0) -> Place:
    place = Place()
    place.client.start(now)
    place.hears(wire.OFFER, now)
    place.hears(wire.ACK, now)
    assert place.says() == ["broadcast discover", "broadcast request"]
    assert place.client.state == "BOUND"
    return place


def test_discover_offer_request_acknowledgment() -> None:
    place = Place()
    place.client.start(0.0)
    assert place.says() == ["broadcast discover"]
    assert place.last.flags == 0x8000
    assert bytes(place.last.chaddr) == MAC
    place.hears(wire.OFFER, 0.1)
    assert place.says() == ["broadcast request"]
    options = dict(place.last.opts)
    assert (options[wire.REQUESTED], options[wire.SERVER]) == (OURS, SERVER)
    assert place.configured == []
    place.hears(wire.ACK, 0.2)
    assert place.configured == ["+55"]
    assert place.client.text(0.2).splitlines() == [
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


def test_nobody_answers_and_the_waits_double_up_to_a_minute() -> None:
    place = Place()
    place.client.start(0.0)
    place.until(200.0)
    times = [now for now, _, _ in place.said]
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
def test_what_is_not_an_offer_to_us_is_passed_over(changes: dict[str, int | bytes]) -> None:
    place = Place()
    place.client.start(0.0)
    place.says()
    place.hears(wire.OFFER, 0.1, **changes)
    place.hears(wire.ACK, 0.1)
    place.hears(wire.NAK, 0.1)
    assert place.says() == []
    assert place.client.state == "SELECTING"


def test_garbage_is_no_message() -> None:
    good = wire.build(wire.DISCOVER, 1, MAC, 0)
    assert wire.parse(good) is None
    assert wire.parse(b"") is None
    reply = bytes(dpkt.dhcp.DHCP(op=2, opts=[(wire.KIND, b"\2"), (wire.LEASE, b"\0\0")]))
    for length in range(len(reply)):
        wire.parse(reply[:length])
    for at in range(240, len(reply)):
        wire.parse(reply[:at] + b"\xfe" + reply[at + 1 :])


def test_a_server_that_falls_silent_is_asked_four_times() -> None:
    place = Place()
    place.client.start(0.0)
    place.hears(wire.OFFER, 0.0)
    place.until(70.0)
    words = place.says()
    assert words.count("broadcast request") == 4
    assert words[5:] != []
    assert set(words[5:]) == {"broadcast discover"}


def test_another_servers_acknowledgment_does_not_count() -> None:
    place = Place()
    place.client.start(0.0)
    place.hears(wire.OFFER, 0.0)
    place.hears(wire.ACK, 0.1, server=OTHER_SERVER)
    assert place.client.state == "REQUESTING"


def test_a_refusal_begins_anew_a_second_later() -> None:
    place = Place()
    place.client.start(0.0)
    place.hears(wire.OFFER, 0.0)
    place.hears(wire.NAK, 0.1)
    place.says()
    place.until(1.0)
    assert place.says() == []
    place.until(1.1)
    assert place.says() == ["broadcast discover"]


def test_at_half_time_the_server_is_asked_for_more_and_nothing_is_touched() -> None:
    place = bound()
    place.until(499.0)
    assert place.says() == []
    place.until(500.0)
    assert place.says() == ["unicast request"]
    assert place.last.ciaddr == int.from_bytes(OURS, "big")
    assert wire.REQUESTED not in dict(place.last.opts)
    assert wire.SERVER not in dict(place.last.opts)
    place.hears(wire.ACK, 500.5)
    assert place.client.state == "BOUND"
    assert place.configured == ["+55"]
    assert "renews_in=500.0" in place.client.text(500.5)


def test_a_silent_server_then_everybody_then_the_address_is_given_up() -> None:
    place = bound()
    place.until(1000.0)
    history = [(now, words) for now, words, _ in place.said]
    assert [words for now, words in history if now < 875] == ["unicast request"] * 4
    assert history[0][0] == 500.0
    assert next(now for now, words in history if words == "broadcast request") == pytest.approx(875.0)
    assert history[-1] == (1000.0, "broadcast discover")
    assert place.configured == ["+55", "-55"]


def test_any_server_may_renew_when_ours_is_gone() -> None:
    place = bound()
    place.until(880.0)
    assert place.client.state == "REBINDING"
    place.hears(wire.ACK, 880.0, server=OTHER_SERVER)
    assert place.client.state == "BOUND"
    assert place.configured == ["+55"]


def test_another_address_takes_the_place_of_the_old_one() -> None:
    place = bound()
    place.until(500.0)
    place.hears(wire.ACK, 500.0, ours=address("10.0.2.66"))
    assert place.configured == ["+55", "-55", "+66"]


def test_refused_while_renewing_the_address_goes_at_once() -> None:
    place = bound()
    place.until(500.0)
    place.hears(wire.NAK, 500.0)
    assert place.configured == ["+55", "-55"]


def test_an_address_that_somebody_has_is_declined_and_ten_seconds_pass() -> None:
    place = bound()
    place.client.decline(3.0)
    assert place.says() == ["broadcast decline"]
    options = dict(place.last.opts)
    assert (options[wire.REQUESTED], options[wire.SERVER]) == (OURS, SERVER)
    assert place.configured == ["+55", "-55"]
    place.until(12.9)
    assert place.says() == []
    place.until(13.0)
    assert place.says() == ["broadcast discover"]


def test_the_end_gives_the_lease_back() -> None:
    place = bound()
    place.client.stop(3.0)
    assert place.says() == ["unicast release"]
    assert place.configured == ["+55", "-55"]
    assert place.timers.pending == 0


def test_renewing_on_demand() -> None:
    place = bound()
    place.client.renew(3.0)
    assert place.says() == ["unicast request"]
    place.hears(wire.ACK, 3.1)
    assert "renews_in=500.0" in place.client.text(3.1)


def test_a_lease_for_ever_is_never_renewed() -> None:
    place = Place()
    place.client.start(0.0)
    place.hears(wire.OFFER, 0.0)
    forever = [(wire.KIND, b"\5"), (wire.SERVER, SERVER), (wire.LEASE, b"\xff" * 4)]
    fields = {"xid": place.client._xid, "yiaddr": int.from_bytes(OURS, "big"), "chaddr": MAC.ljust(16, b"\0")}
    reply = wire.parse(bytes(dpkt.dhcp.DHCP(op=2, opts=forever, **fields)))
    assert reply is not None
    place.client.receive(reply, 0.1)
    assert place.client.state == "BOUND"
    assert place.timers.pending == 0
    assert "lease=infinite" in place.client.text(1.0)
    assert "address=10.0.2.55/8" in place.client.text(1.0)
