"""ARP and neighbors, as packet traces: RFC 826, RFC 4861 §7.3, RFC 5227."""

from __future__ import annotations

import errno

from tests.support.ip_host import BROADCAST_MAC, MAC, PEER, PEER_MAC, US, IpHost, address, datagram

STRANGER_MAC = bytes.fromhex("0a00000000bb")
OTHER = address("10.0.2.77")


def send(host: IpHost, destination: bytes = PEER, now: float = 0.0, payload: bytes = b"x" * 8) -> bool:
    return host.network.path(destination).send(host.PROTOCOL, payload, (), now)


def state(host: IpHost, of: bytes = PEER) -> str:
    neighbor = host.eth0.neighbor_table.get(of)
    return neighbor.state if neighbor else "none"


def test_a_request_for_our_address_makes_an_entry_so_that_no_request_of_ours_is_needed() -> None:
    host = IpHost()
    host.receives_arp("request", PEER, US, now=0.1)
    assert host.sends() == ["arp reply 10.0.2.15 is-at 52:54:00:12:34:56 > 0a:00:00:00:00:02"]
    assert send(host, now=0.2)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]


def test_queued_datagrams_are_sent_in_order_after_the_reply() -> None:
    host = IpHost()
    for size in (8, 9, 10):
        assert send(host, payload=bytes(size))
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"]
    host.receives_arp("reply", PEER, US, now=0.5)
    assert [line.split()[4] for line in host.sends()] == ["28", "29", "30"]
    assert state(host) == "REACHABLE"


def test_requests_at_0_1_and_2_seconds_then_ehostunreach_for_every_queued_datagram() -> None:
    host = IpHost()
    send(host)
    send(host)
    asked = []
    for now in (0.0, 1.0, 2.0):
        host.until(now)
        asked.append(host.sends())
    assert asked == [["arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"]] * 3
    assert not host.transport.errors
    host.until(3.0)
    assert [error.errno for error in host.transport.errors] == [errno.EHOSTUNREACH] * 2
    error = host.transport.errors[0]
    assert (error.source, error.destination, error.transport) == (US, PEER, b"x" * 8)
    assert error.sentence == "10.0.2.2 does not answer ARP requests on eth0"
    assert state(host) == "FAILED"
    assert host.dropped == {"unreachable_neighbor": 2}
    # The next one asks again.
    send(host, now=4.0)
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"]


def test_a_dead_neighbor_holds_up_no_other() -> None:
    host = IpHost()
    send(host, OTHER)
    send(host, PEER)
    host.sends()
    host.receives_arp("reply", PEER, US, now=0.1)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]
    assert state(host, OTHER) == "INCOMPLETE"


def test_a_full_queue_refuses_and_calls_transmit_space_when_it_has_room() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    sent = 0
    while path.send(host.PROTOCOL, bytes(8), (), 0.0):
        sent += 1
    assert sent == 512
    assert host.transport.space == 0
    host.receives_arp("reply", PEER, US, now=0.1)
    assert host.transport.space == 1
    assert len(host.sends()) == sent + 1
    assert path.send(host.PROTOCOL, bytes(8), (), 0.2)


def test_a_queue_that_meets_a_full_link_goes_on_where_it_stopped() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    for size in (8, 9, 10):
        assert path.send(host.PROTOCOL, bytes(size), (), 0.0)
    host.sends()
    host.link.room = 1
    host.receives_arp("reply", PEER, US, now=0.1)
    assert path.send(host.PROTOCOL, bytes(11), (), 0.1)  # queued behind the others
    assert [line.split()[4] for line in host.sends()] == ["28"]
    host.link.room = 10
    host.link.on_space(0.2)
    assert [line.split()[4] for line in host.sends()] == ["29", "30", "31"]


def test_reachable_becomes_stale_then_delay_on_use_then_probe_by_unicast() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    path.send(host.PROTOCOL, bytes(8), (), 0.0)
    host.receives_arp("reply", PEER, US, now=0.0)
    host.until(46.0)  # at most 1.5 times 30 s
    assert state(host) == "STALE"
    host.sends()
    path.send(host.PROTOCOL, bytes(8), (), 50.0)
    assert state(host) == "DELAY"
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]
    host.until(55.0)
    assert state(host) == "PROBE"
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > 0a:00:00:00:00:02"]
    host.receives_arp("reply", PEER, US, now=55.1)
    assert state(host) == "REACHABLE"


def test_a_neighbor_that_went_away_gets_three_unicast_requests_before_a_broadcast() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.resolve_peer()
    path.send(host.PROTOCOL, bytes(8), (), 0.0)
    host.until(5.0 + 3.0)
    assert state(host) == "FAILED"
    host.sends()
    path.send(host.PROTOCOL, bytes(8), (), 9.0)
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"]


