"""The configuration as a text: what is understood, what is refused and in which words, and that it comes back."""

from ipaddress import IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.tap import OPTIONS
from schemefs import document as documents
from schemefs.config import from_document, interface_config
from schemefs.document import Document, InterfaceDocument

TABLES = {"tap": OPTIONS, "loopback": ()}

EXAMPLE = """\
nameservers = ["10.0.2.3"]
search = ["example.org"]
hosts = ["127.0.0.1 localhost"]
forward = true
memory = "1G"
routes = [
    "default via 10.0.2.2 dev eth0",
    "10.9.0.0/16 via 10.1.0.2 dev eth1 metric 5",
]

[interface.lo]
state = "up"
addresses = ["127.0.0.1/8"]
neighbors = []
impair = []

[interface.eth0]
driver = "tap"
tap = "schemefs0"
host_address = "10.0.2.2/24"
offload = "auto"
mac = "02:52:54:00:12:34"
mtu = 1500
state = "up"
addresses = ["10.0.2.15/24"]
neighbors = ["10.0.2.9 52-55-0a-00-02-09"]
impair = ["loss 1% delay 20ms seed 7"]

[log]
level = "info"
tcp = "trace"
"""


def parse(text):
    return documents.parse(text, TABLES)


def text_of(document):
    return documents.text_of(document, TABLES)


def test_the_example_comes_back_letter_by_letter():
    assert text_of(parse(EXAMPLE)) == EXAMPLE


def test_an_empty_text_is_lo_alone():
    document = parse("")
    assert document.interfaces == {"lo": InterfaceDocument(driver="loopback", addresses=("127.0.0.1/8",))}
    assert (document.nameservers, document.hosts, document.forward, document.routes) == (None, None, False, ())


def test_the_second_interface_is_on_the_second_tap():
    document = parse("[interface.eth1]\n")
    assert document.interfaces["eth1"].device == (
        "tap",
        {
            "tap": "schemefs1",
            "host_address": None,
            "host_address6": None,
            "offload": "auto",
            "uplink": False,
            "resolver": None,
        },
    )


def test_the_way_out_is_a_key_of_the_file_and_comes_back():
    text = '[interface.eth0]\nhost_address = "10.0.2.2/24"\nuplink = true\nresolver = "192.0.2.2"\n'
    options = parse(text).interfaces["eth0"].options
    assert (options["uplink"], str(options["resolver"])) == (True, "192.0.2.2")
    assert options["host_address"] == IPv4Interface("10.0.2.2/24")
    written = text_of(parse(text))
    assert 'uplink = true\nresolver = "192.0.2.2"\n' in written
    assert parse(written) == parse(text)
    assert "uplink" not in text_of(parse(text.replace("true", "false")))


def test_the_kernels_address_without_a_prefix_length_is_a_32():
    text = '[interface.eth0]\nhost_address = "10.9.9.1"\n'
    assert parse(text).interfaces["eth0"].options["host_address"] == IPv4Interface("10.9.9.1/32")
    assert parse(text_of(parse(text))) == parse(text)


