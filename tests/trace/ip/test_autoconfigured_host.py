"""A whole host on a link with routers: what it sends, and what advertisements, redirects and queries change."""

from __future__ import annotations

import random

import pytest

from schemefs.net.addresses import packed, presentation
from schemefs.net.checksum import checksum, is_valid, pseudo_header_sum
from schemefs.net.offload import NO_OFFLOAD
from schemefs.net.zones import with_zone, without_zone
from schemefs.timers import Timers
from schemes.ip import ethernet
from schemes.ip.network import Network
from schemes.ip.v6 import autoconfigured_interface, mld_messages, nd_messages, wire
from schemes.ip.v6.nd_messages import NeighborAdvertisement, Redirect, RouterAdvertisement
from schemes.ip.v6.nd_options import NameServers, Options, Prefix
from schemes.ip.v6.scopes import ALL_NODES, ANY, solicited_node
from tests.support.ip_host import MAC, MemoryLink, Recorder

ONE, TWO = packed("fe80::1"), packed("fe80::2")
MACS = {ONE: bytes.fromhex("0a0000000001"), TWO: bytes.fromhex("0a0000000002")}
NETWORK = packed("2001:db8:1::")
PREFIX = Prefix(NETWORK, 64, True, True, 10_000, 5_000)
FAR = packed("2001:db8:f::1")
LINK_LOCAL = packed("fe80::5054:ff:fe12:3456")
ALERT = bytes((wire.ICMPV6, 0, 5, 2, 0, 0, 1, 0))


class Host:
    def __init__(self, *, detects_conflicts: bool = True) -> None:
        self.timers = Timers()
        self.network = Network(self.timers, random.Random(1), detects_conflicts=detects_conflicts, has_ipv6=True)
        self.names: list[tuple] = []
        self.asked: list[str] = []
        self.network.on_names.append(lambda *names: self.names.append(names))
        self.network.on_other_configuration.append(lambda name, now: self.asked.append(name))
        self.link = MemoryLink()
        self.eth0 = self.network.attach(self.link, 0.0)
        self.transport = Recorder()
        self.network.register_transport(253, self.transport)
        self.now = 0.0

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())
        self.now = deadline

    def sends(self) -> list[tuple[bytes, bytes, bytes, bytes, int]]:
        """Return (MAC, source, destination, ICMPv6 message, hop limit) of what was sent since the last look."""
        found = []
        for frame, _ in self.link.sent:
            assert frame[12:14] == b"\x86\xdd"
            _, length, protocol, hop_limit, source, destination = wire.HEADER.unpack_from(frame, 14)
            assert length == len(frame) - 54
            message = frame[54:]
            if protocol == wire.HOP_BY_HOP:
                assert message[:8] == ALERT
                protocol, message = message[0], message[8:]
            if protocol == wire.ICMPV6:
                assert is_valid(message, pseudo_header_sum(source, destination, wire.ICMPV6, len(message)))
            found.append((frame[:6], source, destination, message, hop_limit))
        self.link.sent.clear()
        return found

    def kinds(self) -> list[int]:
        return [message[0] for _, _, _, message, _ in self.sends()]

    def receives(
        self, message: bytes, source: bytes = ONE, destination: bytes = ALL_NODES, hop_limit: int = 255, before=b""
    ) -> None:
        value = checksum(message, pseudo_header_sum(source, destination, wire.ICMPV6, len(message)))
        payload = before + message[:2] + value.to_bytes(2, "big") + message[4:]
        protocol = wire.HOP_BY_HOP if before else wire.ICMPV6
        datagram = wire.header(source, destination, protocol, len(payload), hop_limit=hop_limit) + payload
        mac = ethernet.group_mac(destination) if destination[0] == 0xFF else MAC
        frame = ethernet.HEADER.pack(mac, MACS.get(source, MACS[ONE]), ethernet.TYPE_IPV6) + datagram
        self.link.receive(memoryview(frame), NO_OFFLOAD, self.now)

    def advertised(self, router: bytes = ONE, lifetime: int = 1800, preference: int = 0, other=False, **fields) -> None:
        options = Options(source_mac=MACS[router], **fields)
        message = RouterAdvertisement(0, False, other, preference, lifetime, 0, 0, options)
        self.receives(nd_messages.build_router_advertisement(message), router)

    def addresses(self) -> list[str]:
        return [presentation(without_zone(address)) for address, _ in self.eth0.addresses]

    def next_mac(self, destination: bytes = FAR) -> bytes:
        """Send a datagram, and return the hardware address that it went to; empty: it waits for one."""
        self.sends()
        self.network.path(destination).send(253, b"x" * 8, (), self.now)
        macs = [mac for mac, _, _, message, _ in self.sends() if message == b"x" * 8]
        return macs[0] if macs else b""

    @property
    def dropped(self) -> dict[str, int]:
        return {reason: count for reason, count in self.network.counters.dropped.items() if count}