def test_an_unused_stale_entry_arms_no_timer() -> None:
    host = IpHost()
    host.resolve_peer()
    assert host.timers.pending == 0


def test_an_unsolicited_reply_makes_no_entry() -> None:
    host = IpHost()
    host.receives_arp("reply", OTHER, US)
    host.receives_arp("request", OTHER, OTHER)  # gratuitous
    host.receives_arp("request", OTHER, PEER)  # for another host
    assert state(host, OTHER) == "none"
    assert not host.sends()


def test_another_host_cannot_take_over_an_address_whose_owner_replies() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.resolve_peer()
    path.send(host.PROTOCOL, bytes(8), (), 0.0)
    host.sends()
    host.receives_arp("reply", PEER, US, now=1.0, mac=STRANGER_MAC)
    # The owner is asked; datagrams sent meanwhile wait.
    path.send(host.PROTOCOL, bytes(8), (), 1.0)
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > 0a:00:00:00:00:02"]
    host.receives_arp("reply", PEER, US, now=1.1)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]
    assert state(host) == "REACHABLE"
    # For DISPUTE_PAUSE, further claims are ignored.
    host.receives_arp("request", PEER, US, now=2.0, mac=STRANGER_MAC)
    path.send(host.PROTOCOL, bytes(8), (), 2.0)
    assert host.sends()[-1:] == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]


def test_a_new_owner_is_believed_when_it_replies_and_the_old_one_does_not() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.resolve_peer()
    path.send(host.PROTOCOL, bytes(8), (), 0.0)
    host.receives_arp("request", PEER, US, now=1.0, mac=STRANGER_MAC)
    host.sends()
    path.send(host.PROTOCOL, bytes(8), (), 1.1)
    host.until(1.75)
    assert host.sends()[-1] == "arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"
    host.receives_arp("reply", PEER, US, now=1.8, mac=STRANGER_MAC)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:bb"]  # nothing was lost
    path.send(host.PROTOCOL, bytes(9), (), 1.9)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 29 > 0a:00:00:00:00:bb"]
    assert state(host) == "REACHABLE"


def test_an_owner_whose_replies_are_lost_is_not_replaced_by_a_host_that_does_not_reply() -> None:
    host = IpHost()
    host.resolve_peer()
    host.receives_arp("request", PEER, US, now=1.0, mac=STRANGER_MAC)
    host.until(1.75)
    host.receives_arp("request", PEER, US, now=1.8, mac=STRANGER_MAC)  # a request, not a reply
    assert state(host) == "INCOMPLETE"
    host.receives_arp("reply", PEER, US, now=1.9)
    assert [(n.mac, n.state) for n in host.eth0.neighbors()] == [(PEER_MAC, "REACHABLE")]


def test_when_neither_replies_queued_datagrams_are_reported() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.resolve_peer()
    host.receives_arp("request", PEER, US, now=1.0, mac=STRANGER_MAC)
    path.send(host.PROTOCOL, bytes(8), (), 1.1)
    host.until(4.0)
    assert [error.errno for error in host.transport.errors] == [errno.EHOSTUNREACH]
    host.receives_arp("request", PEER, US, now=5.0, mac=STRANGER_MAC)
    assert state(host) == "STALE"  # either may be right


def test_a_static_entry_is_not_changed_by_arp() -> None:
    host = IpHost()
    host.eth0.add_neighbor(PEER, PEER_MAC, 0.0)
    host.receives_arp("reply", PEER, US, mac=STRANGER_MAC)
    send(host)
    assert host.sends() == ["ip 10.0.2.15 > 10.0.2.2 28 > 0a:00:00:00:00:02"]
    assert [(n.address, n.state) for n in host.eth0.neighbors()] == [(PEER, "PERMANENT")]


def test_our_address_is_defended_once_in_ten_seconds() -> None:
    """RFC 5227 §2.4 (c), for a router: it keeps the address, and its announcements are limited."""
    host = IpHost()
    host.network.set_forwarding(True, 0.0)
    for now in (100.0, 101.0, 111.0):
        host.receives_arp("request", US, US, now, mac=STRANGER_MAC)
    assert host.sends() == ["arp who-has 10.0.2.15 tell 10.0.2.15 > broadcast"] * 2
    assert host.eth0.statistics()["address_conflicts"] == 3


def test_a_probe_without_address_is_answered_and_not_learned() -> None:
    host = IpHost()
    host.receives_arp("request", bytes(4), US)
    assert host.sends() == ["arp reply 10.0.2.15 is-at 52:54:00:12:34:56 > 0a:00:00:00:00:02"]
    assert state(host, bytes(4)) == "none"


