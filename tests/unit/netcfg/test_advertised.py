"""`ra`, `advertise` and `addr/list` of an interface, over a network layer in memory."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from schemefs.net.autoconfigured import AdvertisedRouter
from schemes.netcfg.advertised import advertised_line, parse_advertised
from tests.support.memory_layer import ROOT, Netcfg


@pytest.fixture
def netcfg():
    return Netcfg()


def refused(netcfg: Netcfg, line: str, path: str, sentence: str) -> None:
    with pytest.raises(SchemeError) as caught:
        netcfg.echo(line, path, ROOT)
    assert caught.value.errno == errno.EINVAL
    assert sentence in caught.value.sentence


def test_the_two_settings_of_ra(netcfg) -> None:
    assert netcfg.cat("ifaces/eth0/ra") == "accept on\ntemporary off\nreceived 0\n"
    netcfg.echo("accept off\ntemporary on", "ifaces/eth0/ra")
    assert netcfg.cat("ifaces/eth0/ra").startswith("accept off\ntemporary on\n")
    for line in ("accept", "accept maybe", "privacy on"):
        refused(netcfg, line, "ifaces/eth0/ra", "there are: accept on")


def test_a_router_is_advertised_and_no_longer(netcfg) -> None:
    assert netcfg.cat("ifaces/eth0/advertise") == "off\n"
    netcfg.echo("prefix 2001:db8:1::/64 dns 2001:db8:1::53 search Example.net preference high", "ifaces/eth0/advertise")
    text = netcfg.cat("ifaces/eth0/advertise")
    assert text == (
        "prefix 2001:db8:1::/64 lifetime 1800 valid 86400 preferred 14400 preference high "
        f"dns 2001:db8:1::53 search {text.split()[-1]}\n"
    )
    netcfg.echo(text.strip(), "ifaces/eth0/advertise")
    assert netcfg.cat("ifaces/eth0/advertise") == text
    netcfg.echo("off", "ifaces/eth0/advertise")
    assert netcfg.cat("ifaces/eth0/advertise") == "off\n"


@pytest.mark.parametrize(("line", "sentence"), [
    ("on", "'on' is nothing to advertise; there are: prefix"),
    ("prefix", "'' is not"),
    ("prefix 10.0.0.0/24", "'10.0.0.0/24' is not a prefix to advertise"),
    ("prefix 2001:db8::1/64", "with the host bits zero"),
    ("prefix fe80::/64", "not link-local"),
    ("prefix 2001:db8::/48", "NETWORK/64"),
    ("dns 10.0.0.1", "is not an address of IPv6"),
    ("lifetime 9001", "9000"),
    ("mtu 1279", "1280"),
    ("preference highest", "nothing to advertise"),
    ("valid 10 preferred 11", "preferred 11 is longer than valid 10"),
])  # fmt: skip
def test_lines_that_can_not_be_advertised(netcfg, line: str, sentence: str) -> None:
    refused(netcfg, line, "ifaces/eth0/advertise", sentence)


def test_the_list_of_addresses_has_more_of_ipv6(netcfg) -> None:
    assert netcfg.cat("ifaces/eth0/addr/list") == "10.0.2.15/24\n"
    netcfg.echo("2001:db8::1/64", "ifaces/eth0/addr/add")
    assert netcfg.cat("ifaces/eth0/addr/list") == "10.0.2.15/24\n2001:db8::1 described\n"
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.15/24\n2001:db8::1/64\n"


def test_the_configuration_has_what_is_not_the_default(netcfg) -> None:
    before = netcfg.cat("config")
    assert "ra =" not in before
    netcfg.echo("accept off\ntemporary on", "ifaces/eth0/ra")
    netcfg.echo("prefix 2001:db8:1::/64", "ifaces/eth0/advertise")
    text = netcfg.cat("config")
    assert 'ra = "accept off, temporary on"\nadvertise = "prefix 2001:db8:1::/64 lifetime 1800 ' in text
    netcfg.echo(before, "config")
    assert netcfg.cat("ifaces/eth0/ra").startswith("accept on\ntemporary off\n")
    assert netcfg.cat("ifaces/eth0/advertise") == "off\n"
    netcfg.echo(text, "config")
    assert netcfg.cat("config") == text
    refused(netcfg, text.replace("temporary on", "privacy"), "config", "'privacy' is not a setting")


NETWORKS = st.integers(0, 2**61 - 1).map(lambda number: (0x2 << 60 | number).to_bytes(8, "big") + bytes(8))
ROUTERS = st.builds(
    AdvertisedRouter,
    st.lists(NETWORKS.map(lambda network: (network, 64)), max_size=3).map(tuple),
    st.integers(0, 9000),
    st.sampled_from([-1, 0, 1]),
    st.just(1000),
    st.integers(0, 1000),
    st.just(0) | st.integers(1280, 65_535),
    st.lists(st.just(packed("2001:db8::53")), max_size=2).map(tuple),
    st.lists(st.sampled_from(["lab", "example.net"]), max_size=2).map(tuple),
    st.booleans(),
)


@given(ROUTERS)
def test_what_is_advertised_can_be_written_as_it_is_read(router: AdvertisedRouter) -> None:
    assert parse_advertised(advertised_line(router)) == router


@given(st.text(max_size=40) | st.text("prefix lifetime dns:/0159", max_size=60))
def test_any_line_is_a_router_or_a_value_error(line: str) -> None:
    try:
        parse_advertised(line)
    except ValueError as error:
        assert str(error)
