"""Dead gateways (RFC 1122 §3.3.1.5): one that does not answer ARP is passed over where another route leads as well.

silent  ──> its routes come last among those of their prefix; what waited for it goes by the next one
asked every ten seconds, in the background
answers ──> its routes are as good as before
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import presentation

if TYPE_CHECKING:
    from schemefs.timers import Timer
    from schemes.ip.network import Network

log = logging.getLogger("schemefs.ip")

ASK_AGAIN: Final = 10.0  # seconds


class Gateways:
    """Those that are silent now: `RouteTable.dead` has them."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._timers: dict[tuple[str, bytes], Timer] = {}

    def silent(self, interface: str, address: bytes, now: float) -> None:
        """A neighbor did not answer; it matters when it is a gateway that can be done without."""
        key = (interface, address)
        if key in self._timers or key not in self._network.routes.replaceable:
            return
        log.warning("the gateway %s on %s does not answer", presentation(address), interface)
        timer = self._network.timers.timer(lambda now: self._ask(key, now), f"gateway {presentation(address)}")
        self._timers[key] = timer
        timer.set(now + ASK_AGAIN)
        self._network.routes.dead.add(key)
        self._network.invalidate()

    def heard(self, interface: str, address: bytes) -> None:
        """A neighbor's hardware address is known."""
        if (interface, address) in self._timers:
            log.warning("the gateway %s on %s answers again", presentation(address), interface)
            self._forget((interface, address))

    def forget_interface(self, name: str) -> None:
        """Nothing is known of gateways there any more."""
        for key in tuple(self._timers):
            if key[0] == name:
                self._forget(key)

    def _ask(self, key: tuple[str, bytes], now: float) -> None:
        interface = self._network.interfaces.get(key[0])
        if interface is None or key not in self._network.routes.replaceable:
            self._forget(key)
            return
        interface.neighbor_table.use(key[1], now)  # so that there is an entry for the answer to go to
        interface.solicit(key[1], b"", 1, now)
        self._timers[key].set(now + ASK_AGAIN)

    def _forget(self, key: tuple[str, bytes]) -> None:
        self._timers.pop(key).clear()
        self._network.routes.dead.discard(key)
        self._network.invalidate()