def test_an_interface_that_comes_up_probes_joins_and_solicits() -> None:
    """RFC 4862 §5.3, §5.4.2; RFC 3810 §6.1; RFC 4861 §6.3.7."""
    host = Host()
    host.until(1.5)
    sent = host.sends()
    by_kind = {message[0]: (mac, source, destination, hop) for mac, source, destination, message, hop in sent}
    group = solicited_node(LINK_LOCAL)
    assert by_kind[nd_messages.NEIGHBOR_SOLICITATION] == (ethernet.group_mac(group), ANY, group, 255)
    report = by_kind[mld_messages.REPORT]
    assert report == (bytes.fromhex("333300000016"), LINK_LOCAL, mld_messages.ALL_ROUTERS_V2, 1)
    records = [message[12:28] for _, _, _, message, _ in sent if message[0] == mld_messages.REPORT]
    assert records == [group, group]
    mac, source, destination, hop = by_kind[nd_messages.ROUTER_SOLICITATION]
    assert (mac, source, hop) == (bytes.fromhex("333300000002"), LINK_LOCAL, 255)
    assert presentation(destination) == "ff02::2"


def test_an_advertisement_gives_address_route_and_mtu() -> None:
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX], mtu=1400, other=True, name_servers=[NameServers(100, (packed("fe80::53"),))])
    host.until(1.0)
    mine = host.addresses()[1]
    assert packed(mine)[:8] == NETWORK[:8]
    lines = {str(route) for route in host.network.routes.list()}
    assert lines == {"2001:db8:1::/64 dev eth0 metric 256", "default via fe80::1%eth0 dev eth0 metric 1024"}
    path = host.network.path(FAR)
    assert presentation(path.source) == mine
    assert path.mtu == 1400
    assert host.next_mac() == MACS[ONE]
    assert host.asked == ["eth0"]
    assert host.names == [("eth0", (with_zone(packed("fe80::53"), host.eth0.zone),), ())]
    host.until(1801.0)
    assert not any("default" in str(route) for route in host.network.routes.list())
    host.until(10_000.0)
    assert len(host.addresses()) == 1
    assert not list(host.network.routes.list())


def test_the_hop_limit_that_routers_advertise_is_used_unless_one_is_set() -> None:
    """RFC 4861 §6.3.4; a smaller one than 32 is not believed."""
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX])
    path = host.network.path(FAR)

    def hops(hop_limit: int = 0) -> int:
        host.sends()
        path.send(253, b"x" * 8, (), 1.0, hop_limit=hop_limit)
        return next(hops for _, _, _, message, hops in host.sends() if message == b"x" * 8)

    assert (hops(), path.hop_limit) == (64, 64)
    for advertised, used in ((200, 200), (0, 200), (31, 200), (32, 32)):
        message = RouterAdvertisement(advertised, False, False, 0, 1800, 0, 0, Options())
        host.receives(nd_messages.build_router_advertisement(message))
        assert hops() == used
        assert hops(9) == 9
    assert path.hop_limit == 32


def test_the_source_is_of_a_prefix_that_the_next_hop_advertises() -> None:
    """RFC 6724 §5, rule 5.5: its provider would drop the other one (RFC 8028 §3.3)."""
    other = PREFIX._replace(network=packed("2001:db8:2::"))
    for preferred, network in ((ONE, NETWORK), (TWO, other.network)):
        host = Host(detects_conflicts=False)
        host.advertised(ONE, preference=int(preferred == ONE), prefixes=[PREFIX])
        host.advertised(TWO, preference=int(preferred == TWO), prefixes=[other])
        assert host.network.path(FAR).source[:8] == network[:8]
        assert host.network.path(packed("2001:db8:1::9")).source[:8] == NETWORK[:8]
        assert host.network.path(packed("2001:db8:2::9")).source[:8] == other.network[:8]


