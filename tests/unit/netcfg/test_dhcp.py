"""`ifaces/<if>/dhcp` on tables in memory: what a lease adds, what its end removes, and which pollers wake."""

from types import SimpleNamespace

import dpkt
import pytest
from test_configuration import Attaching

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from schemes.netcfg import dhcp_options as option
from schemes.netcfg import dhcp_wire as wire
from tests.support.ip_host import MemoryLink

DHCP = "ifaces/eth0/dhcp"
SERVER = packed("10.0.2.2")


class Leasing(Attaching):
    """A netcfg with a scripted DHCP server on eth0."""

    def __init__(self, address="10.0.2.55", router="10.0.2.2", nameservers=()):
        super().__init__()
        self.link = MemoryLink()
        self.granted = packed(address)
        self.options = [
            (option.SERVER, SERVER),
            (option.LEASE, (1000).to_bytes(4, "big")),
            (option.NETMASK, b"\xff\xff\xff\0"),
            (option.ROUTERS, packed(router)),
            (option.NAMESERVERS, b"".join(map(packed, nameservers))),
        ]
        self.context.tree = SimpleNamespace(schemes={"udp": SimpleNamespace(provides=self)})
        self.layer.path = self._no_path
        self.scheme.link_attached(self.link, 0.0)

    def offers(self, code, octets):
        """Put one option of the server in the place of its previous form."""
        self.options = [pair for pair in self.options if pair[0] != code] + ([(code, octets)] if octets else [])

    def open_port(self, port, received):
        self.received = received
        return SimpleNamespace(close=lambda _now: None)

    def _no_path(self, server):
        raise SchemeError(101, "the release is lost")

    def lease(self):
        self.echo("on", DHCP)
        self.answer(wire.OFFER)
        self.answer(wire.ACK)
        assert "state=BOUND" in self.cat(DHCP)

    def renew(self):
        """Let the lease come to T2, when the request is a broadcast, and acknowledge that."""
        self.echo("renew", DHCP)
        while self.timers.next_deadline() <= 876.0:
            self.timers.on_deadline(self.timers.next_deadline())
        self.answer(wire.ACK, 876.0)
        assert "state=BOUND" in self.cat(DHCP)

    def said(self):
        """Return the last message sent to all servers."""
        return dpkt.dhcp.DHCP(dpkt.ethernet.Ethernet(self.link.sent[-1][0]).data.data.data)

    def answer(self, kind, now=1.0):
        request = self.said()
        reply = dpkt.dhcp.DHCP(
            op=2,
            xid=request.xid,
            yiaddr=int.from_bytes(self.granted, "big"),
            chaddr=request.chaddr,
            opts=[(option.MESSAGE_TYPE, bytes((kind,))), *self.options],
        )
        self.received(bytes(reply), now)


def test_a_lease_is_not_in_the_configuration_and_its_end_removes_it():
    netcfg = Leasing()
    netcfg.echo("default", "route/rm")
    before = netcfg.cat("config")
    netcfg.lease()
    assert "10.0.2.55/24" in netcfg.cat("iface/eth0/addr")
    assert "default via 10.0.2.2" in netcfg.cat("route/list")
    assert netcfg.cat("config") == before.replace('addresses = ["10.0.2.15', 'dhcp = true\naddresses = ["10.0.2.15')
    netcfg.echo("off", DHCP)
    assert netcfg.cat("config") == before
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.15/24\n"
    assert "default" not in netcfg.cat("route/list")


def test_what_existed_before_the_lease_stays_after_it():
    netcfg = Leasing(address="10.0.2.15")
    before = netcfg.cat("config")
    netcfg.lease()
    shown = netcfg.cat("config")
    assert 'addresses = ["10.0.2.15/24"]' in shown
    assert 'routes = ["default via 10.0.2.2 dev eth0"]' in shown
    netcfg.write(shown)
    assert netcfg.cat("config") == shown
    netcfg.echo("off", DHCP)
    assert netcfg.cat("config") == before


def test_other_routes_by_the_router_of_a_lease_are_configured_ones():
    netcfg = Leasing()
    netcfg.echo("default", "route/rm")
    netcfg.lease()
    netcfg.echo("10.9.0.0/16 via 10.0.2.2 metric 3\ndefault via 10.0.2.2 metric 7", "route/add")
    shown = netcfg.cat("config")
    assert "10.9.0.0/16 via 10.0.2.2 dev eth0 metric 3" in shown
    assert "default via 10.0.2.2 dev eth0 metric 7" in shown
    netcfg.write(shown)
    netcfg.echo("off", DHCP)
    assert "10.9.0.0/16  via 10.0.2.2" in netcfg.cat("route/list")
    assert "default via 10.0.2.2 dev eth0 src 10.0.2.15 metric 7" in netcfg.cat("route/list")


@pytest.mark.parametrize("bad", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "127.0.0.1", "240.0.0.1"])
def test_a_name_server_without_the_address_of_another_host_is_not_used(bad):
    netcfg = Leasing(nameservers=(bad, "10.0.2.4"))
    netcfg.lease()
    assert netcfg.cat("resolv/nameserver") == "10.0.2.4\n"
    netcfg.write(netcfg.cat("config"))


def test_a_lease_without_a_usable_name_server_keeps_the_old_ones():
    netcfg = Leasing(nameservers=("224.0.0.1",))
    netcfg.lease()
    assert netcfg.cat("resolv/nameserver") == "10.0.2.3\n"


