"""Whatever people write in a path: a value, or a ValueError (a SchemeError for names) with a sentence; nothing else."""

from __future__ import annotations

import contextlib

from hypothesis import assume, given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.names import Names
from schemefs.net import addresses
from schemefs.net.zones import is_zoned

TEXTS = st.text(max_size=40) | st.text("0123456789.:![]*,=abz/-+_ \n٣", max_size=40)


@given(TEXTS)
def test_parsers_raise_only_value_errors(text: str) -> None:
    for parse in (
        addresses.parse_address_path,
        addresses.parse_host_port,
        addresses.parse_host,
        addresses.parse_options,
        addresses.parse_seconds,
        addresses.parse_cidr,
        addresses.parse_mac,
        lambda text: addresses.parse_number(text, 0, 9),
        addresses.packed,
    ):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@given(TEXTS)
def test_what_parses_as_an_endpoint_has_a_port_that_names_understand_or_refuse(text: str) -> None:
    with contextlib.suppress(ValueError):
        host_port = addresses.parse_host_port(text)
        with contextlib.suppress(SchemeError):
            assert 0 <= Names().port(host_port.port, "tcp") <= 65535


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(1, 65535))
def test_endpoint_text_parses_back(address: bytes, port: int) -> None:
    # An IPv4-mapped address is read as the one in it, and one of a link has a zone that is known.
    assume(not address.startswith(bytes(10) + b"\xff\xff") and not (is_zoned(address) and any(address[2:4])))
    host_port = addresses.parse_host_port(addresses.host_port_text(address, port))
    assert (addresses.packed(host_port.host) if host_port.host else bytes(len(address))) == address
    assert host_port.port == str(port)


@given(st.binary(min_size=6, max_size=6), st.sampled_from(":-"))
def test_mac_text_parses_back(mac: bytes, separator: str) -> None:
    assert addresses.parse_mac(addresses.mac_text(mac, separator)) == mac


@given(TEXTS, TEXTS, TEXTS)
def test_names_accept_any_file(hosts: str, services: str, name: str) -> None:
    names = Names(hosts, services)
    with contextlib.suppress(SchemeError):
        names.addresses(name)
    with contextlib.suppress(ValueError):
        names.set_hosts(name)