def test_a_source_that_is_kept_leaves_by_the_router_of_its_prefix() -> None:
    """RFC 8028 §3.1: a connection goes on when another router becomes the preferred one, and where its own is lost."""
    host = Host(detects_conflicts=False)
    host.advertised(TWO, prefixes=[PREFIX])
    path = host.network.path(FAR)
    host.advertised(ONE, preference=1, prefixes=[PREFIX._replace(network=packed("2001:db8:2::"))])
    assert host.next_mac() == MACS[ONE]

    def mac() -> bytes:
        host.sends()
        path.send(253, b"y" * 8, (), host.now)
        return next(mac for mac, _, _, message, _ in host.sends() if message == b"y" * 8)

    assert mac() == MACS[TWO]
    host.advertised(TWO, lifetime=0)
    assert mac() == MACS[ONE]


def test_a_router_in_use_survives_a_flood_of_invented_ones() -> None:
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX], preference=0)
    assert host.next_mac() == MACS[ONE]
    host.until(6.0)  # it was used, and is asked whether it is there
    answer = NeighborAdvertisement(ONE, MACS[ONE], True, True, True)
    host.receives(nd_messages.build_neighbor_advertisement(answer), ONE, LINK_LOCAL)
    for number in range(100):
        host.until(7.0 + number)
        message = RouterAdvertisement(0, False, False, 1, 1800, 0, 0, Options(source_mac=MACS[TWO]))
        host.receives(nd_messages.build_router_advertisement(message), b"\xfe\x80" + bytes(12) + bytes((1, number)))
    assert without_zone(ONE) in host.eth0.v6.autoconfigured.routers.routers
    assert len(host.eth0.v6.autoconfigured.routers.routers) == 16


def test_a_prefix_that_changes_deprecates_the_old_address() -> None:
    """RFC 4862 §5.5.4, RFC 6724 rule 3."""
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX])
    old = host.network.path(FAR).source
    path = host.network.path(FAR)
    new = PREFIX._replace(network=packed("2001:db8:2::"))
    host.advertised(prefixes=[PREFIX._replace(preferred_lifetime=0, valid_lifetime=7200), new])
    assert host.network.path(FAR).source[:8] == new.network[:8]
    assert old in [address for address, _ in host.eth0.addresses]
    assert path.source == old  # a conversation keeps its address while it is valid
    host.until(7200.0)
    assert old not in [address for address, _ in host.eth0.addresses]


def test_a_duplicate_is_replaced_by_another_identifier() -> None:
    """RFC 4862 §5.4.5, RFC 7217 §6."""
    host = Host()
    host.until(5.0)
    host.advertised(prefixes=[PREFIX])
    first = packed(host.addresses()[1])
    told = NeighborAdvertisement(first, MACS[TWO], False, False, True)
    host.receives(nd_messages.build_neighbor_advertisement(told), TWO)
    assert len(host.addresses()) == 1
    assert not host.eth0.duplicates
    host.until(10.0)
    (second,) = host.addresses()[1:]
    assert packed(second)[:8] == NETWORK[:8]
    assert packed(second) != first


def test_a_router_that_does_not_answer_is_replaced_by_the_other_one() -> None:
    """RFC 4861 §6.3.6, RFC 1122 §3.3.1.5: by the dead gateway detection of both families."""
    host = Host(detects_conflicts=False)
    host.advertised(ONE, preference=1, prefixes=[PREFIX])
    host.advertised(TWO)
    assert host.next_mac() == MACS[ONE]
    host.until(40.0)  # it is STALE, so it is probed when used
    for _ in range(3):
        host.next_mac()
        host.until(host.now + 5.0)
    told = NeighborAdvertisement(TWO, MACS[TWO], True, True, True)
    host.receives(nd_messages.build_neighbor_advertisement(told), TWO, LINK_LOCAL)
    assert host.next_mac() == MACS[TWO]
    assert "while fe80::1%eth0 does not answer" in host.network.routes.explain(FAR)


