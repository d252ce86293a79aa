"""A dead gateway beside a second default route: datagrams leave by the second until the first answers again."""

from __future__ import annotations

from schemes.ip.neighbors import CAPACITY
from tests.support.ip_host import PEER, PEER_MAC, US, IpHost, MemoryLink, address

SECOND = address("10.0.2.3")
SECOND_MAC = bytes.fromhex("0a0000000003")
FAR = address("192.0.2.1")


def host_with_two_gateways() -> IpHost:
    host = IpHost()
    host.network.routes.add(bytes(4), 0, via=SECOND, metric=10)
    host.eth0.add_neighbor(SECOND, SECOND_MAC, 0.0)
    return host


def next_hops(host: IpHost) -> list[str]:
    return [line.split(" > ")[-1] for line in host.sends() if line.startswith("ip")]


def test_datagrams_queued_for_a_dead_gateway_leave_by_the_second_one() -> None:
    host = host_with_two_gateways()
    path = host.network.path(FAR)
    assert path.send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(2.9)
    assert next_hops(host) == []
    host.until(3.0)
    assert next_hops(host) == [SECOND_MAC.hex(":")]
    assert not host.transport.errors
    assert path.send(host.PROTOCOL, b"x" * 8, (), 3.1)
    assert next_hops(host) == [SECOND_MAC.hex(":")]
    assert "while 10.0.2.2 does not answer" in host.network.routes.explain(FAR)


def test_a_dead_gateway_is_probed_every_ten_seconds_and_used_again_when_it_answers() -> None:
    host = host_with_two_gateways()
    path = host.network.path(FAR)
    path.send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    host.sends()
    asked = []
    for now in (12.9, 13.0, 23.0):
        host.until(now)
        asked.append(host.sends())
    request = "arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"
    assert asked == [[], [request], [request]]
    host.receives_arp("reply", PEER, host.eth0.addresses[0][0], now=23.1)
    path.send(host.PROTOCOL, b"x" * 8, (), 23.2)
    assert next_hops(host) == [PEER_MAC.hex(":")]
    host.until(28.0)  # later it is probed like every neighbor in use
    assert request not in host.sends()


def test_the_only_gateway_is_tried_each_time_and_not_probed_in_the_background() -> None:
    host = IpHost()
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    assert len(host.transport.errors) == 1
    assert host.timers.pending == 0


def test_with_two_dead_gateways_the_error_is_that_of_one_and_the_first_stays_preferred() -> None:
    host = IpHost()
    host.network.routes.add(bytes(4), 0, via=SECOND, metric=10)
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(6.0)
    assert len(host.transport.errors) == 1
    route = host.network.routes.lookup(FAR)
    assert route is not None
    assert route.via == PEER
    assert "while 10.0.2.2 and 10.0.2.3 do not answer" in host.network.routes.explain(FAR)


def test_a_dead_gateway_that_is_set_by_hand_is_used_again() -> None:
    host = host_with_two_gateways()
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    host.sends()
    host.eth0.add_neighbor(PEER, PEER_MAC, 4.0)
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 4.1)
    assert next_hops(host) == [PEER_MAC.hex(":")]
    assert host.timers.pending == 0


def test_a_more_special_route_does_not_fall_back_to_a_shorter_prefix() -> None:
    host = host_with_two_gateways()
    host.network.routes.add(address("192.0.2.0"), 24, via=PEER)
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    route = host.network.routes.lookup(FAR)
    assert route is not None
    assert (route.prefix_length, route.via) == (24, PEER)
    assert len(host.transport.errors) == 1


def test_a_removed_route_ends_the_probes() -> None:
    host = host_with_two_gateways()
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    host.network.routes.remove(bytes(4), 0, via=PEER)
    host.until(13.0)
    assert host.timers.pending == 0


def test_a_detached_interface_has_no_dead_gateways() -> None:
    host = host_with_two_gateways()
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.until(3.0)
    host.eth0.set_up(False, 4.0)
    assert host.timers.pending == 0
    assert host.network.routes.dead == set()


def host_that_has_just_heard_both() -> IpHost:
    host = IpHost()
    host.network.routes.add(bytes(4), 0, via=SECOND, metric=10)
    host.eth0.add_neighbor(SECOND, SECOND_MAC, 0.0)
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.receives_arp("reply", PEER, US, now=0.0)
    host.sends()
    return host


def seconds_until_the_second_one_is_used(host: IpHost, *, suspected_at: float | None = None) -> float:
    """Send ten times a second through a first gateway that has fallen silent at 0."""
    path = host.network.path(FAR)
    for tenth in range(1, 600):
        now = tenth / 10
        host.until(now)
        if suspected_at is not None and now >= suspected_at:
            path.suspect(now)
        assert path.send(host.PROTOCOL, b"x" * 8, (), now)
        if SECOND_MAC.hex(":") in next_hops(host):
            return now
    raise AssertionError


