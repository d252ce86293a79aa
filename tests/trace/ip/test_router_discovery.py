"""Router discovery in virtual time: RFC 4861 §6.3, RFC 4191, RFC 7559, RFC 8106, and hostile advertisements."""

from __future__ import annotations

import math
import random

from schemefs.net.addresses import packed
from schemefs.timers import Timers
from schemes.ip.v6 import advertised_names, router_discovery
from schemes.ip.v6.advertising_router import PROVEN, UNPROVEN, UNREACHABLE
from schemes.ip.v6.nd_messages import RouterAdvertisement
from schemes.ip.v6.nd_options import INFINITE, NameServers, Options, Prefix, RouteInformation, SearchList
from schemes.ip.v6.router_discovery import LearnedRoute, RouterDiscovery, Values

ONE, TWO = packed("fe80::1"), packed("fe80::2")
MAC = bytes.fromhex("020000000001")
NETWORK = packed("2001:db8:1::")
SERVER = packed("2001:db8:1::53")
PREFIX = Prefix(NETWORK, 64, True, True, 100, 50)
DEFAULT = bytes(16)


class Interface:
    name = "eth0"
    mtu = 1500

    def __init__(self) -> None:
        self.timers = Timers()
        self.random = random.Random(1)
        self.solicited: list[float] = []
        self.macs: dict[bytes, bytes] = {}
        self.routes: frozenset[LearnedRoute] = frozenset()
        self.route_changes = 0
        self.values = Values()
        self.prefixes: list[Prefix] = []
        self.names: tuple = ((), ())
        self.asked_dhcp = 0
        self.reached: dict[bytes, int] = {}
        self.notified = 0
        self.engine = RouterDiscovery(self)
        self.now = 0.0

    def solicit_routers(self, now) -> None:
        self.solicited.append(now)

    def learn_router(self, address, mac, now) -> None:
        self.macs[address] = mac

    def reachability(self, address) -> int:
        return self.reached.get(address, UNPROVEN)

    def set_learned_routes(self, routes, now) -> None:
        keys = [(route.network, route.length, route.metric) for route in routes]
        assert len(keys) == len(set(keys))
        self.routes = routes
        self.route_changes += 1

    def set_values(self, values) -> None:
        self.values = values

    def receive_prefix(self, prefix, now) -> None:
        self.prefixes.append(prefix)

    def names_changed(self, servers, domains) -> None:
        self.names = (servers, domains)

    def other_configuration(self, now) -> None:
        self.asked_dhcp += 1

    def advertisement_received(self) -> None:
        self.notified += 1

    def until(self, deadline: float) -> None:
        while self.timers.next_deadline() <= deadline:
            self.timers.on_deadline(self.timers.next_deadline())
        self.now = deadline

    def receives(self, router: bytes = ONE, lifetime: int = 1800, preference: int = 0, **fields) -> None:
        header = {"hop_limit": 0, "managed": False, "other": False, "reachable_time": 0, "retransmit_time": 0}
        options = {name: fields.pop(name) for name in tuple(fields) if name not in header}
        message = RouterAdvertisement(
            preference=preference, lifetime=lifetime, options=Options(**options), **{**header, **fields}
        )
        self.engine.receive(message, router, self.now)

    def best(self, network: bytes = DEFAULT, length: int = 0) -> bytes | None:
        found = [route for route in self.routes if route[:2] == (network, length)]
        return min(found, key=lambda route: route.metric).via if found else None


def test_solicitations_until_a_router_advertises_itself() -> None:
    """RFC 7559 §2, RFC 4861 §6.3.7: the first within a second, then four seconds later, and doubled up to an hour."""
    eth0 = Interface()
    eth0.engine.start(0.0)
    eth0.until(86_400.0)
    pauses = [after - before for before, after in zip(eth0.solicited, eth0.solicited[1:], strict=False)]
    assert eth0.solicited[0] <= 1.0
    for pause, expected in zip(pauses, (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600), strict=False):
        assert 0.9 * expected <= pause <= 1.1 * expected
    eth0.receives(lifetime=0)
    sent = len(eth0.solicited)
    eth0.until(eth0.now + 4000)
    assert len(eth0.solicited) == sent + 1
    eth0.receives(lifetime=60_000)
    eth0.until(eth0.now + 50_000)
    assert len(eth0.solicited) == sent + 1


