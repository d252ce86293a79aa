"""Ports: claims collide as in bind(2); ephemeral ports are free, unpredictable and repeated late."""

from __future__ import annotations

import errno
import random

import pytest

from schemefs.errors import SchemeError
from schemefs.net.ports import HIGHEST_EPHEMERAL, LOWEST_EPHEMERAL, EphemeralPorts, PortTable

ANY = bytes(4)
US = bytes((10, 0, 2, 15))
PEER = bytes((10, 0, 2, 2))


@pytest.mark.parametrize(("first", "second"), [(ANY, US), (US, ANY), (US, US), (ANY, ANY)])
def test_the_same_port_collides_with_the_same_address_and_with_any(first: bytes, second: bytes) -> None:
    table = PortTable()
    claim = table.claim(first, 80)
    with pytest.raises(SchemeError) as caught:
        table.claim(second, 80)
    assert caught.value.errno == errno.EADDRINUSE
    table.release(claim)
    table.release(claim)
    table.claim(second, 80)


def test_any_of_one_family_leaves_the_other_free() -> None:
    table = PortTable()
    table.claim(bytes(4), 80)
    table.claim(bytes(16), 80)
    for taken in (b"", bytes(4), bytes(16), US, bytes(15) + b"\x01"):
        with pytest.raises(SchemeError, match="in use"):
            table.claim(taken, 80)


def test_two_addresses_share_a_port_and_sharers_of_one_uid_too() -> None:
    table = PortTable()
    table.claim(US, 80)
    table.claim(PEER, 80)
    table.claim(ANY, 5353, uid=1, shared=True)
    table.claim(ANY, 5353, uid=1, shared=True)
    with pytest.raises(SchemeError):
        table.claim(ANY, 5353, uid=2, shared=True)
    with pytest.raises(SchemeError):
        table.claim(ANY, 5353, uid=1)


def test_connections_to_one_peer_take_ports_in_turn() -> None:
    ports = EphemeralPorts(random.Random(1))
    first, second = (ports.allocate(US, PEER, 80, lambda _port: False) for _ in range(2))
    assert LOWEST_EPHEMERAL <= first <= HIGHEST_EPHEMERAL
    assert second - first in (1, LOWEST_EPHEMERAL - HIGHEST_EPHEMERAL)
    assert ports.allocate(US, PEER, 81, lambda _port: False) not in range(first, first + 3)


def test_ports_in_use_are_passed_over_and_running_out_is_an_error() -> None:
    ports = EphemeralPorts(random.Random(2))
    assert ports.allocate(US, PEER, 80, lambda port: port != 40000) == 40000
    assert ports.allocate_random(lambda port: port != 50000) == 50000
    for allocate in (
        lambda: ports.allocate(US, PEER, 80, lambda _: True),
        lambda: ports.allocate_random(lambda _: True),
    ):
        with pytest.raises(SchemeError) as caught:
            allocate()
        assert caught.value.errno == errno.EADDRNOTAVAIL