def test_a_router_that_becomes_a_host_is_not_used() -> None:
    """RFC 4861 §7.2.5."""
    host = Host(detects_conflicts=False)
    host.advertised(ONE)
    told = NeighborAdvertisement(ONE, MACS[ONE], False, False, True)
    host.receives(nd_messages.build_neighbor_advertisement(told), ONE)
    assert not list(host.network.routes.list())


def test_a_redirect_of_the_first_hop_is_followed_until_its_target_is_silent() -> None:
    """RFC 4861 §8.1, §8.3, §7.3.3."""
    host = Host(detects_conflicts=False)
    host.advertised(ONE, prefixes=[PREFIX])
    assert host.next_mac() == MACS[ONE]
    redirect = nd_messages.build_redirect(Redirect(TWO, FAR, MACS[TWO], b""))
    host.receives(redirect, TWO, LINK_LOCAL)
    assert host.dropped == {"bad_redirect": 1}
    assert host.next_mac() == MACS[ONE]
    host.receives(redirect, ONE, LINK_LOCAL)
    assert host.next_mac() == MACS[TWO]
    assert host.next_mac(packed("2001:db8:f::2")) == MACS[ONE]
    host.until(6.0)  # both were used, so both are probed, and one answers
    told = NeighborAdvertisement(ONE, MACS[ONE], True, True, True)
    host.receives(nd_messages.build_neighbor_advertisement(told), ONE, LINK_LOCAL)
    host.until(10.0)
    assert host.next_mac() == MACS[ONE]


def test_a_redirect_to_the_destination_says_that_it_is_on_the_link() -> None:
    host = Host(detects_conflicts=False)
    host.advertised(ONE, prefixes=[PREFIX._replace(on_link=False)])
    near = packed("2001:db8:1::9")
    assert host.next_mac(near) == MACS[ONE]
    host.receives(nd_messages.build_redirect(Redirect(near, near, MACS[TWO], b"")), ONE, LINK_LOCAL)
    assert host.next_mac(near) == MACS[TWO]


def test_messages_from_elsewhere_change_nothing() -> None:
    """RFC 4861 §6.1.2, §8.1: hop limit, source."""
    host = Host(detects_conflicts=False)
    octets = nd_messages.build_router_advertisement(
        RouterAdvertisement(0, False, False, 0, 1800, 0, 0, Options(prefixes=[PREFIX]))
    )
    host.receives(octets, ONE, hop_limit=254)
    host.receives(octets, packed("2001:db8::1"))
    assert host.dropped == {"nd_hop_limit": 1, "nd_bad_address": 1}
    assert not list(host.network.routes.list())


def test_a_router_accepts_no_advertisements() -> None:
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX])
    assert len(host.addresses()) == 2
    host.network.set_forwarding(True, 0.0)
    assert len(host.addresses()) == 1
    assert not list(host.network.routes.list())
    host.advertised(prefixes=[PREFIX])
    assert host.dropped == {"unneeded_nd": 1}
    host.until(1.0)
    host.sends()
    host.network.set_forwarding(False, 1.0)
    host.until(2.0)
    assert nd_messages.ROUTER_SOLICITATION in host.kinds()


def test_an_interface_that_goes_down_forgets_and_one_that_comes_up_asks() -> None:
    host = Host(detects_conflicts=False)
    host.advertised(prefixes=[PREFIX])
    host.until(5.0)
    host.eth0.set_up(False, 5.0)
    assert not list(host.network.routes.list())
    host.sends()
    host.eth0.set_up(True, 6.0)
    host.until(8.0)
    assert {nd_messages.ROUTER_SOLICITATION, mld_messages.REPORT} <= set(host.kinds())


@pytest.mark.parametrize(("before", "hop_limit", "dropped"), [
    (ALERT, 1, {}),
    (b"", 1, {"bad_mld": 1}),
    (bytes((wire.ICMPV6, 0, 1, 4, 0, 0, 0, 0)), 1, {"bad_mld": 1}),
    (ALERT, 2, {"bad_mld": 1}),
])  # fmt: skip
def test_a_query_needs_the_router_alert(before: bytes, hop_limit: int, dropped: dict) -> None:
    """RFC 3810 §6.2."""
    host = Host(detects_conflicts=False)
    host.until(20.0)
    host.sends()
    host.receives(mld_messages.build_query(ANY, 1.0), hop_limit=hop_limit, before=before)
    host.until(21.0)
    assert host.dropped == dropped
    reports = [message for _, _, _, message, _ in host.sends() if message[0] == mld_messages.REPORT]
    assert len(reports) == (not dropped)
    assert all(message[8] == mld_messages.IS_EXCLUDE for message in reports)


