"""The IPv4 address of one host, as options of the command line and of drivers give it. ValueError with a sentence."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Interface, NetmaskValueError


def parse_host_interface(text: str) -> IPv4Interface:
    """Return ADDRESS/PREFIX. The prefix is obligatory, and the address must be one that a host can have."""
    if "/" not in text:
        message = f"{text!r} lacks its prefix length (such as {text}/24)"
        raise ValueError(message)
    try:
        value = IPv4Interface(text)
    except (AddressValueError, NetmaskValueError) as error:
        message = f"{text!r} is not ADDRESS/PREFIX, such as 10.0.2.15/24 ({error})"
        raise ValueError(message) from None
    network = value.network
    # RFC 3021: both addresses of a /31 are hosts'; a /32 has but one.
    if network.prefixlen < 31 and value.ip in (network.network_address, network.broadcast_address):
        message = f"{value.ip} is the network or the broadcast address of {network}, no host's"
        raise ValueError(message)
    _check_unicast(value.ip)
    return value


def parse_host_address(text: str) -> IPv4Address:
    """Return ADDRESS, which must be one that a host can have."""
    try:
        value = IPv4Address(text)
    except AddressValueError as error:
        message = f"{text!r} is not an IPv4 address ({error})"
        raise ValueError(message) from None
    _check_unicast(value)
    return value


def _check_unicast(value: IPv4Address) -> None:
    if value.is_multicast or value.is_loopback or value.is_unspecified or int(value) >> 28 == 0xF:
        message = f"{value} is no address for a host on this network"
        raise ValueError(message)