def test_a_gateway_that_dies_under_traffic_is_avoided_within_eight_seconds() -> None:
    assert seconds_until_the_second_one_is_used(host_that_has_just_heard_both()) <= 8.0


def test_a_suspected_gateway_is_probed_at_once() -> None:
    host = host_that_has_just_heard_both()
    assert seconds_until_the_second_one_is_used(host, suspected_at=1.0) <= 4.1


def test_a_gateway_that_answers_stays_however_much_it_is_suspected() -> None:
    host = host_that_has_just_heard_both()
    path = host.network.path(FAR)
    questions = 0
    for tenth in range(10, 100):
        now = tenth / 10
        host.until(now)
        path.suspect(now)
        path.send(host.PROTOCOL, b"x" * 8, (), now)
        sent = host.sends()
        if f"arp who-has 10.0.2.2 tell 10.0.2.15 > {PEER_MAC.hex(':')}" in sent:
            questions += 1
            host.receives_arp("reply", PEER, US, now=now)
        assert f"ip 10.0.2.15 > 192.0.2.1 28 > {PEER_MAC.hex(':')}" in sent
    assert 8 <= questions <= 10  # no more than one a second


def test_the_only_gateway_is_not_probed_more_often_than_other_neighbors() -> None:
    host = IpHost()
    path = host.network.path(FAR)
    path.send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.receives_arp("reply", PEER, US, now=0.0)
    host.sends()
    for now in range(1, 15):
        host.until(now)
        path.send(host.PROTOCOL, b"x" * 8, (), now)
        assert [line for line in host.sends() if line.startswith("arp")] == []


def test_suspecting_an_unknown_neighbor_or_lo_is_harmless() -> None:
    host = IpHost()
    host.network.path(FAR).suspect(0.0)
    host.network.path(US).suspect(0.0)
    assert host.sends() == []


def test_a_neighbor_removed_with_queued_datagrams_does_not_come_back() -> None:
    host = IpHost()
    neighbor = address("10.0.2.77")
    for forget in (lambda: host.eth0.remove_neighbor(neighbor, 0.5), lambda: host.eth0.set_up(False, 0.5)):
        host.network.path(neighbor).send(host.PROTOCOL, b"x" * 8, (), 0.0)
        forget()
        assert list(host.eth0.neighbors()) == []
    assert len(host.transport.errors) == 2


def test_a_gateway_removed_with_queued_datagrams_does_not_come_back() -> None:
    host = host_with_two_gateways()
    host.network.path(FAR).send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.eth0.remove_neighbor(PEER, 0.5)
    assert [neighbor.address for neighbor in host.eth0.neighbors()] == [SECOND]


def test_a_full_table_of_unresolved_neighbors_does_not_grow() -> None:
    host = IpHost()
    host.eth0.add_address(address("10.9.0.1"), 16, 0.0)
    for number in range(2, CAPACITY + 100):
        host.network.path(address("10.9.0.0")[:2] + number.to_bytes(2, "big")).send(host.PROTOCOL, b"x" * 8, (), 0.0)
        assert len(host.eth0.neighbor_table) <= CAPACITY
    assert len(host.transport.errors) == 98


def host_with_a_narrow_second_route() -> tuple[IpHost, MemoryLink]:
    host = IpHost()
    narrow = MemoryLink("eth1", mtu=600)
    eth1 = host.network.attach(narrow, 0.0)
    eth1.add_address(address("192.168.0.1"), 24, 0.0)
    eth1.add_neighbor(address("192.168.0.9"), SECOND_MAC, 0.0)
    host.network.routes.add(bytes(4), 0, via=address("192.168.0.9"), metric=5)
    narrow.sent.clear()
    return host, narrow


def test_a_datagram_too_large_for_the_second_route_is_not_sent_by_it() -> None:
    host, narrow = host_with_a_narrow_second_route()
    path = host.network.path(FAR)
    for size in (580, 581):
        path.send(host.PROTOCOL, b"x" * size, (), 0.0)
    host.until(3.0)
    assert [len(frame) for frame, _ in narrow.sent] == [614]
    assert len(host.transport.errors) == 1


def test_the_segments_of_a_super_segment_must_fit_the_second_route() -> None:
    host, narrow = host_with_a_narrow_second_route()
    path = host.network.path(FAR)
    for size in (560, 561):
        path.send(host.PROTOCOL, bytes(20), (bytes(1400),), 0.0, checksum_offset=16, gso_size=size)
    host.until(3.0)
    assert [offload.gso_size for _, offload in narrow.sent] == [560]
    assert len(host.transport.errors) == 1
