"""The order in which the addresses of a host are tried."""

from __future__ import annotations

import random

import pytest

from schemes.ip.destination_order import DestinationOrder
from tests.support.ip_host import address
from tests.support.ipv6_host import Ipv6Host


def packed(*texts: str) -> tuple[bytes, ...]:
    return tuple(map(address, texts))


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (("127.0.0.1", "::1"), ("::1", "127.0.0.1")),  # the precedence of ::1 is the highest
        (("2001:db8::9", "10.0.2.2"), ("10.0.2.2", "2001:db8::9")),  # no route to the first
        (("10.0.2.2", "fd00::2"), ("10.0.2.2", "fd00::2")),  # the precedence of fc00::/7 is below IPv4's
        (("fd00::2", "10.0.2.2"), ("10.0.2.2", "fd00::2")),
    ],
)
def test_the_rules_of_rfc_6724_with_the_routes_in_force(given: tuple[str, ...], ordered: tuple[str, ...]) -> None:
    order = DestinationOrder(Ipv6Host().network)
    assert order.ordered(packed(*given)) == packed(*ordered)


def test_addresses_of_ipv4_alone_keep_the_order_of_the_name_server() -> None:
    order = DestinationOrder(Ipv6Host().network)
    addresses = [bytes((10, 0, random.Random(1).randrange(256), last)) for last in range(20)]
    random.Random(2).shuffle(addresses)
    assert order.ordered(tuple(addresses)) == tuple(addresses)


def test_ipv6_is_used_with_an_address_that_is_not_the_links_own() -> None:
    host = Ipv6Host()
    order = DestinationOrder(host.network)
    assert order.uses_v6
    host.eth0.remove_address(address("fd00::15"), 64, 0.0)
    assert host.link_local in host.network.addresses.local
    assert not order.uses_v6
