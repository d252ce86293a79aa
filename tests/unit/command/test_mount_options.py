"""What the mount command's options mean, and what follows when they are left out."""

import logging

import pytest

from drivers.tap import OPTIONS
from schemefs.command import mount_options
from schemefs.command.mount_options import MountOptions, configuration_of_text, mtu
from schemefs.config import Config
from schemefs.driver_option import DriverOption, OptionValueError
from schemefs.net.addresses import parse_unicast_mac as mac
from schemefs.net.host_address import parse_host_address as address
from schemefs.net.host_address import parse_host_interface as interface

TABLES = {"tap": OPTIONS, "loopback": ()}


def configuration(options: MountOptions) -> Config:
    return mount_options.configuration(options, TABLES)


def test_defaults_are_qemus_user_network() -> None:
    config = configuration(MountOptions())
    (eth0,) = config.interfaces
    assert (eth0.name, eth0.driver, str(eth0.address)) == ("eth0", "tap", "10.0.2.15/24")
    assert (str(config.gateway), str(config.nameserver)) == ("10.0.2.2", "10.0.2.3")
    assert str(eth0.options["host_address"]) == "10.0.2.2/24"
    assert eth0.address_may_move is True
    assert eth0.options["tap"] == "schemefs0"
    assert config.log_level == logging.INFO


def test_loopback_has_no_interface_beside_lo() -> None:
    config = configuration(MountOptions(driver="loopback"))
    assert config.interfaces == []
    assert config.gateway is None


@pytest.mark.parametrize(
    "given",
    [
        {"address": interface("10.0.2.15/24")},
        {"gateway": address("10.0.2.9")},
        {"options": {"host_address": "10.0.2.9/24"}},
    ],
)
def test_any_address_that_was_asked_for_may_not_move(given: dict[str, object]) -> None:
    assert configuration(MountOptions(**given)).interfaces[0].address_may_move is False


@pytest.mark.parametrize(
    ("ours", "host", "nameserver"),
    [
        ("192.168.7.5/24", "192.168.7.2/24", "192.168.7.3"),
        ("192.168.7.2/24", "192.168.7.1/24", "192.168.7.3"),
        ("192.168.7.2/30", "192.168.7.1/30", "10.0.2.3"),
        ("192.168.7.1/30", "192.168.7.2/30", "10.0.2.3"),
        ("192.168.7.0/31", "192.168.7.1/31", "10.0.2.3"),
        ("192.168.7.1/31", "192.168.7.0/31", "10.0.2.3"),
    ],
)
def test_the_host_is_found_in_our_subnet(ours: str, host: str, nameserver: str) -> None:
    config = configuration(MountOptions(address=interface(ours)))
    assert str(config.interfaces[0].options["host_address"]) == host
    assert config.gateway == interface(host).ip
    assert str(config.nameserver) == nameserver


def test_the_gateway_is_the_host_unless_it_is_named() -> None:
    assert str(configuration(MountOptions(options={"host_address": "10.0.2.77/24"})).gateway) == "10.0.2.77"
    assert str(configuration(MountOptions(gateway=address("10.0.2.78"))).gateway) == "10.0.2.78"


def test_no_host_address_leaves_the_gateway() -> None:
    config = configuration(MountOptions(options={"host_address": "none"}))
    assert config.interfaces[0].options["host_address"] is None
    assert str(config.gateway) == "10.0.2.2"


