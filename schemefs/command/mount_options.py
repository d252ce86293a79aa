"""The mount command's options: text in, a Config out, or a ValueError that says in a sentence what is wrong.

No click here (that is cli.py) and no look at the machine (that is the drivers'): only what the words mean, and what
follows from them when they are left out.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, NetmaskValueError
from typing import Final

from schemefs.config import Config, InterfaceConfig, from_document
from schemefs.document import parse
from schemefs.log import TRACE

LOG_LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# RFC 791 §3.2: every module must be able to forward a datagram of 68 octets; its largest is 65,535.
MTU_MIN: Final = 68
MTU_MAX: Final = 65535

# What a configuration file says, so that no option beside it may.
SAID_BY_CONFIG: Final = (
    "driver", "tap", "address", "gateway", "nameserver", "host_address", "mac", "mtu", "offload",
    "uplink", "resolver",
)  # fmt: skip

DEFAULT_ADDRESS: Final = IPv4Interface("10.0.2.15/24")
LOOPBACK: Final = "loopback"


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options of `schemefs mount` as they were given; None and "" mean that they were not."""

    driver: str = "tap"
    tap: str = "schemefs0"
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    nameserver: IPv4Address | None = None
    host_address: IPv4Interface | None = None
    host_address_alone: bool = False  # --host-address none
    mac: bytes | None = None
    mtu: int | None = None
    offload: str = "auto"
    uplink: bool = False
    resolver: IPv4Address | None = None
    private: bool = False
    log_level: str = "info"
    log_file: str = ""


def configuration(options: MountOptions) -> Config:
    """Return the daemon's configuration. ValueError: values that contradict each other."""
    config = Config(
        private=options.private,
        log_level=LOG_LEVELS[options.log_level],
        log_file=options.log_file,
    )
    if options.resolver is not None and not options.uplink:
        message = "--resolver is whom the relay of --uplink asks: without that there is none"
        raise ValueError(message)
    if options.driver == LOOPBACK:
        if options.uplink:
            message = "--uplink is the way out of a TAP; with --driver loopback there is none"
            raise ValueError(message)
        if options.nameserver is not None:
            config.nameserver = options.nameserver
        return config
    address = options.address or DEFAULT_ADDRESS
    host_address = None if options.host_address_alone else options.host_address or _neighbor(address)
    if host_address is not None and host_address.ip == address.ip:
        message = f"--host-address and --address are both {address.ip}"
        raise ValueError(message)
    config.gateway = options.gateway or (host_address or _neighbor(address)).ip
    if config.gateway not in address.network or config.gateway == address.ip:
        message = f"the gateway {config.gateway} is no neighbor of {address} (--gateway: one of {address.network})"
        raise ValueError(message)
    config.nameserver = options.nameserver or _nameserver(address)
    chosen = (options.address, options.gateway, options.host_address)
    config.interfaces.append(
        InterfaceConfig(
            driver=options.driver,
            address=address,
            options={
                "tap": options.tap,
                "mac": options.mac,
                "mtu": options.mtu,
                "offload": options.offload,
                "host_address": host_address,
                "address": address,
                "address_is_default": chosen == (None, None, None),
                **(_uplink(options, address, host_address, config.nameserver) if options.uplink else {}),
            },
        )
    )
    return config


def _uplink(
    options: MountOptions, address: IPv4Interface, host_address: IPv4Interface | None, nameserver: IPv4Address
) -> dict[str, object]:
    """Return what the driver is told of the way out: the host answers for names where the name server would be."""
    taken = (address.ip, host_address.ip if host_address else None)
    ours = host_address is not None and nameserver in host_address.network and nameserver not in taken
    return {"uplink": True, "relay": nameserver if ours else None, "resolver": options.resolver}


def configuration_of_text(text: str, *, private: bool, log_level: str, log_file: str) -> Config:
    """Return the daemon's configuration by a TOML text. ValueError with a sentence. A *log_level* given here wins."""
    document = parse(text)
    if log_level:
        document = replace(document, log={**document.log, "level": log_level})
    config = from_document(document)
    config.private, config.log_file = private, log_file
    config.log_level = LOG_LEVELS.get(document.log.get("level", "info"), logging.INFO)
    return config


def interface(text: str) -> IPv4Interface:
    """Return ADDRESS/PREFIX; the prefix may not be left out, and the address must be one that a host can have."""
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


def address(text: str) -> IPv4Address:
    """Return a host's address."""
    try:
        value = IPv4Address(text)
    except AddressValueError as error:
        message = f"{text!r} is not an IPv4 address ({error})"
        raise ValueError(message) from None
    _check_unicast(value)
    return value


def mac(text: str) -> bytes:
    """Return six octets written as `52:54:00:12:34:56` (or with hyphens, as IEEE 802 writes them)."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", text):
        message = f"{text!r} is not a hardware address, such as 52:54:00:12:34:56"
        raise ValueError(message)
    octets = bytes.fromhex(re.sub("[:-]", "", text))
    if octets[0] & 1 or not any(octets):
        message = f"{text} is a group's hardware address or nobody's: the first octet must be even, and one not zero"
        raise ValueError(message)
    return octets


def mtu(text: str) -> int:
    """Return an MTU, in octets of an IP datagram."""
    if not text.isdecimal() or not MTU_MIN <= int(text) <= MTU_MAX:
        message = f"{text!r} is not an MTU: {MTU_MIN} to {MTU_MAX}"
        raise ValueError(message)
    return int(text)


def _check_unicast(value: IPv4Address) -> None:
    if value.is_multicast or value.is_loopback or value.is_unspecified or int(value) >> 28 == 0xF:
        message = f"{value} is no address for a host on this network"
        raise ValueError(message)


def _neighbor(value: IPv4Interface) -> IPv4Interface:
    """Return the place of the gateway in QEMU's user network, .2, or the next that is not *value* itself."""
    hosts = [value.network[n] for n in (2, 1, 3, 0) if n < value.network.num_addresses]
    found = next((host for host in hosts if host != value.ip and _is_host(host, value)), None)
    if found is None:
        message = f"{value} has no room for a neighbor: give --gateway, or a shorter prefix"
        raise ValueError(message)
    return IPv4Interface((found, value.network.prefixlen))


def _nameserver(value: IPv4Interface) -> IPv4Address:
    """Return the place of the name server in QEMU's user network, .3, if the subnet has it; else the default."""
    candidate = value.network.network_address + 3
    return candidate if candidate in value.network and _is_host(candidate, value) else IPv4Address("10.0.2.3")


def _is_host(candidate: IPv4Address, value: IPv4Interface) -> bool:
    network = value.network
    return network.prefixlen >= 31 or candidate not in (network.network_address, network.broadcast_address)
