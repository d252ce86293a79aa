"""What a lease has beside address and routes: name servers, search list, MTU; and the name that the server is told."""

import dpkt
import pytest
from test_dhcp import DHCP, Leasing

from schemefs.errors import SchemeError
from schemefs.names import Names
from schemes.netcfg import dhcp_options as option
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.leased_value import LeasedValue


def search_octets(*domains):
    return b"".join(
        b"".join(bytes((len(label),)) + label.encode() for label in domain.split(".")) + b"\0" for domain in domains
    )


def test_the_search_list_and_the_name_servers_of_a_lease_end_with_it():
    netcfg = Leasing(nameservers=("10.0.2.4",))
    netcfg.echo("mine.test", "resolv/search")
    before = netcfg.cat("config")
    netcfg.offers(option.DOMAIN_NAME, b"corp.test")
    netcfg.lease()
    assert (netcfg.cat("resolv/nameserver"), netcfg.cat("resolv/search")) == ("10.0.2.4\n", "corp.test\n")
    assert "\ndomains=corp.test\n" in netcfg.cat(DHCP)
    assert 'nameservers = ["10.0.2.3"]\nsearch = ["mine.test"]\n' in netcfg.cat("config")
    netcfg.offers(option.DOMAIN_SEARCH, search_octets("eng.test", "corp.test"))
    netcfg.renew()
    assert netcfg.cat("resolv/search") == "eng.test\ncorp.test\n"
    netcfg.write(netcfg.edited("localhost", "localhost here"))
    assert netcfg.cat("resolv/search") == "eng.test\ncorp.test\n"
    netcfg.write(netcfg.edited("localhost here", "localhost"))
    netcfg.echo("off", DHCP)
    assert (netcfg.cat("resolv/nameserver"), netcfg.cat("resolv/search")) == ("10.0.2.3\n", "mine.test\n")
    assert netcfg.cat("config") == before


def test_a_search_list_that_is_written_during_a_lease_stays():
    netcfg = Leasing()
    netcfg.offers(option.DOMAIN_NAME, b"corp.test")
    netcfg.lease()
    netcfg.echo("mine.test", "resolv/search")
    assert 'search = ["mine.test"]' in netcfg.cat("config")
    netcfg.echo("off", DHCP)
    assert netcfg.cat("resolv/search") == "mine.test\n"


def test_the_latest_of_several_leases_wins_and_the_last_end_puts_back_what_was_configured():
    names = Names()
    names.search = ("mine",)
    value = LeasedValue(names, "search")
    for interface, domains, expected in (
        ("eth0", ("a",), "a"), ("eth1", ("b",), "b"), ("eth0", ("c",), "c"), ("eth0", (), "b"), ("eth1", (), "mine"),
    ):  # fmt: skip
        value.put(interface, domains)
        assert names.search == (expected,)
        assert value.configured == ("mine",)


def test_the_mtu_of_a_lease_ends_with_it_and_is_not_in_the_configuration():
    netcfg = Leasing()
    before = netcfg.cat("config")
    netcfg.offers(option.MTU, (1400).to_bytes(2, "big"))
    netcfg.lease()
    assert netcfg.cat("iface/eth0/mtu") == "1400\n"
    assert "\nmtu=1400\n" in netcfg.cat(DHCP)
    assert "mtu = 1500" in netcfg.cat("config")
    netcfg.write(netcfg.cat("config"))
    assert netcfg.cat("iface/eth0/mtu") == "1400\n"
    netcfg.offers(option.MTU, (1300).to_bytes(2, "big"))
    netcfg.renew()
    assert netcfg.cat("iface/eth0/mtu") == "1300\n"
    netcfg.echo("off", DHCP)
    assert netcfg.cat("iface/eth0/mtu") == "1500\n"
    assert netcfg.cat("config") == before


