"""What the mount command's options mean, and what follows when they are left out."""

import logging

import pytest

from drivers.tap import OPTIONS
from schemefs.command import mount_options
from schemefs.command.mount_options import MountOptions, configuration_of_text, mtu
from schemefs.config import Config
from schemefs.driver_option import DriverOption, OptionValueError
from schemefs.net.addresses import parse_unicast_mac as mac
from schemefs.net.host_address import parse_address, parse_host_interface6, parse_interface
from schemefs.net.host_address import parse_host_address as address
from schemefs.net.host_address import parse_host_interface as interface

TABLES = {"tap": OPTIONS, "loopback": ()}


def configuration(options: MountOptions) -> Config:
    return mount_options.configuration(options, TABLES)


def test_defaults_are_qemus_user_network() -> None:
    config = configuration(MountOptions())
    (eth0,) = config.interfaces
    assert (eth0.name, eth0.driver, str(eth0.address)) == ("eth0", "tap", "10.0.2.15/24")
    assert (str(config.gateway), *map(str, config.nameservers)) == ("10.0.2.2", "10.0.2.3")
    assert str(eth0.options["host_address"]) == "10.0.2.2/24"
    assert eth0.address_may_move is True
    assert (str(eth0.address6), str(eth0.options["host_address6"])) == ("fd00:10:0:2::15/64", "fd00:10:0:2::2/64")
    assert (config.gateway6, eth0.address6_may_move) == (None, True)
    assert eth0.options["tap"] == "schemefs0"
    assert config.log_level == logging.INFO


def test_loopback_has_no_interface_beside_lo() -> None:
    config = configuration(MountOptions(driver="loopback"))
    assert config.interfaces == []
    assert config.gateway is None


@pytest.mark.parametrize(
    "given",
    [
        {"address": [interface("10.0.2.15/24")]},
        {"gateway": [address("10.0.2.9")]},
        {"options": {"host_address": "10.0.2.9/24"}},
    ],
)
def test_any_address_that_was_asked_for_may_not_move(given: dict[str, object]) -> None:
    assert configuration(MountOptions(**given)).interfaces[0].address_may_move is False


@pytest.mark.parametrize(
    "given",
    [
        {"address": [parse_interface("fd00:1::15/64")]},
        {"gateway": [parse_address("fd00:10:0:2::9")]},
        {"options": {"host_address6": "fd00:10:0:2::9/64"}},
    ],
)
def test_of_each_family_what_was_asked_for_may_not_move(given: dict[str, object]) -> None:
    (eth0,) = configuration(MountOptions(**given)).interfaces
    assert (eth0.address_may_move, eth0.address6_may_move) == (True, False)
    assert str(eth0.address) == "10.0.2.15/24"


def test_one_family_keeps_its_defaults_where_the_other_is_chosen() -> None:
    options = MountOptions(
        address=[parse_interface("2001:db8::2/64"), parse_interface("fd00:1::15/64")],
        gateway=[parse_address("2001:db8::1")],
        nameserver=[parse_address("2001:db8::53"), parse_address("192.0.2.53")],
    )
    config = configuration(options)
    (eth0,) = config.interfaces
    assert (str(eth0.address), str(eth0.address6), *map(str, eth0.further)) == (
        "10.0.2.15/24", "2001:db8::2/64", "fd00:1::15/64",
    )  # fmt: skip
    assert (str(config.gateway), str(config.gateway6)) == ("10.0.2.2", "2001:db8::1")
    assert str(eth0.options["host_address6"]) == "2001:db8::1/64"  # ::2 is ours
    assert list(map(str, config.nameservers)) == ["2001:db8::53", "192.0.2.53"]
    assert (str(eth0.nameserver), str(eth0.nameserver6)) == ("192.0.2.53", "2001:db8::53")


@pytest.mark.parametrize(
    ("address6", "given", "ours", "theirs"),
    [
        ([], {"host_address": "none"}, "None", "None"),  # a link of another network
        ([], {"host_address6": "none"}, "None", "None"),
        ([], {"host_address": "none", "host_address6": "fd00:10:0:2::2/64"}, "fd00:10:0:2::15/64", "fd00:10:0:2::2/64"),
        (["fd00:1::15/64"], {"host_address": "none"}, "fd00:1::15/64", "None"),
        (["fd00:1::15/64"], {"host_address6": "none"}, "fd00:1::15/64", "None"),
        (["fd00:1::15/64"], {}, "fd00:1::15/64", "fd00:1::2/64"),
        (["fd00:1::/127"], {}, "fd00:1::/127", "fd00:1::1/127"),
    ],
)
def test_an_end_that_is_left_alone_has_ipv6_only_where_it_was_asked_for(
    address6: list[str], given: dict[str, str], ours: str, theirs: str
) -> None:
    (eth0,) = configuration(MountOptions(address=list(map(parse_interface, address6)), options=given)).interfaces
    assert (str(eth0.address6), str(eth0.options["host_address6"])) == (ours, theirs)


