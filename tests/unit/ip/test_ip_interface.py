"""Changes of interfaces and routes on the running stack."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from tests.support.ip_host import PEER, US, IpHost, MemoryLink, address, datagram

OTHER = address("10.0.9.1")


def fails(number: int, call, *arguments, **options) -> None:
    with pytest.raises(SchemeError) as caught:
        call(*arguments, **options)
    assert caught.value.errno == number, caught.value
    assert caught.value.sentence


def listed(host: IpHost) -> list[str]:
    return [str(route) for route in host.network.routes.list()]


def test_setting_an_address_moves_its_network_and_keeps_routes_through_gateways() -> None:
    host = IpHost()
    seen: list[str] = []
    host.network.on_change.append(seen.append)
    host.eth0.set_addresses([(OTHER, 24)], 0.0)
    assert listed(host) == [
        "default via 10.0.2.2 dev eth0",
        "127.0.0.0/8 dev lo src 127.0.0.1",
        "10.0.9.0/24 dev eth0 src 10.0.9.1",
    ]
    assert not host.network.is_local(US)
    assert host.network.is_broadcast(address("10.0.9.255"))
    assert not host.network.is_broadcast(address("10.0.2.255"))
    assert set(seen) == {"route/list", "ifaces/eth0/addr/list"}
    assert host.network.path(PEER).source == OTHER


def test_several_addresses_and_the_source_that_fits_the_next_hop() -> None:
    host = IpHost()
    host.eth0.add_address(OTHER, 24, 0.0)
    host.eth0.add_address(address("10.0.9.2"), 24, 0.0)
    assert host.network.path(address("10.0.9.77")).source == OTHER
    assert host.network.path(address("192.0.2.1")).source == US
    assert host.network.path(address("192.0.2.1"), OTHER).source == OTHER
    host.eth0.remove_address(OTHER, 24, 0.0)
    assert listed(host)[-1] == "10.0.9.0/24 dev eth0 src 10.0.9.2"
    assert [text for text in listed(host) if "10.0.9" in text] == ["10.0.9.0/24 dev eth0 src 10.0.9.2"]
    host.receives_datagram(datagram(destination=OTHER))
    assert host.dropped == {"not_ours": 1}


@pytest.mark.parametrize(
    ("text", "length", "number"),
    [
        ("10.0.2.15", 24, errno.EEXIST),
        ("127.0.0.1", 8, errno.EEXIST),
        ("224.0.0.1", 24, errno.EINVAL),
        ("255.255.255.255", 32, errno.EINVAL),
        ("0.0.0.0", 0, errno.EINVAL),
        ("10.0.9.255", 24, errno.EINVAL),
        ("10.0.9.0", 24, errno.EINVAL),
        ("10.0.9.1", 33, errno.EINVAL),
        ("::", 64, errno.EINVAL),
        ("fd00::1", 129, errno.EINVAL),
        ("ff02::1", 64, errno.EINVAL),
    ],
)
def test_an_invalid_address_is_refused_and_nothing_changes(text: str, length: int, number: int) -> None:
    host = IpHost()
    fails(number, host.eth0.add_address, address(text), length, 0.0)
    fails(errno.EADDRNOTAVAIL, host.eth0.remove_address, OTHER, 24, 0.0)
    assert host.eth0.addresses == [(US, 24)]


def test_a_route_is_refused_with_its_reason() -> None:
    host = IpHost()
    add = host.network.routes.add
    prefix = address("192.0.2.0")
    fails(errno.ENETUNREACH, add, prefix, 24, via=OTHER)
    fails(errno.ENODEV, add, prefix, 24, interface="eth7")
    fails(errno.ENODEV, add, prefix, 24, via=PEER, interface="eth7")
    fails(errno.ENETUNREACH, add, prefix, 24, via=PEER, interface="lo")
    fails(errno.EINVAL, add, prefix, 24)
    fails(errno.EINVAL, add, prefix, 24, via=US)
    fails(errno.EINVAL, add, prefix, 33, via=PEER)
    fails(errno.EADDRNOTAVAIL, add, prefix, 24, via=PEER, source=OTHER)
    with pytest.raises(SchemeError, match="the gateway 10.0.2.2 is not of the same family as the destination"):
        add(bytes(16), 0, via=PEER)
    fails(errno.EEXIST, add, bytes(4), 0, via=address("10.0.2.3"))
    fails(errno.ESRCH, host.network.routes.remove, prefix, 24)
    add(bytes(4), 0, via=address("10.0.2.3"), metric=5)
    host.network.routes.remove(bytes(4), 0, via=PEER)
    assert listed(host)[0] == "default via 10.0.2.3 dev eth0 metric 5"


def test_a_second_default_route_takes_over_when_the_first_interface_goes_down() -> None:
    host = IpHost()
    second = host.network.attach(MemoryLink("eth1"), 0.0)
    second.add_address(OTHER, 24, 0.0)
    host.network.routes.add(bytes(4), 0, via=address("10.0.9.2"), metric=10)
    path = host.network.path(address("192.0.2.1"))
    assert path.source == US
    host.eth0.set_up(False, 0.0)
    assert host.network.path(address("192.0.2.1")).source == OTHER
    host.eth0.set_up(True, 0.0)
    assert host.network.path(address("192.0.2.1")).source == US


def test_explain_says_which_rule_and_why() -> None:
    host = IpHost()
    explain = host.network.routes.explain
    assert explain(US) == "10.0.2.15 is a local address: delivered through lo"
    assert explain(address("192.0.2.1")) == (
        "192.0.2.1 goes by: default via 10.0.2.2 dev eth0 (from 10.0.2.15): the only rule that matches"
    )
    assert explain(PEER).endswith("the longest prefix of those that match")
    host.network.routes.remove(bytes(4), 0)
    fails(errno.ENETUNREACH, explain, address("192.0.2.1"))


def test_mtu_mac_and_state_have_limits_and_act() -> None:
    host = IpHost()
    host.resolve_peer()
    path = host.network.path(PEER)
    fails(errno.EINVAL, host.eth0.set_mtu, 67, 0.0)
    fails(errno.EINVAL, host.eth0.set_mtu, 1501, 0.0)
    host.eth0.set_mtu(576, 0.0)
    assert path.mtu == 576
    fails(errno.EMSGSIZE, path.send, 253, bytes(8), (bytes(1000),), 0.0)
    fails(errno.EINVAL, host.eth0.set_mac, b"\xff" * 6, 0.0)
    fails(errno.EOPNOTSUPP, host.network.interfaces["lo"].set_mac, b"\x0a" * 6, 0.0)
    fails(errno.EINVAL, host.eth0.add_neighbor, OTHER, b"\x0a" * 6, 0.0)
    fails(errno.EINVAL, host.eth0.add_neighbor, PEER, b"\x0b" * 6, 0.0)
    fails(errno.ENOENT, host.eth0.remove_neighbor, OTHER, 0.0)


def test_a_transport_that_waits_for_room_learns_that_the_interface_went_down() -> None:
    host = IpHost()
    host.resolve_peer()
    path = host.network.path(PEER)
    host.link.room = 0
    assert not path.send(253, bytes(8), (), 0.0)
    host.eth0.set_up(False, 1.0)
    assert host.transport.space == 1
    fails(errno.ENETUNREACH, path.send, 253, bytes(8), (), 1.0)


def test_removing_a_neighbor_reports_its_queued_datagrams() -> None:
    host = IpHost()
    host.network.path(PEER).send(253, bytes(8), (), 0.0)
    host.eth0.remove_neighbor(PEER, 1.0)
    assert [error.errno for error in host.transport.errors] == [errno.EHOSTUNREACH]
    assert host.timers.pending == 0


def test_a_path_whose_source_was_removed_is_refused() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.eth0.set_addresses([(OTHER, 24)], 0.0)
    fails(errno.ENETUNREACH, path.send, 253, bytes(8), (), 0.0)


def test_the_steps_are_logged_at_level_trace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(TRACE, "schemefs"):
        host = IpHost()
        host.network.path(PEER).send(253, bytes(8), (), 0.0)
        host.until(1.0)
        host.receives_arp("reply", PEER, US, now=1.5)
        host.receives_datagram(datagram(p=99))
    for line in (
        "ARP request for 10.0.2.2 (try 1)",
        "ARP request for 10.0.2.2 (try 2)",
        "ARP reply from 10.0.2.2 with MAC 0a:00:00:00:00:02",
        "queued datagram for 10.0.2.2 sent, 0 left",
    ):
        assert line in caplog.messages
    assert any(message.startswith("dropped_unknown_protocol: 28 octets") for message in caplog.messages)


def test_setting_several_addresses_touches_none_that_stays_and_is_all_or_nothing() -> None:
    host = IpHost()
    second = address("10.0.2.16")
    host.eth0.add_address(second, 24, 0.0)
    host.network.routes.add(address("10.9.0.0"), 16, via=PEER, source=second)
    host.sends()
    before = list(host.network.routes.list())
    host.eth0.set_addresses([(US, 24), (second, 24)], 1.0)
    assert list(host.network.routes.list()) == before
    assert host.sends() == []  # nothing is claimed anew
    with pytest.raises(SchemeError):
        host.eth0.set_addresses([(OTHER, 24), (address("127.0.0.1"), 8)], 2.0)
    assert host.eth0.addresses == [(US, 24), (second, 24)]
