"""Address conflict detection (RFC 5227): probes, announcements, and an address that is given up to its owner."""

from __future__ import annotations

import errno
import random
from itertools import pairwise

import pytest

from schemefs.errors import SchemeError
from schemefs.timers import Timers
from schemes.ip.network import Network
from tests.support.ip_host import MAC, PEER, PEER_MAC, US, IpHost, MemoryLink, address, datagram

PROBE = "arp who-has 10.0.2.15 tell 0.0.0.0 > broadcast"
ANNOUNCEMENT = "arp who-has 10.0.2.15 tell 10.0.2.15 > broadcast"


class DetectingHost(IpHost):
    """A host that probes its address."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.network = Network(self.timers, random.Random(1), detects_conflicts=True)
        self.link = MemoryLink()
        self.eth0 = self.network.attach(self.link, 0.0)
        self.eth0.add_address(US, 24, 0.0)

    def history(self, until: float) -> list[tuple[float, str]]:
        seen = [(0.0, line) for line in self.sends()]
        while self.timers.next_deadline() <= until:
            now = self.timers.next_deadline()
            self.timers.on_deadline(now)
            seen += [(now, line) for line in self.sends()]
        return seen


def test_three_probes_then_two_announcements_at_the_times_of_the_rfc() -> None:
    host = DetectingHost()
    seen = host.history(60.0)
    assert [line for _, line in seen] == [PROBE] * 3 + [ANNOUNCEMENT] * 2
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(seen)]
    assert 1.0 <= gaps[0] <= 2.0
    assert 1.0 <= gaps[1] <= 2.0
    assert gaps[2:] == [pytest.approx(2.0), pytest.approx(2.0)]
    assert host.timers.pending == 0


def test_requests_are_answered_from_the_start() -> None:
    host = DetectingHost()
    host.sends()
    host.receives_arp("request", PEER, US, 0.1)
    assert host.sends() == ["arp reply 10.0.2.15 is-at 52:54:00:12:34:56 > 0a:00:00:00:00:02"]


def test_an_owner_that_answers_a_probe_keeps_the_address() -> None:
    host = DetectingHost()
    changes: list[str] = []
    host.network.on_change.append(changes.append)
    host.sends()
    host.receives_arp("reply", US, bytes(4), 0.1)
    assert host.history(60.0) == []
    statistics = host.eth0.statistics()
    assert statistics["duplicate_addresses"] == "10.0.2.15"
    assert statistics["address_conflicts"] == 1
    assert host.eth0.duplicates == {US: PEER_MAC}
    assert changes == ["route/list", "ifaces/eth0/addr/list", "ifaces/eth0/addr/duplicates"]


def test_an_address_given_up_is_neither_answered_for_nor_sent_from() -> None:
    host = DetectingHost()
    path = host.network.path(PEER)
    host.receives_arp("reply", US, bytes(4), 0.1)
    host.sends()
    host.receives_arp("request", PEER, US, 0.2)
    host.receives_datagram(datagram(), 0.3)
    assert host.sends() == []
    assert not host.network.is_local(US)
    assert host.dropped == {"not_ours": 1, "unneeded_arp": 1}
    with pytest.raises(
        SchemeError, match=r"not a local address: 10\.0\.2\.15 is in use by 0a:00:00:00:00:02"
    ) as raised:
        path.send(253, b"", (), 0.4)
    assert raised.value.errno == errno.ENETUNREACH
    assert host.eth0.addresses == []
    assert host.eth0.configured == [(US, 24)]


def test_with_a_route_left_the_error_names_the_host_that_has_the_address() -> None:
    host = DetectingHost()
    host.network.routes.add(bytes(4), 0, via=PEER)
    host.receives_arp("reply", US, bytes(4), 0.1)
    sentence = r"eth0 has no source address: 10\.0\.2\.15 is in use by 0a:00:00:00:00:02"
    with pytest.raises(SchemeError, match=sentence) as raised:
        host.network.path(address("192.0.2.1"))
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_no_cache_learns_the_address_before_an_owner_could_answer() -> None:
    """The rule of RFC 4429 §3.3, for ARP: requests have no sender address in the first second."""
    host = DetectingHost()
    host.sends()
    host.network.path(PEER).send(253, b"", (), 0.5)
    assert host.sends() == ["arp who-has 10.0.2.2 tell 0.0.0.0 > broadcast"]
    host.receives_arp("reply", PEER, bytes(4), 0.6)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 20 > 0a:00:00:00:00:02"]
    assert [neighbor.state for neighbor in host.eth0.neighbors()] == ["REACHABLE"]  # a solicited reply, too
    host.history(2.0)
    host.network.path(address("10.0.2.9")).send(253, b"", (), 2.0)
    assert host.sends() == ["arp who-has 10.0.2.9 tell 10.0.2.15 > broadcast"]


def test_requests_in_the_first_second_are_answered_until_an_owner_replies() -> None:
    """RFC 4429 §3.3: a tentative address is answered for. RFC 5227 §2.1.1: until an owner replies."""
    host = DetectingHost()
    host.sends()
    answer = f"arp reply 10.0.2.15 is-at {MAC.hex(':')} > {PEER_MAC.hex(':')}"
    host.receives_arp("request", PEER, US, 0.1)
    host.receives_arp("request", bytes(4), US, 0.2)  # a probe
    assert host.sends() == [answer, answer]
    host.receives_arp("reply", US, bytes(4), 0.3, mac=b"\x0a\0\0\0\0\x15")
    host.receives_arp("request", PEER, US, 0.4)
    assert host.sends() == []


def test_a_leased_address_is_defended_once_and_given_up_after_a_second_conflict_within_ten_seconds() -> None:
    """RFC 5227 §2.4 (b)."""
    host = DetectingHost()
    host.eth0.remove_address(US, 24, 0.0)
    host.eth0.add_address(US, 24, 0.0, is_leased=True)
    heard: list[str] = []
    host.network.on_conflict.append(lambda _address, sentence, _now: heard.append(sentence))
    host.history(60.0)
    host.receives_arp("request", US, US, 61.0)
    assert host.sends() == [ANNOUNCEMENT]
    host.receives_arp("request", US, US, 71.1)
    assert host.sends() == [ANNOUNCEMENT]
    assert host.eth0.duplicates == {}
    host.receives_arp("request", US, US, 81.0)
    assert host.sends() == []
    assert host.eth0.duplicates == {US: PEER_MAC}
    assert heard[2:] == ["10.0.2.15 on eth0 is given up, because of repeated use by 0a:00:00:00:00:02"]


def test_an_address_configured_by_hand_is_never_given_up() -> None:
    """RFC 5227 §2.4 (c)."""
    host = DetectingHost()
    heard: list[tuple[bytes, str, float]] = []
    host.network.on_conflict.append(lambda *conflict: heard.append(conflict))
    host.history(60.0)
    for second in range(100):
        host.receives_arp("request", US, US, 61.0 + second)
        host.receives_arp("reply", US, PEER, 61.5 + second)
    assert host.sends() == [ANNOUNCEMENT] * 10
    assert host.eth0.duplicates == {}
    assert host.network.is_local(US)
    assert host.eth0.statistics()["address_conflicts"] == 200
    sentence = "10.0.2.15 is also used by 0a:00:00:00:00:02: it is defended"
    assert heard == [(US, sentence, 61.0 + 10 * number) for number in range(10)]


def test_a_leased_address_that_is_then_configured_by_hand_is_defended() -> None:
    host = DetectingHost()
    other = address("10.0.2.16")
    host.eth0.add_address(other, 24, 0.0, is_leased=True)
    host.eth0.remove_address(other, 24, 0.1)
    host.eth0.add_address(other, 24, 0.2)
    host.history(60.0)
    for second in range(20):
        host.receives_arp("request", other, other, 61.0 + second)
    assert host.eth0.duplicates == {}


def test_an_address_given_up_is_probed_every_minute_and_used_again_without_an_answer() -> None:
    host = DetectingHost()
    host.sends()
    host.receives_arp("reply", US, bytes(4), 1.0)
    assert host.history(61.0) == []
    [(asked_at, line)] = host.history(host.timers.next_deadline())
    assert line == PROBE
    assert 61.0 <= asked_at <= 71.0
    host.receives_arp("reply", US, bytes(4), asked_at + 0.1)
    assert host.history(asked_at + 60.0) == []
    assert host.eth0.addresses == []
    seen = host.history(200.0)
    assert [line for _, line in seen] == [PROBE] * 3 + [ANNOUNCEMENT] * 2
    assert host.eth0.addresses == [(US, 24)]
    assert host.eth0.duplicates == {}
    assert host.timers.pending == 0


def test_a_probe_of_another_host_for_an_address_given_up_is_a_conflict() -> None:
    host = DetectingHost()
    host.receives_arp("reply", US, bytes(4), 1.0)
    host.sends()
    [(asked_at, _)] = host.history(host.timers.next_deadline())
    host.receives_arp("request", bytes(4), US, asked_at + 0.1)
    assert host.history(asked_at + 60.0) == []
    assert host.eth0.addresses == []


def test_adding_an_address_again_probes_it_again_and_removing_it_ends_that() -> None:
    host = DetectingHost()
    host.receives_arp("reply", US, bytes(4), 0.1)
    host.sends()
    host.eth0.add_address(US, 24, 0.2)
    assert host.sends() == [PROBE]
    assert host.eth0.addresses == [(US, 24)]
    host.receives_arp("reply", US, bytes(4), 0.3)
    host.eth0.remove_address(US, 24, 0.4)
    assert host.eth0.configured == []
    assert host.eth0.duplicates == {}
    assert host.history(200.0) == []


def test_an_interface_that_comes_up_probes_addresses_given_up() -> None:
    host = DetectingHost()
    host.receives_arp("reply", US, bytes(4), 0.1)
    host.eth0.set_up(False, 0.2)
    host.sends()
    host.eth0.set_up(True, 0.3)
    assert host.sends() == [PROBE]
    assert host.eth0.addresses == [(US, 24)]


def test_a_rule_whose_source_was_given_up_stays_and_uses_another_source() -> None:
    host = DetectingHost()
    host.eth0.add_address(address("10.0.2.16"), 24, 0.0)
    host.network.routes.add(address("192.0.2.0"), 24, via=PEER, source=US)
    host.receives_arp("reply", US, bytes(4), 0.1)
    assert host.network.path(address("192.0.2.1")).source == address("10.0.2.16")
    host.history(200.0)
    assert host.network.path(address("192.0.2.1")).source == US


def test_a_removed_address_is_not_announced() -> None:
    host = DetectingHost()
    host.sends()
    host.eth0.remove_address(US, 24, 0.5)
    assert host.history(60.0) == []
    assert host.timers.pending == 0


def test_an_interface_that_comes_up_probes_its_addresses() -> None:
    host = DetectingHost()
    host.history(60.0)
    host.eth0.set_up(False, 61.0)
    host.eth0.set_up(True, 62.0)
    assert host.sends() == [PROBE]
