"""Claiming an address by RFC 5227: probes, announcements, and a duplicate that is not defended against its owner."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from schemefs.alarm import Alarm
from schemes.ip.network import Network
from tests.ip_host import PEER, PEER_MAC, US, IpHost, MemoryLink

PROBE = "arp who-has 10.0.2.15 tell 0.0.0.0 > everybody"
ANNOUNCEMENT = "arp who-has 10.0.2.15 tell 10.0.2.15 > everybody"


class Claimant(IpHost):
    """A host that looks first whether its address is somebody else's."""

    def __init__(self) -> None:
        self.alarm = Alarm()
        self.network = Network(self.alarm, random.Random(1), detects_conflicts=True)
        self.link = MemoryLink()
        self.eth0 = self.network.attach(self.link, 0.0)
        self.eth0.add_address(US, 24, 0.0)

    def history(self, until: float) -> list[tuple[float, str]]:
        seen = [(0.0, line) for line in self.sends()]
        while self.alarm.next_deadline() <= until:
            now = self.alarm.next_deadline()
            self.alarm.on_deadline(now)
            seen += [(now, line) for line in self.sends()]
        return seen


def test_three_probes_then_two_announcements_at_the_times_of_the_rfc() -> None:
    host = Claimant()
    seen = host.history(60.0)
    assert [line for _, line in seen] == [PROBE] * 3 + [ANNOUNCEMENT] * 2
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(seen)]
    assert 1.0 <= gaps[0] <= 2.0
    assert 1.0 <= gaps[1] <= 2.0
    assert gaps[2:] == [pytest.approx(2.0), pytest.approx(2.0)]
    assert host.alarm.pending == 0


def test_it_answers_from_the_beginning() -> None:
    host = Claimant()
    host.sends()
    host.receives_arp("request", PEER, US, 0.1)
    assert host.sends() == ["arp reply 10.0.2.15 is-at 52:54:00:12:34:56 > 0a:00:00:00:00:02"]


def test_an_owner_that_answers_a_probe_is_not_fought() -> None:
    host = Claimant()
    host.sends()
    host.receives_arp("reply", US, bytes(4), 0.1)
    assert host.history(60.0) == []
    statistics = host.eth0.statistics()
    assert statistics["duplicate_addresses"] == "10.0.2.15"
    assert statistics["address_conflicts"] == 1
    assert host.eth0.claims.duplicates == {US: PEER_MAC}


def test_once_it_is_ours_it_is_defended() -> None:
    host = Claimant()
    host.history(60.0)
    host.receives_arp("request", US, US, 61.0)
    assert host.sends() == [ANNOUNCEMENT]
    assert host.eth0.statistics()["duplicate_addresses"] == "none"


def test_an_address_that_is_given_up_is_not_announced_any_more() -> None:
    host = Claimant()
    host.sends()
    host.eth0.remove_address(US, 24, 0.5)
    assert host.history(60.0) == []
    assert host.alarm.pending == 0


def test_an_interface_that_comes_up_again_claims_again() -> None:
    host = Claimant()
    host.history(60.0)
    host.eth0.set_up(False, 61.0)
    host.eth0.set_up(True, 62.0)
    assert host.sends() == [PROBE]