def test_switching_dhcp_wakes_the_pollers_of_the_configuration():
    netcfg = Leasing()
    for word in ("on", "off"):
        before = [netcfg.node(path).version for path in ("config", "ifaces/list", DHCP)]
        netcfg.echo(word, DHCP)
        after = [netcfg.node(path).version for path in ("config", "ifaces/list", DHCP)]
        assert all(new > old for new, old in zip(after, before, strict=True))


def test_a_renewal_that_changes_the_router_touches_the_address_of_no_connection():
    netcfg = Leasing()
    netcfg.echo("default", "route/rm")
    netcfg.lease()
    removed = []
    netcfg.layer.interfaces["eth0"].remove_address = lambda *pair: removed.append(pair)
    netcfg.offers(option.ROUTERS, packed("10.0.2.9"))
    netcfg.renew()
    assert "default via 10.0.2.9 dev eth0" in netcfg.cat("route/list")
    assert "10.0.2.2 dev eth0" not in netcfg.cat("route/list")
    assert removed == []


def refusing(address, length, now, **_options):
    raise SchemeError(17, "10.9.0.1 is an address of eth1 already")


def test_an_address_that_another_interface_has_is_declined():
    netcfg = Leasing(address="10.9.0.1")
    netcfg.layer.interfaces["eth0"].add_address = refusing
    netcfg.echo("on", DHCP)
    netcfg.answer(wire.OFFER)
    netcfg.answer(wire.ACK)
    assert netcfg.cat(DHCP) == "state=INIT\n"
    assert netcfg.said().opts[0] == (option.MESSAGE_TYPE, bytes((wire.DECLINE,)))


def rules(netcfg):
    lines = netcfg.cat("route/list").splitlines()
    return [line for line in lines if not line.startswith(("127.0.0.0/8", "10.0.2.0/24", "10.0.2.55/32"))]


def with_options(**options):
    """A lease without the address and the route of QEMU's network beside it."""
    netcfg = Leasing()
    netcfg.echo("10.0.2.15/24", "ifaces/eth0/addr/rm")
    netcfg.echo("default", "route/rm")
    for code, octets in options.items():
        netcfg.offers(getattr(option, code), octets)
    before = netcfg.cat("config")
    netcfg.lease()
    assert netcfg.cat("config") == before.replace("\naddresses = []", "\ndhcp = true\naddresses = []")
    return netcfg


def gone(netcfg):
    netcfg.echo("off", DHCP)
    return rules(netcfg) == [] and "Not configured" in netcfg.cat("iface/eth0/addr")


def test_a_server_may_name_several_routers_the_preferred_one_first():
    netcfg = with_options(ROUTERS=b"".join(map(packed, ("10.0.2.9", "10.0.2.2", "10.0.2.9"))))
    assert rules(netcfg) == [
        "default via 10.0.2.9 dev eth0 src 10.0.2.55",
        "default via 10.0.2.2 dev eth0 src 10.0.2.55 metric 1",
    ]
    assert gone(netcfg)


def test_a_router_on_no_network_of_ours_is_passed_over(caplog):
    netcfg = with_options(ROUTERS=packed("192.168.9.1") + packed("10.0.2.2"))
    assert rules(netcfg) == ["default via 10.0.2.2 dev eth0 src 10.0.2.55"]
    assert "a route of the lease can't be added: on no network of ours" in caplog.text


def test_the_router_of_a_single_address_is_on_the_link():
    netcfg = with_options(NETMASK=b"\xff\xff\xff\xff", ROUTERS=packed("10.0.2.2"))
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.55/32\n"
    assert rules(netcfg) == ["default via 10.0.2.2 dev eth0 src 10.0.2.55 onlink"]
    netcfg.write(netcfg.cat("config"))
    assert rules(netcfg) == ["default via 10.0.2.2 dev eth0 src 10.0.2.55 onlink"]
    assert gone(netcfg)


def test_classless_routes_replace_the_routers():
    gateway, other = packed("10.0.2.1"), packed("10.0.2.7")
    octets = bytes((16, 10, 9, *other, 0, *gateway, 16, 10, 8, 0, 0, 0, 0, 24, 10, 0, 2, 0, 0, 0, 0))
    netcfg = with_options(CLASSLESS_ROUTES=octets)
    assert sorted(rules(netcfg)) == [
        "10.8.0.0/16  dev eth0 src 10.0.2.55",
        "10.9.0.0/16  via 10.0.2.7 dev eth0 src 10.0.2.55",
        "default via 10.0.2.1 dev eth0 src 10.0.2.55",
    ]
    assert "\nroutes=10.9.0.0/16 via 10.0.2.7, 0.0.0.0/0 via 10.0.2.1, 10.8.0.0/16 via 0.0.0.0," in netcfg.cat(DHCP)
    # A renewal with routers alone has no classless routes any more.
    netcfg.offers(option.CLASSLESS_ROUTES, b"")
    netcfg.renew()
    assert rules(netcfg) == ["default via 10.0.2.2 dev eth0 src 10.0.2.55"]
    assert gone(netcfg)


def test_a_single_address_with_a_classless_host_route_to_its_gateway():
    gateway = packed("172.31.1.1")
    routes = bytes((0, *gateway, 32, *gateway, 0, 0, 0, 0))
    netcfg = with_options(NETMASK=b"\xff\xff\xff\xff", CLASSLESS_ROUTES=routes)
    assert rules(netcfg) == [
        "default via 172.31.1.1 dev eth0 src 10.0.2.55",
        "172.31.1.1/32  dev eth0 src 10.0.2.55",
    ]
    assert gone(netcfg)
