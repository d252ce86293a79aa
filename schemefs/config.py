"""What a daemon is told at start: the values behind `schemefs mount`'s options, checked and with defaults.

The defaults are QEMU's user network, which the project's notes and Redox's documents use: 10.0.2.15/24, gateway
10.0.2.2, name server 10.0.2.3.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface

from schemefs.document import LOOPBACK, NOTHING, TAP, Document, InterfaceDocument
from schemefs.net.addresses import parse_mac


@dataclass(slots=True)
class InterfaceConfig:
    """One interface beside lo."""

    name: str = "eth0"
    driver: str = "tap"
    address: IPv4Interface | None = field(default_factory=lambda: IPv4Interface("10.0.2.15/24"))
    # For the driver: tap (str), mac (bytes | None), mtu (int | None), offload (on, off, auto), address (IPv4Interface),
    # host_address (IPv4Interface | None), address_is_default (bool: the subnet may move),
    # uplink (bool), relay, resolver (IPv4Address | None)
    options: dict[str, object] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)  # those that only a driver of another package knows


@dataclass(slots=True)
class Config:
    """The whole configuration. `interfaces` is empty with `--driver loopback`: lo always exists."""

    interfaces: list[InterfaceConfig] = field(default_factory=list)
    gateway: IPv4Address | None = None
    nameserver: IPv4Address = field(default_factory=lambda: IPv4Address("10.0.2.3"))
    private: bool = False
    hosts_file: str = "/etc/hosts"
    services_file: str = "/etc/services"
    log_level: int = logging.INFO
    log_file: str = ""  # appended to, as well as logging/net/schemefs.log; "-" is standard error
    document: Document | None = None  # all of it once more as text, with what is not said above: netcfg applies it


def from_document(document: Document) -> Config:
    """Return what the daemon is told by a configuration file. ValueError: a word means nothing to a driver."""
    named = {name: interface for name, interface in document.interfaces.items() if name != LOOPBACK}
    interfaces = [interface_config(name, interface) for name, interface in named.items()]
    config = Config(interfaces=interfaces, document=document)
    for line in document.routes:
        words = line.split()
        if words[:2] == ["default", "via"] and config.gateway is None:
            config.gateway = IPv4Address(words[2])
    return config


def interface_config(name: str, document: InterfaceDocument) -> InterfaceConfig:
    """Return what the daemon and the driver are told about one interface. ValueError: a word means nothing."""
    first = next(iter(document.addresses), "")
    try:
        address = IPv4Interface(first) if first else None
        options: dict[str, object] = {"address": address, "address_is_default": False}
        if document.driver == TAP:
            host = None if document.host_address == NOTHING else IPv4Interface(document.host_address)
            options |= {"tap": document.tap, "offload": document.offload, "host_address": host}
        if document.mac:
            options["mac"] = parse_mac(document.mac)
    except ValueError as error:
        message = f"interface.{name}: {error}"
        raise ValueError(message) from None
    if document.mtu:
        options["mtu"] = document.mtu
    said = dict(document.options)
    return InterfaceConfig(name, document.driver, address, said | options, said)
