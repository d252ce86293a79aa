"""Redirects as a host takes them, and advertisements as a router sends them: RFC 4861 §8 and §6.2."""

from __future__ import annotations

import itertools
import random

from schemefs.net.addresses import packed
from schemefs.timers import Timers
from schemes.ip.v6 import redirects, router_advertiser
from schemes.ip.v6.nd_messages import Redirect, RouterAdvertisement, parse_router_advertisement
from schemes.ip.v6.nd_options import Options
from schemes.ip.v6.redirects import Redirects
from schemes.ip.v6.router_advertiser import RouterAdvertiser
from schemes.ip.v6.scopes import ALL_NODES

ONE, TWO, THREE = packed("fe80::1"), packed("fe80::2"), packed("fe80::3")
FAR, NEAR = packed("2001:db8:f::1"), packed("2001:db8:1::9")


def redirect(destination: bytes, target: bytes) -> Redirect:
    return Redirect(target, destination, b"", b"")


def test_a_redirect_of_the_first_hop_is_followed_and_no_other() -> None:
    """RFC 4861 §8.1, §8.3."""
    table = Redirects()
    assert not table.receive(redirect(FAR, TWO), TWO, ONE)
    assert table.first_hop(FAR) == b""
    assert table.receive(redirect(FAR, TWO), ONE, ONE)
    assert table.first_hop(FAR) == TWO
    # the first hop is the second router now, so the first one has no say
    assert not table.receive(redirect(FAR, THREE), ONE, ONE)
    assert table.receive(redirect(FAR, THREE), TWO, ONE)
    assert table.first_hop(FAR) == THREE
    assert table.receive(redirect(FAR, ONE), THREE, ONE)  # back to the way of the routing table
    assert len(table) == 0


def test_a_redirect_to_the_destination_itself_says_that_it_is_on_the_link() -> None:
    table = Redirects()
    assert table.receive(redirect(NEAR, NEAR), ONE, ONE)
    assert table.first_hop(NEAR) == NEAR


def test_a_redirect_ends_with_its_first_hop_and_with_its_router() -> None:
    table = Redirects()
    table.receive(redirect(FAR, TWO), ONE, ONE)
    table.receive(redirect(NEAR, THREE), ONE, ONE)
    assert not table.forget(packed("fe80::99"))
    assert table.forget(TWO)
    assert table.first_hop(FAR) == b""
    assert table.first_hop(NEAR) == THREE
    assert table.forget(ONE)
    assert len(table) == 0


def test_the_number_of_redirects_is_bounded() -> None:
    table = Redirects()
    for number in range(1000):
        assert table.receive(redirect(FAR[:14] + number.to_bytes(2, "big"), TWO), ONE, ONE)
    assert len(table) == redirects.MAX_REDIRECTS
    assert table.first_hop(FAR[:14] + (999).to_bytes(2, "big")) == TWO
    table.clear()
    assert len(table) == 0


class Interface:
    name = "eth0"

    def __init__(self) -> None:
        self.timers = Timers()
        self.random = random.Random(1)
        self.sent: list[tuple[float, int]] = []
        self.engine = RouterAdvertiser(self)

    def send_advertisement(self, message: bytes, now: float) -> None:
        parsed = parse_router_advertisement(message, ONE, ALL_NODES, 255)
        self.sent.append((now, parsed.lifetime))

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())


MESSAGE = RouterAdvertisement(64, False, False, 0, 1800, 0, 0, Options())


def test_three_advertisements_at_short_intervals_then_at_random_ones() -> None:
    """RFC 4861 §6.2.4."""
    eth0 = Interface()
    eth0.until(1000.0)
    assert not eth0.sent
    eth0.engine.start(MESSAGE, 1000.0)
    eth0.until(10_000.0)
    times = [when for when, _ in eth0.sent]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 1000.0
    assert pauses[:2] == [router_advertiser.INITIAL_INTERVAL] * 2
    assert all(router_advertiser.MIN_INTERVAL <= pause <= router_advertiser.MAX_INTERVAL for pause in pauses[2:])
    assert len(set(pauses[2:])) == len(pauses[2:]) > 10


def test_a_solicitation_is_answered_within_half_a_second_and_a_flood_every_three_seconds() -> None:
    """RFC 4861 §6.2.6."""
    eth0 = Interface()
    eth0.engine.receive_solicitation(0.0)
    eth0.engine.start(MESSAGE, 0.0)
    eth0.until(100.0)
    eth0.sent.clear()
    for tenth in range(100):
        eth0.until(100.0 + tenth / 10)
        eth0.engine.receive_solicitation(100.0 + tenth / 10)
    times = [when for when, _ in eth0.sent]
    assert 100.0 <= times[0] <= 100.5
    assert len(times) in (3, 4)
    assert all(after - before >= router_advertiser.MIN_DELAY for before, after in itertools.pairwise(times))


def test_a_router_that_stops_says_so() -> None:
    """RFC 4861 §6.2.5."""
    eth0 = Interface()
    eth0.engine.start(MESSAGE, 0.0)
    eth0.until(50.0)
    eth0.sent.clear()
    eth0.engine.stop(50.0)
    eth0.engine.stop(51.0)
    eth0.engine.receive_solicitation(51.0)
    eth0.until(10_000.0)
    assert eth0.sent == [(50.0, 0)]
    assert not eth0.timers.pending
