"""The address of one host, as options of the command line and of drivers give it. ValueError with a sentence."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from schemefs.net import faults
from schemefs.net.addresses import check_interface_address, is_assignable, packed

HostAddress = IPv4Address | IPv6Address
HostInterface = IPv4Interface | IPv6Interface


def parse_interface(text: str) -> HostInterface:
    """Return ADDRESS/PREFIXLENGTH of either family, as `parse_host_interface` and `parse_host_interface6`."""
    return parse_host_interface6(text) if ":" in text else parse_host_interface(text)


def parse_address(text: str) -> HostAddress:
    """Return ADDRESS of either family, which must be one that a host can have; `fe80::1%eth0` loses its zone."""
    if ":" not in text:
        return parse_host_address(text)
    address = _unicast6(text, text)
    if address.scope_id is not None and not address.is_link_local:
        message = f"{text!r} has a zone, which only a link-local address has: leave %{address.scope_id} out"
        raise ValueError(message)
    return IPv6Address(address.packed)


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


def parse_host_interface6(text: str) -> IPv6Interface:
    """Return ADDRESS/PREFIXLENGTH of IPv6: not a link-local one, which each interface has without configuration."""
    host, _, length = text.partition("/")
    if not (length.isascii() and length.isdecimal()) or int(length) > 128:
        raise ValueError(faults.bad_cidr6(text))
    if ":" not in host or (packed(host) is None and "%" not in host):
        raise ValueError(faults.bad_cidr6(text))
    address = _unicast6(text, host)
    if address.is_link_local:
        message = f"{text!r} is a link-local address, and every interface has one of its own: give another one"
        raise ValueError(message)
    return IPv6Interface((address.packed, int(length)))


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


def _unicast6(text: str, host: str) -> IPv6Address:
    try:
        value = IPv6Address(host)
    except ValueError:
        raise ValueError(faults.bad_address(text)) from None
    if value.ipv4_mapped is not None:
        message = f"{text!r} is an address of IPv4 in the form of IPv6: write {value.ipv4_mapped}"
        raise ValueError(message)
    if not is_assignable(value.packed):
        raise ValueError(faults.not_unicast(repr(text)))
    _check_not_loopback(value)
    return value


def _check_ipv4(text: str, host: str) -> None:
    address = packed(host)
    if address is not None and len(address) != 4:
        raise ValueError(faults.not_ipv4(repr(text)))


def _check_not_loopback(value: HostAddress) -> None:
    if value.is_loopback:
        message = f"{value} is a loopback address, and no other host can reach that"
        raise ValueError(message)