def test_a_default_router_for_its_lifetime() -> None:
    """RFC 4861 §6.3.4, §6.3.5."""
    eth0 = Interface()
    eth0.receives(lifetime=100, source_mac=MAC)
    assert eth0.best() == ONE
    assert eth0.macs == {ONE: MAC}
    eth0.until(50.0)
    eth0.receives(lifetime=100)
    eth0.until(149.9)
    assert eth0.best() == ONE
    assert not eth0.solicited
    eth0.until(150.0)
    assert eth0.best() is None
    assert not eth0.engine.routers
    eth0.until(152.0)
    assert len(eth0.solicited) == 1  # another router is asked for
    eth0.receives(lifetime=100)
    eth0.receives(lifetime=0)  # it no longer wants to be used
    assert eth0.best() is None


def test_the_preferred_router_goes_first_and_the_other_takes_over() -> None:
    """RFC 4191 §3.1."""
    eth0 = Interface()
    eth0.receives(ONE, lifetime=100)
    eth0.receives(TWO, lifetime=50, preference=1)
    assert eth0.best() == TWO
    eth0.receives(TWO, lifetime=50, preference=-1)
    assert eth0.best() == ONE
    eth0.receives(ONE, lifetime=100, preference=-1)
    eth0.until(60.0)
    assert eth0.best() == ONE
    eth0.until(100.0)
    assert eth0.best() is None


def test_a_router_whose_neighbor_advertisement_lacks_the_flag_is_none() -> None:
    """RFC 4861 §7.2.5."""
    eth0 = Interface()
    eth0.receives(ONE)
    eth0.receives(TWO, preference=-1)
    eth0.engine.not_a_router(ONE, 1.0)
    assert eth0.best() == TWO
    eth0.engine.not_a_router(packed("fe80::99"), 1.0)
    assert eth0.best() == TWO


def test_networks_on_the_link_and_prefixes_for_addresses() -> None:
    """RFC 4861 §6.3.4: by the L flag; a lifetime of zero ends it at once. The A flag is autoconfiguration's."""
    eth0 = Interface()
    eth0.receives(prefixes=[PREFIX, PREFIX._replace(network=packed("2001:db8:2::"), on_link=False)])
    assert eth0.best(NETWORK, 64) == b""
    assert eth0.best(packed("2001:db8:2::"), 64) is None
    assert [prefix.network for prefix in eth0.prefixes] == [NETWORK, packed("2001:db8:2::")]
    eth0.until(99.9)
    assert eth0.best(NETWORK, 64) == b""
    eth0.until(100.0)
    assert eth0.best(NETWORK, 64) is None
    eth0.receives(prefixes=[PREFIX])
    eth0.receives(prefixes=[PREFIX._replace(valid_lifetime=0, preferred_lifetime=0)])
    assert eth0.best(NETWORK, 64) is None
    for network in ("fe80::", "::"):
        eth0.receives(prefixes=[PREFIX._replace(network=packed(network), length=10 if network != "::" else 0)])
    assert eth0.routes == {LearnedRoute(DEFAULT, 0, ONE, 1024)}


def test_routes_of_a_router_that_is_no_default_router() -> None:
    """RFC 4191 §2.3, §3.1."""
    eth0 = Interface()
    far = packed("2001:db8:ff00::")
    eth0.receives(ONE, lifetime=0, routes=[RouteInformation(far, 40, 0, 50)])
    eth0.receives(TWO, lifetime=100, routes=[RouteInformation(far, 40, 1, 60)])
    assert eth0.best() == TWO
    assert eth0.best(far, 40) == TWO
    eth0.receives(TWO, lifetime=100, routes=[RouteInformation(far, 40, 1, 0)])
    assert eth0.best(far, 40) == ONE
    eth0.until(50.0)
    assert eth0.best(far, 40) is None
    assert list(eth0.engine.routers) == [TWO]


