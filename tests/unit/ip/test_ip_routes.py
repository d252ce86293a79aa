"""The routing table: what a lookup costs, however many rules there are, and which gateways are on the link."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemes.ip.routes import Route
from tests.support.ip_host import PEER_MAC, US, IpHost, MemoryLink, address


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
    routes._by_length[4] = {length: Counting(table) for length, table in routes._by_length[4].items()}
    lengths = len(routes._by_length[4])
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
    tables = {length: Counting(table) for length, table in routes._by_length[4].items()}
    routes._by_length[4] = tables
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


def test_a_gateway_is_on_the_link_of_the_longest_rule_without_a_gateway() -> None:
    """As on Linux: by the network of an address, a host route, or any other route to the link."""
    host = IpHost()
    routes = host.network.routes
    second = host.network.attach(MemoryLink("eth1"), 0.0)
    second.add_address(address("10.0.9.1"), 32, 0.0)
    gateway, prefix = address("172.31.1.1"), address("192.0.2.0")
    with pytest.raises(SchemeError, match="172.31.1.1 is not on a local network") as caught:
        routes.add(prefix, 24, via=gateway)
    assert caught.value.errno == errno.ENETUNREACH
    routes.add(address("172.31.0.0"), 16, interface="eth0")
    routes.add(gateway, 32, interface="eth1")
    routes.add(prefix, 24, via=gateway)
    routes.add(prefix, 25, via=gateway, interface="eth0")
    assert [str(route) for route in routes.list() if route.via == gateway] == [
        "192.0.2.0/24 via 172.31.1.1 dev eth1",
        "192.0.2.0/25 via 172.31.1.1 dev eth0",
    ]
    # A rule through a gateway puts nothing on the link.
    with pytest.raises(SchemeError, match="not on a network of eth1"):
        routes.add(prefix, 26, via=address("192.0.2.130"), interface="eth1")


def test_onlink_needs_no_other_rule() -> None:
    host = IpHost()
    routes = host.network.routes
    gateway = address("172.31.1.1")
    routes.remove(bytes(4), 0)
    routes.add(bytes(4), 0, via=gateway, interface="eth0", metric=3, onlink=True)
    assert str(next(routes.list())) == "default via 172.31.1.1 dev eth0 metric 3 onlink"
    assert "default via 172.31.1.1 dev eth0 metric 3 onlink (from 10.0.2.15)" in routes.explain(address("192.0.2.1"))
    assert routes.on_link(gateway) == ""
    for bad, options in ((US, {"interface": "eth0"}), (gateway, {"interface": "eth7"}), (gateway, {})):
        with pytest.raises(SchemeError):
            routes.add(address("192.0.2.0"), 24, via=bad, onlink=True, **options)


@pytest.mark.parametrize("how", ["host route", "onlink"])
def test_a_gateway_outside_every_network_is_a_neighbor(how: str) -> None:
    """It is asked by ARP with our address, its question is answered and remembered, its entry may be permanent."""
    host = IpHost()
    gateway = address("172.31.1.1")
    host.eth0.set_addresses([(US, 32)], 0.0)
    host.network.routes.remove(bytes(4), 0)
    with pytest.raises(SchemeError, match="not another host on a network"):
        host.eth0.add_neighbor(gateway, PEER_MAC, 0.0)
    if how == "host route":
        host.network.routes.add(gateway, 32, interface="eth0")
    host.network.routes.add(bytes(4), 0, via=gateway, interface="eth0", onlink=how == "onlink")
    host.sends()
    host.network.path(address("192.0.2.1")).send(253, bytes(8), (), 0.0)
    assert host.sends() == ["arp who-has 172.31.1.1 tell 10.0.2.15 > broadcast"]
    host.receives_arp("reply", gateway, US, 0.1)
    assert host.sends() == [f"ip 10.0.2.15 > 192.0.2.1 28 > {PEER_MAC.hex(':')}"]
    host.eth0.remove_neighbor(gateway, 0.2)
    host.receives_arp("request", gateway, US, 0.3)
    assert [entry.address for entry in host.eth0.neighbors()] == [gateway]
    host.eth0.add_neighbor(gateway, PEER_MAC, 0.4)
    host.receives_arp("request", address("172.31.1.2"), US, 0.5)
    assert [entry.state for entry in host.eth0.neighbors()] == ["PERMANENT"]


def test_a_rule_whose_gateway_is_no_longer_on_the_link_gives_way_to_a_new_one() -> None:
    host = IpHost()
    routes = host.network.routes
    host.eth0.set_addresses([(US, 32)], 0.0)
    assert str(next(routes.list())) == "default via 10.0.2.2 dev eth0"
    gateway = address("172.31.1.1")
    routes.add(gateway, 32, interface="eth0")
    routes.add(bytes(4), 0, via=gateway)
    assert [str(route) for route in routes.list() if route.via] == ["default via 172.31.1.1 dev eth0"]
    with pytest.raises(SchemeError, match="there is already: default via 172.31.1.1 dev eth0"):
        routes.add(bytes(4), 0, via=address("10.0.2.2"), interface="eth0", onlink=True)
