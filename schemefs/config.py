"""What a daemon is told at start: the values behind `schemefs mount`'s options, checked and with defaults.

The defaults are QEMU's user network, which the project's notes and Redox's documents use: 10.0.2.15/24, gateway
10.0.2.2, name server 10.0.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface


@dataclass(slots=True)
class InterfaceConfig:
    """One interface beside lo."""

    name: str = "eth0"
    driver: str = "tap"
    address: IPv4Interface | None = field(default_factory=lambda: IPv4Interface("10.0.2.15/24"))
    options: dict[str, object] = field(default_factory=dict)  # for the driver: tap, mac, mtu, offload, host_address


@dataclass(slots=True)
class Config:
    """The whole configuration. `interfaces` is empty with `--driver loopback`: lo always exists."""

    interfaces: list[InterfaceConfig] = field(default_factory=list)
    gateway: IPv4Address | None = None
    nameserver: IPv4Address = field(default_factory=lambda: IPv4Address("10.0.2.3"))
    private: bool = False
    hosts_file: str = "/etc/hosts"
    services_file: str = "/etc/services"
