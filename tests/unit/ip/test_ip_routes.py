"""The cost of the routing table: a lookup asks one dict per prefix length, however many rules there are."""

from __future__ import annotations

import pytest

from schemes.ip.routes import Route
from tests.support.ip_host import IpHost, address


class Counting(dict):  # type: ignore[type-arg]
    """Counts how often it is asked."""

    asked = 0

    def get(self, key, default=None):  # type: ignore[no-untyped-def]
        Counting.asked += 1
        return super().get(key, default)


def test_a_lookup_asks_once_for_each_prefix_length_however_many_rules_there_are() -> None:
    host = IpHost()
    routes = host.network.routes
    for number in range(20_000):
        prefix = 16 + number % 8
        bits = (11 << 24) + (number // 8 << 24 - prefix + 8 & 0xFFFFFF)
        network = (bits >> 32 - prefix << 32 - prefix).to_bytes(4, "big")
        routes.add(network, prefix, interface="eth0", metric=number)
    routes._by_length = {length: Counting(table) for length, table in routes._by_length.items()}
    lengths = len(routes._by_length)
    assert lengths == 11  # 16 to 23, the networks of eth0 and lo, the default
    for text in ("203.0.113.1", "11.0.0.1", "10.0.2.2"):
        Counting.asked = 0
        assert routes.lookup(address(text)) is not None
        assert Counting.asked <= lengths


def test_removing_one_rule_touches_no_other_prefix() -> None:
    host = IpHost()
    routes = host.network.routes
    for number in range(1000):
        routes.add(bytes((11, number >> 8, number & 255, 0)), 24, interface="eth0")
    tables = {length: Counting(table) for length, table in routes._by_length.items()}
    routes._by_length = tables
    Counting.asked = 0
    routes.remove(bytes((11, 0, 7, 0)), 24)
    assert Counting.asked == 1
    assert routes.lookup(address("11.0.7.1")).via == address("10.0.2.2")  # type: ignore[union-attr]


def test_the_cost_of_an_address_does_not_grow_with_the_square_of_those_there(monkeypatch: pytest.MonkeyPatch) -> None:
    host = IpHost()
    for third in range(100):
        host.eth0.add_address(bytes((10, 9, third, 1)), 24, 0.0)
    compared: list[object] = []
    equal = Route.__eq__

    def comparing(self: Route, other: object) -> bool:
        compared.append(other)
        return equal(self, other)

    monkeypatch.setattr(Route, "__eq__", comparing)
    host.eth0.add_address(bytes((10, 9, 100, 1)), 24, 0.0)
    assert len(compared) < 500  # it was 10 000 and more
