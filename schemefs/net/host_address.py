"""The IPv4 address of one host, as options of the command line and of drivers give it. ValueError with a sentence."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from schemefs.net import faults
from schemefs.net.addresses import check_interface_address, is_assignable, packed


def parse_host_interface(text: str) -> IPv4Interface:
    """Return ADDRESS/PREFIXLENGTH; the prefix length is required, and the address must be one that a host can have."""
    _check_ipv4(text, text.partition("/")[0])
    try:
        value = IPv4Interface(text)
    except ValueError:
        raise ValueError(faults.bad_cidr(text)) from None
    if "/" not in text:
        raise ValueError(faults.bad_cidr(text))
    _check_not_loopback(value)
    check_interface_address(value.packed, value.network.prefixlen)
    return value


def parse_host_address(text: str) -> IPv4Address:
    """Return ADDRESS, which must be one that a host can have."""
    _check_ipv4(text, text)
    try:
        value = IPv4Address(text)
    except ValueError:
        raise ValueError(faults.bad_address(text)) from None
    if not is_assignable(value.packed):
        raise ValueError(faults.not_unicast(repr(text)))
    _check_not_loopback(value)
    return value


def _check_ipv4(text: str, host: str) -> None:
    address = packed(host)
    if address is not None and len(address) != 4:
        raise ValueError(faults.not_ipv4(repr(text)))


def _check_not_loopback(value: IPv4Address) -> None:
    if value.is_loopback:
        message = f"{value} is a loopback address, and no other host can reach that"
        raise ValueError(message)
