"""Addresses as users write them, and their kinds."""

from __future__ import annotations

import pytest

from schemefs.net import addresses
from schemefs.net.addresses import HostPort, parse_address_path, parse_host_port, parse_options, parse_seconds


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.2.2:80", "10.0.2.2", "80"),
        ("10.0.2.2!80", "10.0.2.2", "80"),
        ("example.com:http", "example.com", "http"),
        ("my_host-1:65535", "my_host-1", "65535"),
        ("[::1]:80", "::1", "80"),
        ("[fe80::1]!80", "fe80::1", "80"),
        (":8080", "", "8080"),
        ("*:8080", "", "8080"),
        ("*!8080", "", "8080"),
        ("0.0.0.0:0", "", "0"),
    ],
)
def test_host_and_port(text: str, host: str, port: str) -> None:
    assert parse_host_port(text) == HostPort(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "host", "host:", "host: 80", "host:80 ", "host:65536", "host:-1", "a:b:80", "::1:80", "a!b!80",
        "[::1]80",
        "[::1:80", "[host]:80", "[]:80", "ho st:80", "300.1.1.1:80", "1.2.3:80", "a/b:80", "*a:80", "a*b:80",
        "x" * 254 + ":80", "host:8٠", "host:\n80",
    ],
)  # fmt: skip
def test_malformed_host_and_port(text: str) -> None:
    with pytest.raises(ValueError):
        parse_host_port(text)


def test_address_path_with_options() -> None:
    path = parse_address_path("10.0.2.2:80,timeout=3,nodelay,from=10.0.2.15:5000,note=a=b")
    assert path.host_port == HostPort("10.0.2.2", "80")
    assert path.options == {"timeout": "3", "nodelay": "", "from": "10.0.2.15:5000", "note": "a=b"}


@pytest.mark.parametrize("text", ["", ",", "a,", "a,,b", "=1", "a,a", "a=1,a=2"])
def test_malformed_options(text: str) -> None:
    with pytest.raises(ValueError):
        parse_options(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("2", 2.0), ("0.5", 0.5), (".5", 0.5), ("10.", 10.0)])
def test_seconds(text: str, value: float) -> None:
    assert parse_seconds(text) == value


@pytest.mark.parametrize("text", ["", "-1", "x", "nan", "inf", "1_0", "1e3", " 1", "1 ", "1.2.3", "1000000000", "٣"])
def test_malformed_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="seconds"):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["52:54:00:12:34:56", "52-54-0-12-34-56", "52:54:00:12:34:56".upper()])
def test_hardware_addresses(text: str) -> None:
    assert addresses.parse_mac(text) == bytes.fromhex("525400123456")
    assert addresses.mac_text(addresses.parse_mac(text)) == "52:54:00:12:34:56"


@pytest.mark.parametrize(
    "text",
    ["", "52", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "52:54:00:12:34:+5", "52:54:00:12:34: 5",
     "52:54:00:12:34:-1", "525:4:00:12:34:56", "52:54-00:12:34:56", "52::00:12:34:56"],
)  # fmt: skip
def test_malformed_hardware_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="hardware address"):
        addresses.parse_mac(text)


def test_cidr_keeps_host_bits_and_network_clears_them() -> None:
    address, length = addresses.parse_cidr("10.0.2.15/24")
    assert (address, length) == (bytes((10, 0, 2, 15)), 24)
    assert addresses.network_of(address, length) == bytes((10, 0, 2, 0))
    assert addresses.network_of(address, 0) == bytes(4)
    assert addresses.network_of(address, 32) == address


@pytest.mark.parametrize("text", ["10.0.2.15", "10.0.2.15/", "10.0.2.15/33", "10.0.2/24", "x/8", "10.0.2.15/-1", "/8"])
def test_malformed_cidr(text: str) -> None:
    with pytest.raises(ValueError, match="is not ADDRESS/PREFIXLENGTH, such as 10.0.2.15/24"):
        addresses.parse_cidr(text)