def test_a_group_that_a_user_joins_is_reported_and_one_that_is_left_too() -> None:
    host = Host(detects_conflicts=False)
    host.until(20.0)
    host.sends()
    group = packed("ff05::1:3")
    host.network.join_group(group, 20.0)
    host.until(22.0)
    host.network.leave_group(group, 22.0)
    host.until(24.0)
    reports = [message[8] for _, _, _, message, _ in host.sends() if message[0] == mld_messages.REPORT]
    assert reports == [mld_messages.TO_EXCLUDE] * 2 + [mld_messages.TO_INCLUDE] * 2


def test_a_flood_of_advertisements_costs_bounded_memory() -> None:
    host = Host(detects_conflicts=False)
    for number in range(2000):
        octets = number.to_bytes(6, "big")
        prefix = PREFIX._replace(network=b"\x20\x01" + octets + bytes(8))
        message = RouterAdvertisement(0, False, False, 0, 1800, 0, 0, Options(source_mac=MACS[ONE], prefixes=[prefix]))
        host.receives(nd_messages.build_router_advertisement(message), b"\xfe\x80" + bytes(8) + octets)
    assert len(host.eth0.addresses) <= 17
    assert len(list(host.network.routes.list())) <= 48
    assert len(host.eth0.v6.neighbor_table) <= autoconfigured_interface.BURST + 1


def test_a_flood_of_advertisements_and_redirects_costs_bounded_time() -> None:
    host = Host(detects_conflicts=False)
    for number in range(1000):
        host.now = number / 1000
        host.advertised()
        host.receives(nd_messages.build_redirect(Redirect(TWO, FAR, MACS[TWO], b"")), ONE, LINK_LOCAL)
    taken = autoconfigured_interface.BURST + autoconfigured_interface.RATE
    assert 2000 - taken <= host.dropped["nd_rate"] <= 2000 - taken + 2
    host.now = 10.0
    host.advertised(TWO)
    assert len(host.eth0.v6.autoconfigured.routers.routers) == 2


def test_an_address_that_is_still_probed_asks_for_no_neighbor() -> None:
    """RFC 4429 §3.2: a solicitation from it could not tell a hardware address."""
    host = Host()
    host.until(5.0)
    host.advertised(prefixes=[PREFIX])
    host.sends()
    host.network.path(packed("2001:db8:1::9")).send(253, b"x" * 8, (), 5.0)
    ((_, source, _, message, _),) = host.sends()
    assert source == LINK_LOCAL
    assert message[24:] == bytes((1, 1)) + MAC


def test_a_message_of_neighbor_discovery_in_fragments_is_dropped() -> None:
    """RFC 6980 §5, an atomic fragment included: fragments would pass by what a switch filters."""
    host = Host(detects_conflicts=False)
    message = nd_messages.build_router_advertisement(RouterAdvertisement(0, False, False, 0, 1800, 0, 0, Options()))
    value = checksum(message, pseudo_header_sum(ONE, ALL_NODES, wire.ICMPV6, len(message)))
    payload = bytes((wire.ICMPV6, 0, 0, 0, 0, 0, 0, 7)) + message[:2] + value.to_bytes(2, "big") + message[4:]
    datagram = wire.header(ONE, ALL_NODES, wire.FRAGMENT, len(payload), hop_limit=255) + payload
    frame = ethernet.HEADER.pack(ethernet.group_mac(ALL_NODES), MACS[ONE], ethernet.TYPE_IPV6) + datagram
    host.link.receive(memoryview(frame), NO_OFFLOAD, 0.0)
    assert host.dropped == {"nd_fragmented": 1}
    assert not list(host.network.routes.list())


def test_addresses_are_the_same_for_the_same_secret_and_interface() -> None:
    """RFC 7217 §3."""

    def address(secret: bytes) -> str:
        host = Host(detects_conflicts=False)
        host.network.stable_secret = secret
        host.advertised(prefixes=[PREFIX])
        return host.addresses()[1]

    assert address(b"one") == address(b"one") != address(b"two")
