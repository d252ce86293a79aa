"""Name servers without configuration: of router advertisements (RFC 8106), and of DHCPv6 where those point to it."""

from __future__ import annotations

import errno
import logging
from struct import Struct
from typing import TYPE_CHECKING, Final, cast

from schemefs.errors import SchemeError
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP
from schemefs.net.zones import known_zone, with_zone
from schemes.netcfg import dhcpv6_wire as wire
from schemes.netcfg.dhcpv6_client import InformationClient

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.net.transports import DatagramService, OpenPort
    from schemefs.scheme import SchemeContext
    from schemes.netcfg.leased_value import LeasedValue

log = logging.getLogger("schemefs.dhcp")

_UDP_HEADER: Final = Struct(">HHHH")
_CHECKSUM_OFFSET: Final = 6


class AdvertisedNameServers:
    """The name servers of all interfaces; the DHCPv6 clients share port 546."""

    def __init__(
        self,
        context: SchemeContext,
        network: NetworkLayer,
        nameservers: LeasedValue[bytes],
        search: LeasedValue[str],
    ) -> None:
        self._context = context
        self.network = network
        self._nameservers = nameservers
        self._search = search
        self._clients: dict[str, InformationClient] = {}
        self._port: OpenPort | None = None
        network.on_names.append(lambda name, servers, domains: self.use(f"{name} ra", servers, domains))
        network.on_other_configuration.append(self._ask)
        network.on_change.append(self._network_changed)

    def use(self, origin: str, nameservers: tuple[bytes, ...], domains: tuple[str, ...]) -> None:
        """Put the name servers of *origin* in force; empty: it has none any more."""
        self._nameservers.put(origin, nameservers)
        self._search.put(origin, tuple(domain.lower() for domain in domains))

    def forget(self, name: str, now: float) -> None:
        """Stop the client of an interface that is down or gone."""
        client = self._clients.pop(name, None)
        if client is not None:
            client.stop()
        if not self._clients and self._port is not None:
            self._port.close(now)
            self._port = None

    def _ask(self, name: str, now: float) -> None:
        """Ask on an interface, because a router says that there is more."""
        if name not in self._clients:
            try:
                self._open_port()
            except SchemeError as error:
                log.warning("DHCPv6 is not asked on %s: %s", name, error.sentence)
                return
            host = _InformationHost(self, name)
            self._clients[name] = InformationClient(host, self._context.timers, self._context.random, name)
        self._clients[name].start(now)

    def _open_port(self) -> None:
        if self._port is None:
            scheme = self._context.tree.schemes.get("udp")
            if scheme is None:
                raise SchemeError(errno.EOPNOTSUPP, "there is no udp scheme; DHCPv6 needs it")
            self._port = cast("DatagramService", scheme.provides).open_port(wire.CLIENT_PORT, self._receive)

    def _receive(self, octets: bytes, now: float) -> None:
        for client in tuple(self._clients.values()):
            client.receive(octets, now)

    def _network_changed(self, key: str) -> None:
        """Stop the clients of interfaces that went down, or away."""
        if key == "ifaces" or key.endswith("/state"):
            for name in tuple(self._clients):
                interface = self.network.interfaces.get(name)
                if interface is None or not interface.is_up:
                    self.forget(name, self._context.timers.latest)


class _InformationHost:
    """Satisfies `dhcpv6_client.InformationHost`."""

    def __init__(self, shared: AdvertisedNameServers, name: str) -> None:
        self._shared = shared
        self._name = name

    @property
    def mac(self) -> bytes:
        """The hardware address."""
        interface = self._shared.network.interfaces.get(self._name)
        return interface.mac if interface is not None else b""

    def send(self, message: bytes, now: float) -> None:
        """Send to all servers of the link."""
        destination = with_zone(wire.ALL_SERVERS, known_zone(self._name))
        try:
            path = self._shared.network.path(destination)
            length = 8 + len(message)
            partial = pseudo_header_sum(path.source, destination, UDP, length)
            header = _UDP_HEADER.pack(wire.CLIENT_PORT, wire.SERVER_PORT, length, partial)
            path.send(UDP, header, (message,), now, checksum_offset=_CHECKSUM_OFFSET)
        except SchemeError as error:
            log.debug("a DHCPv6 request was not sent: %s", error.sentence)

    def use(self, nameservers: tuple[bytes, ...], domains: tuple[str, ...]) -> None:
        """Use other name servers and search domains."""
        zone = known_zone(self._name)
        self._shared.use(f"{self._name} dhcpv6", tuple(with_zone(each, zone) for each in nameservers), domains)
