"""Dead gateways (RFC 1122 §3.3.1.5): one that does not answer ARP is used last where another route has its prefix.

no answer ──> its routes come last among those of their prefix; datagrams queued for it leave by the next route
every ten seconds ──> an ARP request to it
answer    ──> its routes are used as before
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import presentation

if TYPE_CHECKING:
    from schemefs.timers import Timer
    from schemes.ip.network import Network

log = logging.getLogger("schemefs.ip")

PROBE_INTERVAL: Final = 10.0  # seconds


class DeadGateways:
    """Detects dead gateways and probes them; `RouteTable.dead` names them."""

    __slots__ = ("_network", "_timers")

    def __init__(self, network: Network) -> None:
        self._network = network
        self._timers: dict[tuple[str, bytes], Timer] = {}  # (interface, gateway) -> when the next probe is due

    def neighbor_unreachable(self, interface: str, address: bytes, now: float) -> None:
        """Mark a neighbor that did not answer, if it is a gateway that another one can replace."""
        key = (interface, address)
        if key in self._timers or key not in self._network.routes.replaceable:
            return
        log.warning("the gateway %s on %s does not answer", presentation(address), interface)
        timer = self._network.timers.timer(lambda now: self._probe(key, now), f"gateway {presentation(address)}")
        self._timers[key] = timer
        timer.set(now + PROBE_INTERVAL)
        self._network.routes.dead.add(key)
        self._network.invalidate()

    def neighbor_reachable(self, interface: str, address: bytes) -> None:
        """Unmark a neighbor whose hardware address became known."""
        if (interface, address) in self._timers:
            log.warning("the gateway %s on %s answers again", presentation(address), interface)
            self._forget((interface, address))

    def forget_interface(self, name: str) -> None:
        """Unmark all gateways on an interface."""
        for key in tuple(self._timers):
            if key[0] == name:
                self._forget(key)

    def _probe(self, key: tuple[str, bytes], now: float) -> None:
        interface = self._network.interfaces.get(key[0])
        if interface is None or key not in self._network.routes.replaceable:
            self._forget(key)
            return
        neighbors = interface.neighbors_of(key[1])
        neighbors.table.use(key[1], now)  # the answer updates this entry; an answer alone makes none
        neighbors.solicit(key[1], b"", 1, now)
        self._timers[key].set(now + PROBE_INTERVAL)

    def _forget(self, key: tuple[str, bytes]) -> None:
        self._timers.pop(key).clear()
        self._network.routes.dead.discard(key)
        self._network.invalidate()