def test_a_route_option_for_the_default_route_goes_before_the_header() -> None:
    """RFC 4191 §3.1."""
    eth0 = Interface()
    eth0.receives(ONE, lifetime=1800, preference=1, routes=[RouteInformation(DEFAULT, 0, -1, 20)])
    eth0.receives(TWO, lifetime=1800)
    assert eth0.best() == TWO
    eth0.until(20.0)
    assert list(eth0.engine.routers) == [TWO]


def test_values_of_the_link() -> None:
    """RFC 4861 §6.3.4: zero says nothing; §4.6.4 for the MTU."""
    eth0 = Interface()
    eth0.receives(hop_limit=64, reachable_time=20_000, retransmit_time=500, mtu=1400)
    assert eth0.values == Values(64, 1400, 20.0, 0.5)
    eth0.receives(hop_limit=0, reachable_time=0, retransmit_time=0, mtu=0)
    assert eth0.values == Values(64, 1400, 20.0, 0.5)
    eth0.engine.stop(1.0)
    assert eth0.values == Values()


def test_values_that_would_cut_the_host_off_are_refused() -> None:
    eth0 = Interface()
    eth0.receives(hop_limit=1, reachable_time=2**32 - 1, retransmit_time=2**32 - 1, mtu=1279)
    eth0.receives(hop_limit=0, reachable_time=1, retransmit_time=1, mtu=1501)
    assert eth0.values == Values()
    assert eth0.engine.refused == {
        "bad_hop_limit": 1, "bad_mtu": 2, "bad_reachable_time": 2, "bad_retransmit_time": 2,
    }  # fmt: skip


def test_name_servers_and_domains_of_a_router_in_use() -> None:
    """RFC 8106 §5.3.1."""
    eth0 = Interface()
    other = packed("2001:db8:1::54")
    eth0.receives(name_servers=[NameServers(100, (SERVER, other))], search_lists=[SearchList(50, ("example.net",))])
    assert eth0.names == ((SERVER, other), ("example.net",))
    eth0.receives(name_servers=[NameServers(0, (SERVER,))])
    assert eth0.names == ((other,), ("example.net",))
    eth0.until(50.0)
    assert eth0.names == ((other,), ())
    eth0.receives(TWO, name_servers=[NameServers(INFINITE, (other,))])
    eth0.receives(ONE, lifetime=0)
    assert eth0.names == ((other,), ())  # the other router says so too
    eth0.receives(TWO, lifetime=0)
    assert eth0.names == ((), ())


def test_name_servers_of_a_stranger_are_refused() -> None:
    eth0 = Interface()
    eth0.receives(TWO)
    eth0.receives(ONE, lifetime=0, name_servers=[NameServers(INFINITE, (SERVER,))])
    assert eth0.names == ((), ())
    assert eth0.engine.refused == {"names_of_unused_router": 1}
    far = RouteInformation(packed("2001:db8:ff00::"), 40, 0, 50)  # some routes do not make it a default router
    eth0.receives(ONE, lifetime=0, routes=[far], search_lists=[SearchList(9, ("example.net",))])
    assert eth0.names == ((), ())


def test_name_servers_are_bounded() -> None:
    eth0 = Interface()
    many = tuple(packed(f"2001:db8::{number:x}") for number in range(1, 101))
    eth0.receives(name_servers=[NameServers(100, many)], search_lists=[SearchList(9, tuple(f"d{n}" for n in range(9)))])
    assert len(eth0.names[0]) == advertised_names.MAX_SERVERS
    assert len(eth0.names[1]) == advertised_names.MAX_DOMAINS
    assert eth0.engine.refused == {"too_many_names": 93}