def test_a_driver_of_another_package_has_options_of_its_own():
    text = '[interface.eth1]\ndriver = "wire"\noptions = { socket = "/run/a \\"b\\"", "no word" = "7" }\n'
    interface = parse(text).interfaces["eth1"]
    assert interface.options == {"socket": '/run/a "b"', "no word": "7"}
    assert parse(text_of(parse(text))) == parse(text)
    config = interface_config("eth1", interface, ())
    assert config.options["socket"] == '/run/a "b"'
    assert "tap" not in config.options


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("forward = ", "not TOML"),
        ("forwards = true", "there is no key forwards; there are: nameservers, search, hosts"),
        ("[interface.eth0]\nadress = []", "there is no key interface.eth0.adress; there are: driver, tap"),
        ("[interface.eth0]\nmtu = '1500'", "interface.eth0.mtu must be a number, not '1500'"),
        ("[interface.eth0]\nmtu = true", "interface.eth0.mtu must be a number, not True"),
        ("[interface.eth0]\naddresses = '10.0.2.15/24'", "interface.eth0.addresses must be a list of texts"),
        ("routes = [1]", "routes must be a list of texts"),
        ("[interface.eth0]\nuplink = 'yes'", "interface.eth0.uplink must be true or false, not 'yes'"),
        ("[interface.eth0]\ntap = 3", "interface.eth0.tap must be a text in quotes, not 3"),
        ("[interface.eth0]\ntap = 'a b'", "interface.eth0.tap: 'a b' is not a name for a TAP"),
        ("[interface.eth0]\noffload = 'some'", "interface.eth0.offload: 'some' is not one of: on, off, auto"),
        ("[interface.eth0]\ndriver = 3", "interface.eth0.driver must be a text in quotes, not 3"),
        ("[interface.eth1]\ndriver = 'loopback'\ntap = 'x'", "there is no key interface.eth1.tap"),
        ("forward = 1", "forward must be true or false, not 1"),
        ("[interface.lo]\ntap = 'x'", "there is no key interface.lo.tap"),
        ("[interface.eth1]\ndriver = 'wire'\ntap = 'x'", "there is no key interface.eth1.tap"),
        ("[interface.eth1]\noptions = { a = 'x' }", "there is no key interface.eth1.options"),
        (
            "[interface.eth1]\ndriver = 'wire'\noptions = { mtu = '9' }",
            "options.mtu is not an option of a driver",
        ),
        ("[interface.eth1]\ndriver = 'wire'\noptions = { a = \"b\\n\" }", "does not fit on one line"),
        ("[interface.eth1]\ndriver = 'wire'\noptions = { a = 3 }", "interface.eth1.options.a must be a text"),
        ("[interface.'wlan 0']", "'wlan 0' is not a name of an interface"),
        ("[interface.an-interface-of-x]", "is not a name of an interface"),
        ("[interface.list]", "is not a name of an interface"),
        ("[interface]\neth0 = 3", "interface.eth0 is not a table"),
        ("interface = 3", "interface must be a table"),
        ("[log]\ntcp = 3", "log.tcp must be a text"),
        ("a = 1\na = 2", "not TOML"),
        ("a = " + 3000 * "[", "lists and tables are nested too deeply"),
        ("a = " + 9999 * "1", "a number has too many digits"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text, words):
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert words in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_in_quotes_comes_back(hosts, search):
    document = Document(search=(search,), hosts=tuple(hosts), interfaces=parse("").interfaces)
    assert parse(text_of(document)) == document


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("addresses = ['10.0.2.15']", "interface.eth0: '10.0.2.15' is not ADDRESS/PREFIXLENGTH"),
        ("mac = 'x'", "interface.eth0: 'x' is not a hardware address"),
        ("mac = '01:00:5e:00:00:01'", "interface.eth0: '01:00:5e:00:00:01' is not a unicast hardware address"),
    ],
)
def test_an_address_that_no_driver_could_have_is_refused_before_one_is_opened(keys, words):
    with pytest.raises(ValueError, match=r".") as caught:
        from_document(parse(f"[interface.eth0]\n{keys}\n"), TABLES)
    assert words in str(caught.value)


def test_the_driver_gets_the_first_address_of_ipv4():
    """Addresses of IPv6 are netcfg's, as all others are."""
    for addresses, expected in (("'fd00::1/64'", "None"), ("'fd00::1/64', '10.0.2.15/24'", "10.0.2.15/24")):
        config = from_document(parse(f"[interface.eth0]\naddresses = [{addresses}]\n"), TABLES)
        assert str(config.interfaces[0].address) == expected


@pytest.mark.parametrize("route", ["default via", "default via nowhere", "default"])
def test_a_bad_route_is_for_netcfg_to_refuse(route):
    config = from_document(parse(f"routes = ['{route}']"), TABLES)
    assert (config.gateway, config.gateway6) == (None, None)


def test_the_first_default_route_of_each_family_names_the_gateway():
    """A link-local gateway is left to netcfg: it is one of the interface that the route names."""
    routes = ["default via fe80::1 dev eth0", "default via fd00::2", "default via 10.0.2.2", "default via fd00::3"]
    config = from_document(parse(f"routes = {routes}"), TABLES)
    assert (str(config.gateway), str(config.gateway6)) == ("10.0.2.2", "fd00::2")
