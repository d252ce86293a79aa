"""A stateless DHCPv6 client for one interface (RFC 8415 §18.2.6): it asks for name servers and search domains.

IDLE ──a router says that there is more──> ASKING ──reply──> INFORMED ──refresh time──> ASKING
           ^ the same pause, doubled up to an hour ──'

Addresses (IA_NA) are not asked for: they come from router advertisements.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.net.addresses import presentation
from schemes.netcfg import dhcpv6_wire as wire

if TYPE_CHECKING:
    import random

    from schemefs.timers import Timers

log = logging.getLogger("schemefs.dhcp")

IDLE: Final = "IDLE"
ASKING: Final = "ASKING"
INFORMED: Final = "INFORMED"

# RFC 8415 §7.6, seconds
MAX_DELAY: Final = 1.0
FIRST_TIMEOUT: Final = 1.0
MAX_TIMEOUT: Final = 3600.0
REFRESH_DEFAULT: Final = 86400
REFRESH_MINIMUM: Final = 600
_MAX_TIMEOUTS: Final = (60, 86400)  # §21.25: a server's INF_MAX_RT out of these bounds is ignored


class InformationHost(Protocol):
    """The client's access to its interface."""

    @property
    def mac(self) -> bytes:
        """The hardware address, by which a server identifies the client."""

    def send(self, message: bytes, now: float) -> None:
        """Send to all servers of the link. Without a link-local address the message is lost."""

    def use(self, nameservers: tuple[bytes, ...], domains: tuple[str, ...]) -> None:
        """Use other name servers and search domains; empty: no longer those of this client."""


class InformationClient:
    """The state machine of one interface."""

    def __init__(self, host: InformationHost, timers: Timers, randomness: random.Random, name: str) -> None:
        self.state = IDLE
        self.information: wire.Information | None = None
        self._host = host
        self._random = randomness
        self._timer = timers.timer(self._on_timer, f"dhcpv6 {name}")
        self._transaction = 0
        self._began_at = 0.0
        self._timeout = 0.0  # the last pause, seconds; 0: nothing was sent yet
        self._max_timeout = MAX_TIMEOUT

    def start(self, now: float) -> None:
        """Ask after a random delay, so that the hosts of a link do not ask at once. No effect while it asks."""
        if self.state == ASKING:
            return
        self.state = ASKING
        self._transaction = self._random.getrandbits(24)
        self._timeout = 0.0
        self._timer.set(now + self._random.uniform(0, MAX_DELAY))

    def stop(self) -> None:
        """Use nothing of what a server said."""
        self._timer.clear()
        self.state = IDLE
        if self.information is not None:
            self.information = None
            self._host.use((), ())

    def receive(self, octets: bytes, now: float) -> None:
        """Take a datagram to the client's port, whatever it holds."""
        if self.state != ASKING or not self._timeout:
            return
        information = wire.parse(octets, wire.client_identifier(self._host.mac))
        if information is None or information.transaction != self._transaction:
            return
        self.state = INFORMED
        self.information = information
        if _MAX_TIMEOUTS[0] <= information.max_retransmission <= _MAX_TIMEOUTS[1]:
            self._max_timeout = float(information.max_retransmission)
        refresh = REFRESH_DEFAULT if information.refresh_time is None else information.refresh_time
        if refresh != 0xFFFFFFFF:
            self._timer.set(now + max(refresh, REFRESH_MINIMUM))  # §21.23
        else:
            self._timer.clear()
        log.info("DHCPv6 name servers: %s", " ".join(map(presentation, information.nameservers)) or "none")
        self._host.use(information.nameservers, information.domains)

    def _on_timer(self, now: float) -> None:
        if self.state == INFORMED:
            self.start(now)
            return
        if not self._timeout:
            self._began_at = now
        message = wire.build(self._transaction, wire.client_identifier(self._host.mac), now - self._began_at)
        self._host.send(message, now)
        # RFC 8415 §15: twice the last pause, the random part of a tenth included, up to the longest one.
        spread = self._random.uniform(-0.1, 0.1)
        pause = (2 + spread) * self._timeout if self._timeout else (1 + spread) * FIRST_TIMEOUT
        self._timeout = min(pause, (1 + spread) * self._max_timeout)
        self._timer.set(now + self._timeout)
