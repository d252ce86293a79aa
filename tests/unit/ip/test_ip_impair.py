"""An impaired interface: paths and neighbors go through the impairment, and after it the link is as before."""

from __future__ import annotations

from schemefs.net.impaired_link import ImpairedLink
from schemefs.net.impairment import parse_impairment
from tests.support.ip_host import PEER, IpHost, datagram


def test_a_path_in_use_follows_the_impairment_and_its_end() -> None:
    host = IpHost()
    host.resolve_peer()
    path = host.network.path(PEER)
    path.send(host.PROTOCOL, b"x" * 8, (), 0.0)
    assert len(host.sends()) == 1
    host.eth0.impair([parse_impairment("delay 1s seed 1")], 1.0)
    path.send(host.PROTOCOL, b"x" * 8, (), 1.0)
    assert host.sends() == []
    host.until(2.0)
    assert len(host.sends()) == 1
    host.eth0.impair([], 3.0)
    path.send(host.PROTOCOL, b"x" * 8, (), 3.0)
    assert len(host.sends()) == 1
    assert host.eth0.link is host.link


def test_arrivals_are_impaired_too_and_a_change_loses_nothing() -> None:
    host = IpHost()
    host.eth0.impair([parse_impairment("delay 5s direction in seed 1")], 0.0)
    host.receives_datagram(datagram(), 0.0)
    assert host.transport.received == []
    host.eth0.impair([parse_impairment("delay 1s direction in seed 1")], 1.0)
    assert len(host.transport.received) == 1
    assert isinstance(host.eth0.link, ImpairedLink)
    assert host.eth0.link.inner is host.link


def test_delayed_frames_that_find_the_link_full_at_the_end_are_counted() -> None:
    host = IpHost()
    host.resolve_peer()
    host.eth0.impair([parse_impairment("delay 5s seed 1")], 0.0)
    for _ in range(3):
        host.network.path(PEER).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.link.room = 1
    host.eth0.impair([], 1.0)
    assert len(host.sends()) == 1
    assert host.dropped == {"full_link": 2}


def test_a_seed_is_chosen_and_shown() -> None:
    host = IpHost()
    host.eth0.impair([parse_impairment("loss 5%")], 0.0)
    (impairment,) = host.eth0.impairments
    assert impairment.seed is not None
    assert next(iter(host.eth0.impairment_effects())).startswith("# in: frames=0 dropped_lost=0")


def test_an_interface_that_goes_leaves_no_timer() -> None:
    host = IpHost()
    host.resolve_peer()
    host.eth0.impair([parse_impairment("delay 5s seed 1")], 0.0)
    host.network.path(PEER).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.network.detach("eth0", 1.0)
    assert host.timers.pending == 0


def test_the_last_frame_that_the_impairment_dropped_is_described() -> None:
    host = IpHost()
    host.eth0.impair([parse_impairment("loss 100% direction in seed 1")], 0.0)
    host.receives_datagram(datagram(), 0.0)
    assert host.eth0.drop_samples()["impaired_lost"].startswith("0a:00:00:00:00:02 > 52:54:00:12:34:56 type 0x0800, 42")
