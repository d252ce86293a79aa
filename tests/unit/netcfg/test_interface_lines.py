"""`ifaces/{list,add,rm}` on tables in memory: an interface is a line."""

import errno
import json

import pytest
from test_configuration import Attaching
from test_netcfg_tree import fails


def test_a_line_makes_an_interface_with_all_that_is_said_of_it():
    netcfg = Attaching()
    netcfg.echo("tap lab1 host_address 10.1.0.2/24 address 10.1.0.1/24 address 10.1.0.5/24 mtu 1280", "ifaces/add")
    assert netcfg.asked == ["attach eth1 lab1"]
    assert netcfg.cat("ifaces/eth1/addr/list") == "10.1.0.1/24\n10.1.0.5/24\n"
    assert netcfg.cat("iface/eth1/mtu") == "1280\n"
    assert "10.1.0.0/24  dev eth1" in netcfg.cat("route/list")
    last = netcfg.cat("ifaces/list").splitlines()[-1]
    assert last == (
        "eth1 tap lab1 host_address 10.1.0.2/24 offload auto mac 52:54:00:12:34:57 mtu 1280"
        " address 10.1.0.1/24 address 10.1.0.5/24"
    )


@pytest.mark.parametrize("name", ["eth5", "client-2.lab"])
def test_a_line_of_the_list_can_be_added_again(name):
    netcfg = Attaching()
    netcfg.echo(f"{name} tap lab1 address 10.1.0.1/24", "ifaces/add")
    listed = netcfg.cat("ifaces/list")
    line = listed.splitlines()[-1]
    assert line.startswith(f"{name} tap lab1 ")
    netcfg.echo(name, "ifaces/rm")
    assert name not in netcfg.cat("ifaces/list")
    netcfg.echo(line, "ifaces/add")
    assert netcfg.cat("ifaces/list") == listed


def test_without_a_name_it_is_the_first_that_is_free_and_so_is_its_tap():
    netcfg = Attaching()
    netcfg.echo("eth2 tap lab2", "ifaces/add")
    netcfg.echo("tap\ntap", "ifaces/add")
    assert netcfg.asked == ["attach eth2 lab2", "attach eth1 schemefs1", "attach eth3 schemefs3"]


def test_a_driver_of_another_package_is_told_its_options():
    netcfg = Attaching()
    netcfg.echo("wire socket /run/x address 10.1.0.1/24 speed 10", "ifaces/add")
    config = netcfg.context.config.interfaces[-1]
    assert (config.driver, config.options["socket"], config.options["speed"]) == ("wire", "/run/x", "10")
    assert "eth1 wire socket /run/x speed 10 " in netcfg.cat("ifaces/list")
    assert 'options = { socket = "/run/x", speed = "10" }' in netcfg.cat("config")


def test_options_of_any_text_are_quoted_so_that_the_line_can_be_added_again():
    netcfg = Attaching()
    options = {"path": "/run/a b", "empty": "", "no word": "it's", "driver": "x", "options": "\\", "tap": "t"}
    said = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in options.items())
    netcfg.write(netcfg.cat("config") + f'[interface.eth3]\ndriver = "wire"\noptions = {{ {said} }}\n')
    listed = netcfg.cat("ifaces/list")
    assert "path '/run/a b' empty '' 'no word'" in listed
    netcfg.echo("eth3", "ifaces/rm")
    netcfg.echo(listed.splitlines()[-1], "ifaces/add")
    assert netcfg.cat("ifaces/list") == listed
    assert netcfg.context.config.interfaces[-1].options == options


def test_an_interface_that_cannot_be_had_leaves_all_as_it_was():
    netcfg = Attaching()
    before = netcfg.cat("config")
    assert fails(errno.ENODEV, netcfg, "tap taken", "ifaces/add") == "the TAP taken is in use"
    assert netcfg.cat("config") == before
    fails(errno.EEXIST, netcfg, "eth0 tap lab1", "ifaces/add")
    fails(errno.EINVAL, netcfg, "tap lab1 address 10.0.2.15/24", "ifaces/add")
    assert netcfg.cat("config") == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eth1", "names no driver"),
        ("tap lab1 mtu", "'lab1' is not one of"),
        ("tap lab1 colour red", "'colour' is not one of: address, mtu"),
        ("tap lab1 mtu 1280 mtu 1400", "mtu is given twice"),
        ("tap lab1 mtu 12", "12"),
        ("tap lab1 address 10.0.0.300/24", "10.0.0.300"),
        ("tap lab1 dhcp perhaps", "dhcp is on or off"),
        ("wire lab1", "has no value"),
        ("wire a 1 a 2", "a is given twice"),
        ("wire a 'b", "No closing quotation"),
    ],
)
def test_a_line_that_says_nothing_is_refused(line, words):
    netcfg = Attaching()
    assert words in fails(errno.EINVAL, netcfg, line, "ifaces/add")
    assert netcfg.asked == []


def test_lo_stays():
    netcfg = Attaching()
    assert fails(errno.EBUSY, netcfg, "lo", "ifaces/rm") == "lo is always there"


def test_who_polls_the_list_is_told():
    netcfg = Attaching()
    before = netcfg.node("ifaces/list").version
    netcfg.echo("10.0.2.16/24", "ifaces/eth0/addr/add")
    assert netcfg.node("ifaces/list").version > before