@pytest.mark.parametrize("text", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_a_group_has_no_unicast_hardware_address(text: str) -> None:
    with pytest.raises(ValueError, match=f"^'{text}' is not a unicast hardware address"):
        addresses.parse_unicast_mac(text)


@pytest.mark.parametrize(
    ("text", "length", "sentence"),
    [
        ("10.0.2.15", 24, ""),
        ("10.0.2.0", 31, ""),
        ("10.0.2.255", 32, ""),
        ("127.0.0.0", 8, ""),
        ("fe80::1", 64, ""),
        ("10.0.2.0", 24, "10.0.2.0/24 is the address of the network, not of a host in it"),
        ("10.0.2.255", 24, "10.0.2.255/24 is the broadcast address of the network, not of a host in it"),
        ("0.1.2.3", 8, "0.1.2.3/8 is not a unicast address"),
        ("224.0.0.1", 4, "224.0.0.1/4 is not a unicast address"),
        ("240.0.0.1", 4, "240.0.0.1/4 is not a unicast address"),
        ("::", 64, "::/64 is not a unicast address"),
        ("ff02::1", 64, "ff02::1/64 is not a unicast address"),
    ],
)
def test_addresses_of_interfaces(text: str, length: int, sentence: str) -> None:
    if not sentence:
        addresses.check_interface_address(addresses.parse_numeric(text), length)
        return
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        addresses.check_interface_address(addresses.parse_numeric(text), length)


@pytest.mark.parametrize(
    ("text", "unicast", "assignable"),
    [("10.0.2.2", True, True), ("0.1.2.3", False, False), ("224.0.0.1", False, False), ("239.1.2.3", False, False),
     ("240.0.0.1", True, False), ("254.1.2.3", True, False), ("255.255.255.255", False, False), ("::1", True, True),
     ("::", False, False), ("ff02::1", False, False)],
)  # fmt: skip
def test_addresses_of_one_host(text: str, unicast: bool, assignable: bool) -> None:
    address = addresses.parse_numeric(text)
    assert (addresses.is_unicast(address), addresses.is_assignable(address)) == (unicast, assignable)


def test_presentation() -> None:
    assert addresses.host_port_text(bytes((10, 0, 2, 15)), 80) == "10.0.2.15:80"
    assert addresses.host_port_text(bytes(15) + b"\1", 80) == "[::1]:80"
    assert addresses.packed("10.0.2.15") == bytes((10, 0, 2, 15))
    assert addresses.packed("localhost") is None


@pytest.mark.parametrize(
    ("text", "multicast", "loopback"),
    [("224.0.0.1", True, False), ("239.255.255.255", True, False), ("240.0.0.1", False, False),
     ("127.3.2.1", False, True), ("10.0.0.1", False, False), ("ff02::1", True, False), ("::1", False, True)],
)  # fmt: skip
def test_kinds(text: str, multicast: bool, loopback: bool) -> None:
    address = addresses.packed(text)
    assert address is not None
    assert addresses.is_multicast(address) is multicast
    assert addresses.is_loopback(address) is loopback


def test_hosts_without_a_port() -> None:
    assert addresses.parse_host("[::1]") == "::1"
    assert addresses.parse_host("example.com") == "example.com"
    for bad in ("", "*", "a*b", "a b", "[x]", "a/b", "1.2.3"):
        with pytest.raises(ValueError):
            addresses.parse_host(bad)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("faß.de", "xn--fa-hia.de"),  # IDNA 2003 has fass.de
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("cafe\u0301.example", "xn--caf-dma.example"),
        ("ex。ämple", "ex.xn--mple-koa"),
        ("_a.é.example", "_a.xn--9ca.example"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
    ],
)
def test_one_conversion_of_internationalized_names(text: str, name: str) -> None:
    assert parse_host_port(f"{text}:80").host == addresses.parse_host(text) == name


@pytest.mark.parametrize("text", ["fe80::1%nope", "::1%lo", "fe80::1%"])
def test_a_zone_without_its_interface_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not a link-local address on an interface of this host"):
        addresses.parse_host(text)


@pytest.mark.parametrize("text", ["\u2603.net", "-é.de", "é" * 70, "a\uff0fé", "é\uff1a80", "1\u0660.é"])
def test_names_that_no_host_has(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name|not a host"):
        addresses.parse_host(text)