def test_a_link_local_gateway_needs_no_network() -> None:
    assert str(configuration(MountOptions(gateway=[parse_address("fe80::1%eth0")])).gateway6) == "fe80::1"


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
    config = configuration(MountOptions(address=[interface(ours)]))
    assert str(config.interfaces[0].options["host_address"]) == host
    assert config.gateway == interface(host).ip
    assert list(map(str, config.nameservers)) == [nameserver]


def test_the_gateway_is_the_host_unless_it_is_named() -> None:
    assert str(configuration(MountOptions(options={"host_address": "10.0.2.77/24"})).gateway) == "10.0.2.77"
    assert str(configuration(MountOptions(gateway=[address("10.0.2.78")])).gateway) == "10.0.2.78"


def test_no_host_address_leaves_the_gateway() -> None:
    config = configuration(MountOptions(options={"host_address": "none"}))
    assert config.interfaces[0].options["host_address"] is None
    assert str(config.gateway) == "10.0.2.2"


def test_the_gateway_of_a_single_address_is_outside_of_it() -> None:
    options = MountOptions(
        address=[interface("10.0.2.15/32")], gateway=[address("172.31.1.1")], options={"host_address": "none"}
    )
    assert str(configuration(options).gateway) == "172.31.1.1"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gateway": [address("10.9.9.9")]}, "10.9.9.9 is no neighbor of 10.0.2.15/24"),
        ({"gateway": [address("10.0.2.15")]}, "no neighbor"),
        ({"options": {"host_address": "10.0.2.15/24"}}, "both 10.0.2.15"),
        ({"address": [interface("10.0.2.15/32")]}, "no room for a neighbor: give --gateway and --host-address"),
        ({"address": [interface("10.0.2.15/32")], "gateway": [address("10.0.2.15")]}, "no room for a neighbor"),
        ({"options": {"host_address6": "fd00:9::1/64"}}, "fd00:9::1 is no neighbor of fd00:10:0:2::15/64"),
        ({"gateway": [parse_address("fd00:9::1")]}, "fd00:9::1 is no neighbor of fd00:10:0:2::15/64"),
        (
            {"gateway": [parse_address("fd00:9::1")], "options": {"host_address6": "none"}},
            "the gateway fd00:9::1 needs an address of IPv6 beside it",
        ),
        ({"address": [parse_interface("fd00::1/128")]}, "no room for a neighbor: give --gateway and --host-address6"),
        ({"gateway": [address("10.0.2.2"), address("10.0.2.9")]}, "10.0.2.2 and 10.0.2.9 are both given as --gateway"),
        ({"address": [parse_interface("fd00::1/64"), parse_interface("fd00::1/48")]}, "fd00::1 is given twice"),
        ({"options": {"host_address6": "fd00:10:0:2::15/64"}}, "--host-address6 and --address are both fd00:10:0:2"),
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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fd00::15", "'fd00::15' is not ADDRESS/PREFIXLENGTH, such as fd00::15/64"),
        ("fd00::15/129", "not ADDRESS/PREFIXLENGTH"),
        ("fd00::15/+64", "not ADDRESS/PREFIXLENGTH"),
        ("fd00::g/64", "not ADDRESS/PREFIXLENGTH"),
        ("fe80::15/64", "'fe80::15/64' is a link-local address, and every interface has one of its own"),
        ("fe80::15%eth0/64", "."),
        ("::1/128", "a loopback address"),
        ("::/64", "not a unicast address"),
        ("ff02::1/64", "not a unicast address"),
        ("::ffff:10.0.2.15/120", "an address of IPv4 in the form of IPv6: write 10.0.2.15"),
    ],
)
def test_bad_interfaces_of_ipv6(text: str, sentence: str) -> None:
    for read in (parse_interface, parse_host_interface6):
        with pytest.raises(ValueError, match=sentence):
            read(text)


@pytest.mark.parametrize("text", ["", "fd00::1/64", "fd00::1%eth0", "ff02::1", "::1", "::", "fd00::g", "nowhere:"])
def test_bad_addresses_of_either_family(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


def test_a_host_address_of_the_wrong_family_names_the_option_of_the_right_one() -> None:
    with pytest.raises(OptionValueError, match="'fd00::2/64' is not an IPv4 address; --host-address6 takes that"):
        configuration(MountOptions(options={"host_address": "fd00::2/64"}))
    with pytest.raises(OptionValueError, match="'10.0.2.2/24' is not ADDRESS/PREFIXLENGTH, such as fd00::15/64"):
        configuration(MountOptions(options={"host_address6": "10.0.2.2/24"}))


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
