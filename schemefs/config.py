"""What a daemon is told at start: the values behind `schemefs mount`'s options, checked and with defaults.

The defaults are QEMU's user network, which the project's notes and Redox's documents use: 10.0.2.15/24, gateway
10.0.2.2, name server 10.0.2.3.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface


@dataclass(slots=True)
class InterfaceConfig:
    """One interface beside lo."""

    name: str = "eth0"
    driver: str = "tap"
    address: IPv4Interface | None = field(default_factory=lambda: IPv4Interface("10.0.2.15/24"))
    # For the driver: tap (str), mac (bytes | None), mtu (int | None), offload (on, off, auto), address (IPv4Interface),
    # host_address (IPv4Interface | None), address_is_default (bool: the subnet may move)
    options: dict[str, object] = field(default_factory=dict)


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