def test_an_mtu_that_is_written_during_a_lease_stays():
    netcfg = Leasing()
    netcfg.offers(option.MTU, (1400).to_bytes(2, "big"))
    netcfg.lease()
    netcfg.write(netcfg.cat("config").replace("mtu = 1500\nstate", "mtu = 1200\nstate"))
    assert netcfg.cat("iface/eth0/mtu") == "1200\n"
    netcfg.echo("off", DHCP)
    assert netcfg.cat("iface/eth0/mtu") == "1200\n"


@pytest.mark.parametrize("mtu", [0, 67, 68, 575, 9000, 65535])
def test_an_mtu_out_of_bounds_is_not_used(mtu, caplog):
    netcfg = Leasing()

    def set_mtu(octets, now):
        message = f"{octets} is not an MTU of eth0: 68 to 1500"
        raise SchemeError(22, message)

    netcfg.layer.interfaces["eth0"].set_mtu = set_mtu
    netcfg.offers(option.MTU, mtu.to_bytes(2, "big"))
    netcfg.lease()
    assert netcfg.cat("iface/eth0/mtu") == "1500\n"
    assert ("the lease's MTU" in caplog.text) == (mtu > 0)


def options_said(netcfg):
    return dict(netcfg.said().opts)


def test_the_host_name_is_told_with_every_request_and_nothing_else():
    netcfg = Leasing()
    assert netcfg.cat("hostname") == "none\n"
    netcfg.echo("lab1.corp.test", "hostname")
    assert netcfg.cat("hostname") == "lab1.corp.test\n"
    netcfg.echo("on", DHCP)
    assert options_said(netcfg)[option.HOST_NAME] == b"lab1.corp.test"
    netcfg.answer(wire.OFFER)
    assert options_said(netcfg)[option.HOST_NAME] == b"lab1.corp.test"
    netcfg.answer(wire.ACK)
    netcfg.write(netcfg.edited('hostname = "lab1.corp.test"', 'hostname = "lab2"'))
    netcfg.renew()
    assert options_said(netcfg)[option.HOST_NAME] == b"lab2"
    netcfg.echo("off", DHCP)
    assert option.HOST_NAME not in dict(dpkt.dhcp.DHCP(wire.build(wire.RELEASE, 1, bytes(6), 0)).opts)


def test_a_host_name_is_part_of_the_configuration():
    netcfg = Leasing()
    netcfg.echo("lab1", "hostname")
    with_name = netcfg.cat("config")
    netcfg.write(netcfg.edited('hostname = "lab1"\n', ""))
    assert netcfg.cat("hostname") == "lab1\n"  # a key that is left out changes nothing
    netcfg.write(netcfg.edited('hostname = "lab1"', 'hostname = ""'))
    assert (netcfg.cat("hostname"), "hostname" in netcfg.cat("config")) == ("none\n", False)
    netcfg.write(with_name)
    assert netcfg.cat("config") == with_name
    netcfg.echo("none", "hostname")
    assert netcfg.cat("hostname") == "none\n"


@pytest.mark.parametrize("bad", ["a b", "-a", "a-", "a..b", "a.", "ä", "a" * 64, ".".join(["a" * 60] * 5), "a_b"])
def test_a_bad_host_name_is_refused(bad):
    netcfg = Leasing()
    with pytest.raises(SchemeError, match="is not a host name"):
        netcfg.echo(bad, "hostname")
    with pytest.raises(SchemeError, match="is not a host name"):
        netcfg.write(f'hostname = "{bad}"\n')


def test_a_new_host_name_wakes_the_pollers_of_the_configuration():
    netcfg = Leasing()
    files = [netcfg.node(path) for path in ("config", "hostname")]
    before = [file.version for file in files]
    netcfg.echo("lab1", "hostname")
    assert all(file.version > old for file, old in zip(files, before, strict=True))


def test_the_server_is_asked_for_all_that_is_used_classless_routes_before_routers():
    netcfg = Leasing()
    netcfg.echo("on", DHCP)
    asked = list(options_said(netcfg)[option.PARAMETER_REQUEST_LIST])
    assert asked == [1, 121, 3, 6, 15, 26, 51, 58, 59, 119]
