"""`ifaces/<if>/dhcp`: write `on`, `off` or `renew`, read the lease. Connects the DHCP clients to the stack."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, cast

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.commands import Command, CommandFile, each_line
from schemes.netcfg.dhcp_client import DhcpClient
from schemes.netcfg.grammar import rule_of
from schemes.netcfg.leased_interface import LeasedInterface
from schemes.netcfg.leased_value import LeasedValue

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.network_configuration import Interface, RouteEntry
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.net.transports import DatagramService, OpenPort
    from schemefs.scheme import Caller, SchemeContext

OFF: Final = "off"
_COMMANDS: Final = ("on", OFF, "renew")


class Dhcp:
    """The clients of all interfaces. They share port 68."""

    def __init__(self, context: SchemeContext, network: NetworkLayer) -> None:
        self.context = context
        self.network = network
        self.links: dict[str, Link] = {}
        self.files: dict[str, DhcpFile] = {}
        self._clients: dict[str, DhcpClient] = {}
        self._hosts: dict[str, LeasedInterface] = {}
        self._port: OpenPort | None = None
        self.nameservers: LeasedValue[bytes] = LeasedValue(context.names, "nameservers")
        self.search: LeasedValue[str] = LeasedValue(context.names, "search")
        self.hostname = ""  # sent with requests; empty: none is
        self._duplicates = context.timers.timer(self._decline_duplicates, "dhcp duplicates")
        network.on_change.append(self._network_changed)

    def client(self, name: str) -> DhcpClient | None:
        """Return the client of an interface; None: DHCP is off there."""
        return self._clients.get(name)

    def switch_on(self, name: str, now: float) -> None:
        """Start a client. EOPNOTSUPP: not an Ethernet link, or no udp scheme. EADDRINUSE: port 68 is taken."""
        link = self.links.get(name)
        if link is None or link.medium is not Medium.ETHERNET:
            raise SchemeError(errno.EOPNOTSUPP, f"{name} has no hardware address; DHCP needs an Ethernet interface")
        if name not in self._clients:
            if self._port is None:
                self._port = self._udp().open_port(wire.CLIENT_PORT, self._receive)
            host = self._hosts[name] = LeasedInterface(self, self.network, link)
            client = self._clients[name] = DhcpClient(host, self.context.timers, self.context.random, name)
            client.start(now)
            self._switched(name)

    def switch_off(self, name: str, now: float) -> None:
        """Release the lease and stop the client. No effect if DHCP is off."""
        client = self._clients.pop(name, None)
        if client is None:
            return
        client.stop(now)
        self._hosts.pop(name).close()
        if not self._clients and self._port is not None:
            self._port.close(now)
            self._port = None
        self._switched(name)

    def renew(self, name: str, now: float) -> None:
        """Renew the lease now. ENOTCONN: DHCP is off."""
        client = self._clients.get(name)
        if client is None:
            raise SchemeError(errno.ENOTCONN, f"DHCP is off on {name}; write 'on' first")
        client.renew(now)

    def set_hostname(self, name: str) -> None:
        """Tell servers *name* from the next request on; empty: none."""
        if name != self.hostname:
            self.hostname = name
            for callback in tuple(self.network.on_change):
                callback("hostname")

    def is_leased(self, interface: str, address: bytes) -> bool:
        """Return True if a lease has added this address. The lease's end removes it."""
        host = self._hosts.get(interface)
        return host is not None and bool(host.address) and address == host.address

    def configured_mtu(self, interface: Interface) -> int:
        """Return the MTU of *interface* without that of a lease."""
        host = self._hosts.get(interface.name)
        return host.configured_mtu if host is not None else interface.mtu

    def is_leased_route(self, rule: RouteEntry) -> bool:
        """Return True if a lease has added this rule. The lease's end removes it."""
        host = self._hosts.get(rule.interface)
        return host is not None and rule_of(rule) in host.rules

    def changed(self, name: str) -> None:
        """Wake the pollers of the interface's `dhcp` file."""
        if name in self.files:
            self.files[name].changed()

    def _switched(self, name: str) -> None:
        """Wake the pollers of all files that show whether DHCP is on."""
        for callback in tuple(self.network.on_change):
            callback(f"ifaces/{name}/dhcp")

    def _udp(self) -> DatagramService:
        # Looked up here, not required: netcfg works without udp.
        scheme = self.context.tree.schemes.get("udp")
        if scheme is None:
            raise SchemeError(errno.EOPNOTSUPP, "there is no udp scheme; DHCP needs it")
        return cast("DatagramService", scheme.provides)

    def _receive(self, octets: bytes, now: float) -> None:
        reply = wire.parse(octets)
        if reply is not None:
            for client in tuple(self._clients.values()):
                client.receive(reply, now)

    def _network_changed(self, key: str) -> None:
        if self._clients and key.endswith("/duplicates"):
            self._duplicates.call_soon()

    def _decline_duplicates(self, now: float) -> None:
        for name, client in self._clients.items():
            interface = self.network.interfaces.get(name)
            if interface is not None and client.lease is not None and client.lease.address in interface.duplicates:
                client.decline(now)


class DhcpFile(CommandFile):
    """`ifaces/<if>/dhcp`."""

    def __init__(self, dhcp: Dhcp, name: str) -> None:
        super().__init__(dhcp.context, each_line(self._parse_command))
        self._dhcp = dhcp
        self._name = name
        dhcp.files[name] = self

    def read(self, caller: Caller, now: float) -> bytes:
        """Return `off`, or the state and the lease of the client."""
        del caller
        client = self._dhcp.client(self._name)
        return client.text(now).encode() if client is not None else f"{OFF}\n".encode()

    def _parse_command(self, line: str) -> Command:
        if line not in _COMMANDS:
            message = f"there is no DHCP command {line!r}; there are: {', '.join(_COMMANDS)}"
            raise ValueError(message)
        command = {"on": self._dhcp.switch_on, OFF: self._dhcp.switch_off, "renew": self._dhcp.renew}[line]
        return lambda now: command(self._name, now)
