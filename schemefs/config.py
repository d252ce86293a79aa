"""The configuration that a daemon starts with: the values of `schemefs mount`'s options, checked and with defaults.

The defaults are QEMU's user network, which the project's notes and Redox's documents use: 10.0.2.15/24, gateway
10.0.2.2, name server 10.0.2.3. A TAP has the same digits for IPv6: fd00:10:0:2::15/64, the kernel's fd00:10:0:2::2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

from schemefs.document import LOOPBACK, Document, InterfaceDocument
from schemefs.driver_option import Tables
from schemefs.held_octets import DEFAULT_LIMIT, parse_limit
from schemefs.net import faults
from schemefs.net.addresses import packed, parse_cidr, parse_unicast_mac
from schemefs.net.host_address import HostAddress, HostInterface
from schemefs.net.zones import is_zoned


@dataclass(slots=True)
class InterfaceConfig:
    """One interface beside lo, as its driver gets it: see DriverContext."""

    name: str = "eth0"
    driver: str = "tap"
    address: IPv4Interface | None = field(default_factory=lambda: IPv4Interface("10.0.2.15/24"))
    options: dict[str, object] = field(default_factory=dict)  # the values of the driver's table
    mac: bytes = b""
    mtu: int = 0
    address_may_move: bool = False
    nameserver: IPv4Address | None = None
    address6: IPv6Interface | None = None
    address6_may_move: bool = False
    nameserver6: IPv6Address | None = None
    further: tuple[HostInterface, ...] = ()  # addresses after the first one of each family
    is_by_command_line: bool = False  # sentences about it have the words of the command line, not keys


@dataclass(slots=True)
class Config:
    """The whole configuration. `interfaces` is empty with `--driver loopback`: lo always exists."""

    interfaces: list[InterfaceConfig] = field(default_factory=list)
    gateway: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    nameservers: tuple[HostAddress, ...] = (IPv4Address("10.0.2.3"),)
    private: bool = False
    memory: int = DEFAULT_LIMIT  # octets that all buffers may hold together
    stable_secret: bytes = b""  # key of stable IPv6 addresses (RFC 7217); empty: another one for each mount
    detects_conflicts: bool = True  # probe each address that is added: False where no other host can have one
    hosts_file: str = "/etc/hosts"
    services_file: str = "/etc/services"
    driver_reason: str = ""  # for the ready line: why the default driver is not a better one
    log_level: int = logging.INFO
    log_file: str = ""  # appended to, as well as logging/net/schemefs.log; "-" is standard error
    record_events: bool = False  # of every conversation, from its start
    impair: str = ""  # impairments of the first interface, of lo where there is no other
    document: Document | None = None  # the configuration file; netcfg applies what the fields above do not have
    directories: tuple[str, ...] = ()  # empty ones in the root of the tree, for other mounts
    tables: Tables = field(default_factory=dict)  # the options of the drivers that are there


def from_document(document: Document, tables: Tables) -> Config:
    """Return the configuration that a file describes. ValueError: a text in it is bad."""
    nameservers = [address for address in map(packed, document.nameservers or ()) if address is not None]
    interfaces = [
        interface_config(name, interface, nameservers)
        for name, interface in document.interfaces.items()
        if name != LOOPBACK
    ]
    memory = parse_limit(document.memory) if document.memory is not None else DEFAULT_LIMIT
    config = Config(interfaces=interfaces, document=document, tables=tables, memory=memory)
    config.gateway = next((one for one in _gateways(document) if isinstance(one, IPv4Address)), None)
    config.gateway6 = next((one for one in _gateways(document) if isinstance(one, IPv6Address)), None)
    return config


def _gateways(document: Document) -> Iterator[HostAddress]:
    """Yield the gateways of default routes that an address alone names; netcfg says what is wrong with a route."""
    for line in document.routes:
        words = line.split()
        gateway = packed(words[2]) if words[:2] == ["default", "via"] and len(words) > 2 else None
        if gateway is not None and not is_zoned(gateway):
            yield ip_address(gateway)


def interface_config(name: str, document: InterfaceDocument, nameservers: Sequence[bytes]) -> InterfaceConfig:
    """Return what the driver of one interface gets. ValueError: an address is bad."""
    # The driver gets the first address of each family; netcfg sets all of them.
    first = next((text for text in document.addresses if ":" not in text), "")
    first6 = next((text for text in document.addresses if ":" in text and not text.lower().startswith("fe80:")), "")
    server = next((address for address in nameservers if len(address) == 4), None)
    server6 = next((address for address in nameservers if len(address) == 16 and not is_zoned(address)), None)
    try:
        return InterfaceConfig(
            name=name,
            driver=document.driver,
            address=_interface(first) if first else None,
            options=dict(document.options),
            mac=parse_unicast_mac(document.mac) if document.mac else b"",
            mtu=document.mtu,
            nameserver=IPv4Address(server) if server is not None else None,
            address6=_interface6(first6) if first6 else None,
            nameserver6=IPv6Address(server6) if server6 is not None else None,
        )
    except ValueError as error:
        message = f"interface.{name}: {error}"
        raise ValueError(message) from None


def _interface(text: str) -> IPv4Interface:
    address, length = parse_cidr(text)
    if len(address) != 4:
        raise ValueError(faults.not_ipv4(repr(text)))
    return IPv4Interface((address, length))


def _interface6(text: str) -> IPv6Interface | None:
    address, length = parse_cidr(text)
    return IPv6Interface((address, length)) if len(address) == 16 else None