def test_the_gateway_of_a_single_address_is_outside_of_it() -> None:
    options = MountOptions(
        address=interface("10.0.2.15/32"), gateway=address("172.31.1.1"), options={"host_address": "none"}
    )
    assert str(configuration(options).gateway) == "172.31.1.1"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gateway": address("10.9.9.9")}, "10.9.9.9 is no neighbor of 10.0.2.15/24"),
        ({"gateway": address("10.0.2.15")}, "no neighbor"),
        ({"options": {"host_address": "10.0.2.15/24"}}, "both 10.0.2.15"),
        ({"address": interface("10.0.2.15/32")}, "no room for a neighbor: give --gateway and --host-address"),
        ({"address": interface("10.0.2.15/32"), "gateway": address("10.0.2.15")}, "no room for a neighbor"),
    ],
)
def test_contradictions_are_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        configuration(MountOptions(**given))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.0.2.15", "'10.0.2.15' is not ADDRESS/PREFIXLENGTH, such as 10.0.2.15/24"),
        ("10.0.2/24", "not ADDRESS/PREFIXLENGTH"),
        ("10.0.2.15/33", "not ADDRESS/PREFIXLENGTH"),
        ("10.0.2.15/x", "not ADDRESS/PREFIXLENGTH"),
        ("10.0.2.0/24", "the address of the network"),
        ("10.0.2.255/24", "the broadcast address of the network"),
        ("127.0.0.1/8", "a loopback address"),
        ("224.0.0.1/4", "not a unicast address"),
        ("0.0.0.0/32", "not a unicast address"),
        ("240.0.0.1/8", "not a unicast address"),
        ("", "not ADDRESS/PREFIXLENGTH"),
        ("fe80::1/64", "'fe80::1/64' is not an IPv4 address; only IPv4 is possible here"),
        ("fe80::1/x", "is not an IPv4 address"),
    ],
)
def test_bad_interfaces(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        interface(text)


@pytest.mark.parametrize("text", ["", "10.0.2", "10.0.2.256", "gateway", "127.0.0.1", "255.255.255.255"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        address(text)


def test_mac() -> None:
    assert mac("52:54:00:12:34:5f") == bytes.fromhex("52540012345f")
    assert mac("52-54-00-12-34-5F") == bytes.fromhex("52540012345f")


@pytest.mark.parametrize(
    "text", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"]
)
def test_bad_macs(text: str) -> None:
    with pytest.raises(ValueError, match="hardware address"):
        mac(text)


def test_mtu() -> None:
    assert [mtu("68"), mtu("1500"), mtu("65535")] == [68, 1500, 65535]


@pytest.mark.parametrize("text", ["", "67", "65536", "-1", "1500.0", "many"])
def test_bad_mtus(text: str) -> None:
    with pytest.raises(ValueError, match="68 to 65535"):
        mtu(text)


def test_an_option_of_another_driver_is_refused_with_both_names() -> None:
    with pytest.raises(ValueError, match="--uplink is an option of the driver tap, which loopback does not have"):
        configuration(MountOptions(driver="loopback", options={"uplink": True}))


def test_words_about_a_device_are_unused_with_loopback() -> None:
    given = {"tap": "lab0", "host_address": "10.1.0.2/24", "offload": "off"}
    assert configuration(MountOptions(driver="loopback", options=given)).interfaces == []


def test_the_kernels_address_needs_its_prefix_length() -> None:
    with pytest.raises(OptionValueError, match="'10.0.2.2' is not ADDRESS/PREFIXLENGTH") as caught:
        configuration(MountOptions(options={"host_address": "10.0.2.2"}))
    assert caught.value.option == "host_address"


def test_a_bad_value_names_its_option() -> None:
    with pytest.raises(OptionValueError, match="'some' is not one of: on, off, auto") as caught:
        configuration(MountOptions(options={"offload": "some"}))
    assert caught.value.option == "offload"


def test_a_driver_that_is_not_there_is_for_the_daemon_to_name() -> None:
    (eth0,) = configuration(MountOptions(driver="tub", options={"tap": "x"})).interfaces
    assert eth0.driver == "tub"


def test_a_driver_without_an_other_end_leaves_the_gateway_at_its_place() -> None:
    speed = DriverOption("speed", int, "Frames a second.", default="10")
    config = mount_options.configuration(MountOptions(driver="wire", options={"speed": "7"}), {"wire": (speed,)})
    assert config.interfaces[0].options == {"speed": 7}
    assert str(config.gateway) == "10.0.2.2"


TWO_TAPS = """\
nameservers = ["10.1.0.3"]
[interface.eth0]
driver = "loopback"
[interface.eth1]
host_address = "10.1.0.2/24"
addresses = ["10.1.0.1/24"]
[interface.eth2]
uplink = false
"""


def of_text(given: dict[str, str | bool], text: str = TWO_TAPS) -> Config:
    return configuration_of_text(text, TABLES, given, private=False, log_level="", log_file="")


def test_an_option_beside_a_file_wins_for_the_first_interface_whose_driver_has_it() -> None:
    config = of_text({"uplink": True, "resolver": "192.0.2.2"})
    _, eth1, eth2 = config.interfaces
    assert (eth1.options["uplink"], str(eth1.options["resolver"])) == (True, "192.0.2.2")
    assert (eth2.options["uplink"], eth2.options["resolver"]) == (False, None)
    assert str(eth1.nameserver) == "10.1.0.3"
    assert config.document is not None
    assert config.document.interfaces["eth1"].options == eth1.options


def test_an_option_beside_a_file_that_says_the_same_changes_nothing() -> None:
    text = TWO_TAPS.replace("addresses", "uplink = true\naddresses")
    assert of_text({"uplink": True}, text) == of_text({}, text)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [({"resolver": "nowhere"}, "'nowhere'"), ({"speed": "1"}, "no interface of the configuration file has a driver")],
)
def test_an_option_beside_a_file_that_is_bad_names_itself(given: dict[str, str | bool], sentence: str) -> None:
    with pytest.raises(OptionValueError, match=sentence) as caught:
        of_text(given)
    assert [caught.value.option] == list(given)
