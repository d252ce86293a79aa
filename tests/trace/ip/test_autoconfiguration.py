"""Autoconfigured addresses in virtual time: RFC 4862 §5.5, RFC 7217, RFC 8981."""

from __future__ import annotations

import math
import random

import pytest

from schemefs.net.addresses import packed
from schemefs.timers import Timers
from schemes.ip.v6 import autoconfiguration
from schemes.ip.v6.autoconfiguration import Autoconfiguration, AutoconfiguredAddress
from schemes.ip.v6.interface_identifiers import is_reserved, stable_identifier
from schemes.ip.v6.nd_options import INFINITE, Prefix

NETWORK = packed("2001:db8:1::")
OTHER = packed("2001:db8:2::")
DAY = 86400.0


class Interface:
    """Takes what the engine does to its interface, and lets time pass."""

    name = "eth0"
    mac = bytes.fromhex("020000000001")

    def __init__(self, secret: bytes = b"secret", mac: bytes = mac) -> None:
        self.timers = Timers()
        self.random = random.Random(1)
        self.mac = mac
        self.stable_secret = secret
        self.used: dict[bytes, AutoconfiguredAddress] = {}
        self.refused: list[str] = []
        self.taken: set[bytes] = set()
        self.turns = 0
        self.engine = Autoconfiguration(self)
        self.now = 0.0

    def add_autoconfigured(self, record, now) -> bool:
        assert record.address not in self.used
        if record.address in self.taken:
            return False
        self.used[record.address] = record
        return True

    def remove_autoconfigured(self, record, now) -> None:
        assert self.used.pop(record.address) is record

    def preferences_changed(self) -> None:
        self.turns += 1

    def refuse(self, reason: str) -> None:
        self.refused.append(reason)

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())
        self.now = deadline

    def prefix(self, valid: int, preferred: int, network: bytes = NETWORK, length: int = 64, autonomous=True) -> None:
        self.engine.receive_prefix(Prefix(network, length, True, autonomous, valid, preferred), self.now)

    def only(self) -> AutoconfiguredAddress:
        (record,) = self.used.values()
        return record

    def of(self, origin: str) -> list[AutoconfiguredAddress]:
        return [record for record in self.used.values() if record.origin == origin]


def test_an_address_is_preferred_then_deprecated_then_removed() -> None:
    """RFC 4862 §5.5.4."""
    eth0 = Interface()
    eth0.prefix(valid=100, preferred=50)
    record = eth0.only()
    assert record.address[:8] == NETWORK[:8]
    eth0.until(49.9)
    assert not record.is_deprecated
    assert not eth0.turns
    eth0.until(50.0)
    assert eth0.only().is_deprecated
    assert eth0.turns == 1
    eth0.until(99.9)
    assert eth0.used
    eth0.until(100.0)
    assert not eth0.used
    assert not eth0.timers.pending


@pytest.mark.parametrize(
    "prefix",
    [
        {"valid": 0, "preferred": 0},
        {"valid": 100, "preferred": 101},
        {"valid": 100, "preferred": 50, "network": packed("fe80::")},
        {"valid": 100, "preferred": 50, "length": 48},
        {"valid": 100, "preferred": 50, "autonomous": False},
    ],
)
def test_prefixes_that_form_no_address(prefix: dict) -> None:
    """RFC 4862 §5.5.3 (a) to (d)."""
    eth0 = Interface()
    eth0.prefix(**prefix)
    assert not eth0.used


def test_the_two_hour_rule() -> None:
    """RFC 4862 §5.5.3 (e): a forged advertisement can't end the use of an address at once."""
    eth0 = Interface()
    eth0.prefix(valid=10_000, preferred=5_000)
    record = eth0.only()
    eth0.prefix(valid=0, preferred=0)  # 3: two hours are left
    assert (record.valid_until, record.preferred_until) == (7200.0, 0.0)
    eth0.until(1000.0)
    eth0.prefix(valid=60, preferred=30)  # 2: the valid lifetime is ignored, the preferred one is not
    assert (record.valid_until, record.preferred_until) == (7200.0, 1030.0)
    eth0.prefix(valid=7000, preferred=30)  # 1: longer than what remains
    assert record.valid_until == 8000.0
    eth0.prefix(valid=7201, preferred=30)  # 1: longer than two hours
    assert record.valid_until == 8201.0
    eth0.prefix(valid=INFINITE, preferred=INFINITE)
    assert (record.valid_until, record.preferred_until) == (math.inf, math.inf)
    eth0.until(1e9)
    eth0.prefix(valid=7201, preferred=0)
    assert eth0.only() is record
    eth0.until(1e9 + 7201)
    assert not eth0.used


def test_stable_identifiers_are_those_of_the_network_and_the_interface() -> None:
    """RFC 7217 §3: the same each time in one network, unrelated in another, and to the hardware address."""

    def address(network: bytes, **fields) -> bytes:
        eth0 = Interface(**fields)
        eth0.prefix(valid=100, preferred=50, network=network)
        return eth0.only().address

    assert address(NETWORK) == address(NETWORK)
    assert address(NETWORK)[8:] != address(OTHER)[8:]
    assert address(NETWORK) != address(NETWORK, secret=b"another")
    assert address(NETWORK) != address(NETWORK, mac=bytes.fromhex("020000000002"))
    assert b"\xff\xfe" not in address(NETWORK)[11:13]