def test_other_configuration_is_asked_for_once() -> None:
    eth0 = Interface()
    eth0.receives(other=True)
    eth0.receives(other=True)
    eth0.receives(TWO, other=True)
    assert eth0.asked_dhcp == 1
    eth0.receives(ONE)
    eth0.receives(TWO)
    eth0.receives(TWO, other=True)
    assert eth0.asked_dhcp == 2


def test_a_flood_of_advertisements_fills_bounded_tables_only() -> None:
    eth0 = Interface()
    for number in range(3000):
        octets = number.to_bytes(6, "big")
        eth0.receives(
            b"\xfe\x80" + bytes(8) + octets,
            lifetime=65_535,
            prefixes=[PREFIX._replace(network=b"\x20\x01" + octets + bytes(8), valid_lifetime=INFINITE)],
            routes=[RouteInformation(b"\x20\x02" + octets + bytes(8), 64, 0, INFINITE)],
            name_servers=[NameServers(INFINITE, (b"\x20\x01" + bytes(8) + octets,))],
        )
    assert len(eth0.engine.routers) == router_discovery.MAX_ROUTERS
    assert len(eth0.engine.prefixes) == router_discovery.MAX_PREFIXES
    assert sum(len(router.routes) for router in eth0.engine.routers.values()) <= router_discovery.MAX_ROUTES
    assert (
        len(eth0.routes) <= router_discovery.MAX_ROUTERS + router_discovery.MAX_PREFIXES + router_discovery.MAX_ROUTES
    )
    assert eth0.engine.refused["too_many_routers"] == 3000 - router_discovery.MAX_ROUTERS
    assert eth0.engine.refused["too_many_prefixes"] == 3000 - router_discovery.MAX_PREFIXES
    assert eth0.timers.pending == 1
    assert eth0.route_changes <= 3000
    eth0.until(65_535.0)
    assert eth0.best() is None


def flood(eth0: Interface, count: int, preference: int = 1) -> None:
    """Take an advertisement of *count* invented routers each."""
    for number in range(count):
        eth0.receives(b"\xfe\x80\0\0\0\0\0\1" + number.to_bytes(8, "big"), preference=preference)


def test_a_full_table_of_routers_has_room_for_a_new_one() -> None:
    """The invented ones came first."""
    eth0 = Interface()
    flood(eth0, 100)
    eth0.receives(ONE)
    assert ONE in eth0.engine.routers
    assert len(eth0.engine.routers) == router_discovery.MAX_ROUTERS
    assert eth0.engine.refused["too_many_routers"] == 101 - router_discovery.MAX_ROUTERS


def test_a_flood_displaces_no_router_that_answers_and_the_repeated_one_last() -> None:
    eth0 = Interface()
    eth0.receives(ONE, preference=-1)
    eth0.receives(TWO, preference=-1)
    eth0.receives(TWO, preference=-1)
    eth0.reached[ONE] = PROVEN
    flood(eth0, 100)
    assert {ONE, TWO} <= eth0.engine.routers.keys()
    eth0.reached[TWO] = UNREACHABLE
    eth0.receives(packed("fe80::3"))
    assert TWO not in eth0.engine.routers
    eth0.reached = dict.fromkeys(eth0.engine.routers, PROVEN)
    kept = set(eth0.engine.routers)
    flood(eth0, 200)
    assert set(eth0.engine.routers) == kept


def test_a_less_preferred_router_makes_room_first() -> None:
    eth0 = Interface()
    eth0.receives(ONE, preference=-1)
    eth0.receives(TWO)
    flood(eth0, router_discovery.MAX_ROUTERS - 1)
    assert ONE not in eth0.engine.routers
    assert TWO in eth0.engine.routers


def test_an_interface_that_goes_down_forgets_all() -> None:
    eth0 = Interface()
    eth0.engine.start(0.0)
    eth0.receives(prefixes=[PREFIX], name_servers=[NameServers(9, (SERVER,))])
    eth0.engine.stop(1.0)
    assert eth0.routes == frozenset()
    assert eth0.names == ((), ())
    assert not eth0.timers.pending
    assert eth0.timers.next_deadline() == math.inf
