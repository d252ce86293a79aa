"""`ifaces/<if>/dhcp`: write `on`, `off` or `renew`, read the lease. Connects the DHCP clients to the stack."""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final, cast

from schemefs.driver import Medium
from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, is_unicast
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP
from schemefs.net.offload import NO_OFFLOAD
from schemes.netcfg import dhcp_wire as wire
from schemes.netcfg.commands import Command, CommandFile, each_line
from schemes.netcfg.dhcp_client import DhcpClient, prefix_length

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.network_layer import NetworkLayer, RouteEntry
    from schemefs.net.transports import DatagramService, OpenPort
    from schemefs.scheme import Caller, SchemeContext

log = logging.getLogger("schemefs.dhcp")

OFF: Final = "off"
_COMMANDS: Final = ("on", OFF, "renew")
_UDP_HEADER: Final = Struct(">HHHH")
_CHECKSUM_OFFSET: Final = 6


class Dhcp:
    """The clients of all interfaces. They share port 68."""

    def __init__(self, context: SchemeContext, network: NetworkLayer) -> None:
        self.context = context
        self.network = network
        self.links: dict[str, Link] = {}
        self.files: dict[str, DhcpFile] = {}
        self._clients: dict[str, DhcpClient] = {}
        self._hosts: dict[str, _InterfaceHost] = {}
        self._port: OpenPort | None = None
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
            host = self._hosts[name] = _InterfaceHost(self, link)
            client = self._clients[name] = DhcpClient(host, self.context.timers, self.context.random, name)
            client.start(now)
            self._switched(name)

    def switch_off(self, name: str, now: float) -> None:
        """Release the lease and stop the client. No effect if DHCP is off."""
        client = self._clients.pop(name, None)
        if client is None:
            return
        client.stop(now)
        del self._hosts[name]
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

    def is_leased(self, interface: str, address: bytes) -> bool:
        """Return True if a lease has added this address. The lease's end removes it."""
        host = self._hosts.get(interface)
        return host is not None and bool(host.address) and address == host.address

    def is_leased_route(self, rule: RouteEntry) -> bool:
        """Return True if a lease has added this rule. The lease's end removes it."""
        host = self._hosts.get(rule.interface)
        is_default = (rule.prefix_length, rule.metric, rule.source) == (0, 0, b"")
        return host is not None and bool(host.router) and is_default and rule.via == host.router

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


class _InterfaceHost:
    """Satisfies `dhcp_client.Host`."""

    def __init__(self, dhcp: Dhcp, link: Link) -> None:
        self._dhcp = dhcp
        self._network = dhcp.network
        self._link = link
        # Added by `configure` and removed by `deconfigure`; empty: nothing was added, or it existed before.
        self.address = b""
        self.router = b""

    @property
    def mac(self) -> bytes:
        """The link's current hardware address."""
        return self._link.mac

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        """Send a complete frame: an interface without an address has no route for a broadcast."""
        self._link.send((wire.frame(self.mac, source, message),), NO_OFFLOAD, now)

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        """Send over the routing table. Without a route the message is dropped."""
        try:
            path = self._network.path(server)
            length = 8 + len(message)
            partial = pseudo_header_sum(path.source, server, UDP, length)
            header = _UDP_HEADER.pack(wire.CLIENT_PORT, wire.SERVER_PORT, length, partial)
            path.send(UDP, header, (message,), now, checksum_offset=_CHECKSUM_OFFSET, may_fragment=True)
        except SchemeError as error:
            log.debug("a DHCP request was not sent: %s", error.sentence)

    def configure(self, lease: wire.Reply, now: float) -> str:
        """Add address and default route if they do not exist, and set the name servers."""
        name = self._link.name
        interface = self._network.interfaces[name]
        if all(lease.address != address for address, _ in interface.configured):
            try:
                interface.add_address(lease.address, prefix_length(lease), now, is_leased=True)
            except SchemeError as error:
                return error.sentence
            self.address = lease.address
        if self.router not in (b"", *lease.routers[:1]):
            self._remove_route()
        for router in lease.routers[:1] if not self.router else ():
            try:
                self._network.routes.add(ANY_V4, 0, via=router, interface=name)
            except SchemeError as error:
                log.warning("the lease's default route can't be added: %s", error.sentence)
            else:
                self.router = router
        nameservers = tuple(filter(is_unicast, lease.nameservers))
        if nameservers:
            self._dhcp.context.names.nameservers = nameservers
        return ""

    def _remove_route(self) -> None:
        router, self.router = self.router, b""
        with suppress(SchemeError):
            self._network.routes.remove(ANY_V4, 0, via=router, interface=self._link.name, metric=0)

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        """Remove the address and the route that `configure` added, if they still exist."""
        address, self.address = self.address, b""
        interface = self._network.interfaces.get(self._link.name)
        if interface is None:
            self.router = b""
            return
        if self.router:
            self._remove_route()
        if address:
            with suppress(SchemeError):
                interface.remove_address(address, prefix_length(lease), now)

    def changed(self) -> None:
        """Wake the pollers of the interface's `dhcp` file."""
        self._dhcp.changed(self._link.name)


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