def test_reserved_identifiers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5453, RFC 7217 §5."""
    for text in ("::", "::fdff:ffff:ffff:ff80", "::fdff:ffff:ffff:ffff", "::200:5eff:fe00:0", "::200:5eff:feff:ffff"):
        assert is_reserved(packed(text)[8:])
    for text in ("::1", "::fdff:ffff:ffff:ff7f", "::200:5eff:ff00:0"):
        assert not is_reserved(packed(text)[8:])
    monkeypatch.setattr("schemes.ip.v6.interface_identifiers.is_reserved", lambda identifier: identifier[0] & 1)
    for number in range(8):
        identifier, counter = stable_identifier(NETWORK, b"eth0", 0, bytes((number,)))
        assert not identifier[0] & 1
        assert counter >= 1


def test_an_address_in_conflict_gets_another_identifier_three_times() -> None:
    """RFC 7217 §5 and §6."""
    eth0 = Interface()
    eth0.prefix(valid=10_000, preferred=5_000)
    seen = []
    for attempt in range(3):
        record = eth0.only()
        seen.append(record.address)
        assert eth0.engine.receive_duplicate(record.address, eth0.now)
        assert not eth0.used
        eth0.prefix(valid=10_000 + attempt, preferred=5_000)  # no second address while the next attempt waits
        assert not eth0.used
        eth0.until(eth0.now + 1.0)
        assert eth0.only().valid_until == eth0.now - 1.0 + 10_000 + attempt
    seen.append(eth0.only().address)
    assert len(set(seen)) == 4
    assert not eth0.engine.receive_duplicate(seen[0], eth0.now)
    assert eth0.engine.receive_duplicate(seen[3], eth0.now)
    eth0.until(eth0.now + 100.0)
    assert not eth0.used


def test_an_address_that_this_host_has_already_is_passed_over() -> None:
    first = Interface()
    first.prefix(valid=100, preferred=50)
    eth0 = Interface()
    eth0.taken.add(first.only().address)
    eth0.prefix(valid=100, preferred=50)
    assert eth0.only().address[:8] == NETWORK[:8]


def test_the_number_of_addresses_is_bounded() -> None:
    eth0 = Interface()
    for number in range(1000):
        eth0.prefix(valid=INFINITE, preferred=INFINITE, network=b"\x20\x01" + number.to_bytes(6, "big") + bytes(8))
    assert len(eth0.used) == autoconfiguration.MAX_ADDRESSES
    assert eth0.refused == ["too_many_addresses"] * (1000 - autoconfiguration.MAX_ADDRESSES)


def test_temporary_addresses_are_off_until_they_are_asked_for() -> None:
    eth0 = Interface()
    eth0.prefix(valid=INFINITE, preferred=INFINITE)
    assert not eth0.of("temporary")
    eth0.engine.set_temporary(True, 0.0)
    (record,) = eth0.of("temporary")
    assert record.address[:8] == NETWORK[:8]
    eth0.prefix(valid=INFINITE, preferred=INFINITE)
    eth0.prefix(valid=INFINITE, preferred=INFINITE, network=OTHER)
    assert len(eth0.of("temporary")) == 2
    eth0.engine.set_temporary(False, 0.0)
    assert not eth0.of("temporary")
    assert len(eth0.used) == 2


def test_a_temporary_address_has_a_successor_before_it_is_deprecated() -> None:
    """RFC 8981 §3.4 (3) to (5), §3.5: at most one day preferred, less up to 0.4 of it; two days valid."""
    eth0 = Interface()
    eth0.engine.set_temporary(True, 0.0)
    eth0.prefix(valid=INFINITE, preferred=INFINITE)
    (first,) = eth0.of("temporary")
    assert 0.6 * DAY <= first.preferred_until <= DAY
    assert first.valid_until == 2 * DAY
    change = first.preferred_until - autoconfiguration.REGENERATE_ADVANCE
    eth0.until(change - 0.001)
    assert eth0.of("temporary") == [first]
    eth0.until(change)
    _, second = eth0.of("temporary")
    assert second.address != first.address
    assert second.preferred_until - change != first.preferred_until  # another random part
    eth0.until(2 * DAY)
    assert first not in eth0.used.values()
    eth0.until(30 * DAY)
    assert 1 < len(eth0.of("temporary")) < 5
    assert sum(not record.is_deprecated for record in eth0.of("temporary")) in (1, 2)


def test_a_temporary_address_does_not_outlive_its_prefix() -> None:
    """RFC 8981 §3.4 (1), (2)."""
    eth0 = Interface()
    eth0.engine.set_temporary(True, 0.0)
    eth0.prefix(valid=100, preferred=50)
    (record,) = eth0.of("temporary")
    assert (record.preferred_until, record.valid_until) == (50.0, 100.0)
    eth0.until(40.0)
    eth0.prefix(valid=INFINITE, preferred=INFINITE)
    assert record.valid_until == 2 * DAY
    assert record.preferred_until <= DAY
    eth0.prefix(valid=9000, preferred=0)
    assert record.is_deprecated
    eth0.until(41.0)
    assert len(eth0.of("temporary")) == 1  # a deprecated prefix gets no new ones


def test_a_prefix_that_is_preferred_for_too_short_a_time_gets_no_temporary_address() -> None:
    """RFC 8981 §3.4 (5)."""
    eth0 = Interface()
    eth0.engine.set_temporary(True, 0.0)
    eth0.prefix(valid=100, preferred=5)
    assert not eth0.of("temporary")
    assert len(eth0.of("stable")) == 1


def test_no_advertisements_any_more() -> None:
    eth0 = Interface()
    eth0.prefix(valid=100, preferred=50)
    eth0.engine.receive_duplicate(eth0.only().address, 0.0)
    eth0.engine.stop(0.0)
    assert not eth0.used
    assert not eth0.timers.pending