def test_the_table_is_bounded_and_keeps_entries_in_use() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    host.resolve_peer()
    path.send(host.PROTOCOL, bytes(8), (), 0.0)
    host.eth0.add_address(address("10.9.0.1"), 16, 0.0)
    for number in range(3000):
        sender = bytes((10, 9, 1 + number // 250, number % 250))
        host.receives_arp("request", sender, address("10.9.0.1"), now=1.0, mac=b"\x0a" + sender + b"\x01")
    assert len(host.eth0.neighbor_table) == 1024
    assert state(host) == "DELAY"


def test_bad_arp_is_counted() -> None:
    host = IpHost()
    host.receives(BROADCAST_MAC + PEER_MAC + b"\x08\x06" + bytes(28))
    host.receives(BROADCAST_MAC + PEER_MAC + b"\x08\x06" + b"\0\1\x08\0\6\4\0\1")
    host.receives_arp("request", PEER, US, mac=MAC)
    host.receives_arp("request", PEER, US, mac=BROADCAST_MAC)
    assert host.dropped == {"bad_arp": 4}


def test_an_address_is_announced_when_it_is_set() -> None:
    host = IpHost()
    host.eth0.set_addresses([(OTHER, 24)], 5.0)
    assert host.sends() == ["arp who-has 10.0.2.77 tell 10.0.2.77 > broadcast"]
    host.receives_datagram(datagram(destination=US))
    assert host.dropped == {"not_ours": 1}
    host.receives_datagram(datagram(destination=OTHER))
    assert len(host.transport.received) == 1


def test_observers_of_the_list_are_called_once_per_burst() -> None:
    host = IpHost()
    changes: list[str] = []
    host.network.on_change.append(changes.append)

    def told() -> list[str]:
        host.timers.on_deadline(0.0)
        seen, changes[:] = list(changes), []
        return seen

    send(host)
    send(host, OTHER)
    assert told() == ["ifaces/eth0/neighbors/list"]
    host.receives_arp("reply", PEER, US, now=0.0)
    assert told() == ["ifaces/eth0/neighbors/list"]
    send(host)
    assert told() == []
    host.eth0.add_neighbor(OTHER, PEER_MAC, 0.0)
    assert told() == ["config", "ifaces/eth0/neighbors/list"]
    host.eth0.remove_neighbor(OTHER, 0.0)
    assert told() == ["config", "ifaces/eth0/neighbors/list"]


def test_the_queues_of_many_dead_neighbors_are_bounded_and_a_new_one_can_begin() -> None:
    host = IpHost()
    host.eth0.add_address(address("10.9.0.1"), 16, 0.0)
    for number in range(1000):
        path = host.network.path(bytes((10, 9, 1 + number // 250, number % 250)))
        while path.send(host.PROTOCOL, bytes(1400), (), 0.0):
            pass
    assert 16 << 20 <= host.eth0.waiting_octets < 18 << 20
    assert send(host)
    host.receives_arp("reply", PEER, US, now=0.1)
    host.until(10.0)
    assert host.eth0.waiting_octets == 0


def test_a_request_that_a_full_link_refuses_is_counted_and_sent_again() -> None:
    host = IpHost()
    host.link.room = 0
    send(host)
    assert host.dropped == {"full_link_arp": 1}
    host.link.room = 10
    host.until(1.0)
    assert host.sends() == ["arp who-has 10.0.2.2 tell 10.0.2.15 > broadcast"]


def test_a_path_says_how_long_it_has_waited_for_the_next_hop() -> None:
    host = IpHost()
    path = host.network.path(PEER)
    assert path.waited(0.0) == 0
    path.send(host.PROTOCOL, b"x" * 8, (), 1.0)
    assert path.waited(1.5) == 0.5
    host.receives_arp("reply", PEER, US, now=1.9)
    assert round(path.waited(3.0), 9) == 0.4
    assert path.waited(4.0) == 0


def test_a_waiting_conversation_records_a_static_entry_and_nothing_after_it() -> None:
    host = IpHost()
    told: list[str] = []
    path = host.network.path(OTHER)
    path.sink = lambda _now, text, *_: told.append(text)
    path.send(host.PROTOCOL, b"x" * 8, (), 0.0)
    host.eth0.add_neighbor(OTHER, PEER_MAC, 0.1)
    host.eth0.remove_neighbor(OTHER, 0.2)
    assert told == ["ARP who-has 10.0.2.77 (try 1)", "ARP 10.0.2.77 is at 0a:00:00:00:00:02, set by hand"]
