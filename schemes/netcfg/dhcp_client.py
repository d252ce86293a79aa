"""A DHCP client for one interface (RFC 2131 §4.4). Sans-IO: its timer, and a host that sends and configures for it.

    INIT ──discover──> SELECTING ──offer──> REQUESTING ──ack──> BOUND ──T1──> RENEWING ──T2──> REBINDING
      ^                                         | nak             ^  <──ack──────'  <──ack──────'    |
      '───────────────── nak, expired, somebody else has the address (decline, 10 s) ────────────────'

What a lease configures is gone when the lease is: address, default route; name servers stay, they harm nobody.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.net.addresses import ANY_V4, is_loopback, is_multicast, presentation
from schemes.netcfg import dhcp_wire as wire

if TYPE_CHECKING:
    import random

    from schemefs.timers import Timers

log = logging.getLogger("schemefs.dhcp")

INIT: Final = "INIT"
SELECTING: Final = "SELECTING"
REQUESTING: Final = "REQUESTING"
BOUND: Final = "BOUND"
RENEWING: Final = "RENEWING"
REBINDING: Final = "REBINDING"

FIRST_RETRY: Final = 4.0  # seconds; doubled to the longest, one second more or less each time: RFC 2131 §4.1
LONGEST_RETRY: Final = 64.0
REQUESTS: Final = 4  # unanswered ones before another server may be better
LEAST_RENEWAL_RETRY: Final = 60.0  # RFC 2131 §4.4.5
AFTER_DECLINE: Final = 10.0  # RFC 2131 §3.1 (5)
_SMALLEST_LEASE: Final = 10  # a server that says less would keep us busy with nothing else


class Host(Protocol):
    """What the client needs of its interface."""

    @property
    def mac(self) -> bytes:
        """Who we are to a server."""

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        """Send to every server."""

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        """Send to one server, by the way that leads there; lost when none does."""

    def configure(self, lease: wire.Reply, now: float) -> None:
        """Take address, route and name servers of *lease* into use."""

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        """Give address and route up."""

    def changed(self) -> None:
        """What `text` says is different."""


class DhcpClient:
    """`start` once; `stop` at the end."""

    def __init__(self, host: Host, timers: Timers, randomness: random.Random, name: str) -> None:
        self.state = INIT
        self.lease: wire.Reply | None = None
        self._host = host
        self._random = randomness
        self._timer = timers.timer(self._on_timer, f"dhcp {name}")
        self._xid = 0
        self._began_at = 0.0
        self._attempts = 0
        self._offer: wire.Reply | None = None
        self._renew_at = self._rebind_at = self._expires_at = math.inf

    def start(self, now: float) -> None:
        """Look for a server."""
        self._offer = None
        self._xid = self._random.getrandbits(32)
        self._began_at = now
        self._attempts = 0
        self._enter(SELECTING)
        self._discover(now)

    def stop(self, now: float) -> None:
        """Give a lease back, politely, and forget it."""
        self._timer.clear()
        lease = self.lease
        if lease is not None:
            message = wire.build(wire.RELEASE, self._xid, self._host.mac, 0, own=lease.address, server=lease.server)
            self._host.unicast(message, lease.server, now)
        self._drop_lease(now)
        self._enter(INIT)

    def renew(self, now: float) -> None:
        """Ask now for what would be asked for at T1; without a lease, begin anew."""
        if self.lease is None:
            self.start(now)
        else:
            self._begin_renewal(now)

    def receive(self, reply: wire.Reply, now: float) -> None:
        """Take a server's message to somebody, perhaps to us."""
        if reply.xid != self._xid or reply.mac != self._host.mac:
            return
        if reply.kind == wire.OFFER and self.state == SELECTING:
            if _is_usable(reply):
                self._request(reply, now)
        elif reply.kind == wire.ACK and self.state in (REQUESTING, RENEWING, REBINDING):
            self._acknowledged(reply, now)
        elif reply.kind == wire.NAK and self.state in (REQUESTING, RENEWING, REBINDING):
            log.warning("%s refused: %s", presentation(reply.server or ANY_V4), reply.message or "no reason given")
            self._drop_lease(now)
            self._restart(now, 1.0)  # not at once: a server that refuses everything must not make a loop

    def decline(self, now: float) -> None:
        """Somebody else has the address of our lease."""
        lease = self.lease
        if lease is None:
            return
        log.warning("%s is in use by somebody else; declined", presentation(lease.address))
        message = wire.build(wire.DECLINE, self._xid, self._host.mac, 0, requested=lease.address, server=lease.server)
        self._host.broadcast(message, ANY_V4, now)
        self._drop_lease(now)
        self._restart(now, AFTER_DECLINE)

    def text(self, now: float) -> str:
        """Return what is known, `name=value` lines."""
        lines = [f"state={self.state}"]
        lease = self.lease
        if lease is not None:
            lines += [
                f"address={presentation(lease.address)}/{prefix_length(lease)}",
                f"server={presentation(lease.server)}",
                f"routers={' '.join(map(presentation, lease.routers))}",
                f"nameservers={' '.join(map(presentation, lease.nameservers))}",
                f"lease={'infinite' if lease.lease == wire.INFINITE else lease.lease}",
            ]
            times = {"renews_in": self._renew_at, "rebinds_in": self._rebind_at, "expires_in": self._expires_at}
            lines += [f"{name}={max(0.0, at - now):.1f}" for name, at in times.items() if at != math.inf]
        return "".join(f"{line}\n" for line in lines)

    # The way to a lease

    def _discover(self, now: float) -> None:
        self._attempts += 1
        seconds = int(now - self._began_at)
        self._host.broadcast(wire.build(wire.DISCOVER, self._xid, self._host.mac, seconds), ANY_V4, now)
        self._timer.set(now + self._retry_after())

    def _request(self, offer: wire.Reply, now: float) -> None:
        if self._offer is not offer:
            self._offer = offer
            self._attempts = 0
            self._enter(REQUESTING)
        self._attempts += 1
        seconds = int(now - self._began_at)
        message = wire.build(
            wire.REQUEST, self._xid, self._host.mac, seconds, requested=offer.address, server=offer.server
        )
        self._host.broadcast(message, ANY_V4, now)
        self._timer.set(now + self._retry_after())

    def _acknowledged(self, ack: wire.Reply, now: float) -> None:
        expected = self._offer or self.lease
        if expected is None or not _is_usable(ack) or (ack.server != expected.server and self.state != REBINDING):
            return
        previous, self.lease, self._offer = self.lease, ack, None
        lease = math.inf if ack.lease == wire.INFINITE else max(ack.lease, _SMALLEST_LEASE)
        # RFC 2131 §4.4.5; a server's own times count when they make sense.
        renewal = ack.renewal if 0 < ack.renewal < lease else lease * 0.5
        rebinding = ack.rebinding if renewal < ack.rebinding < lease else max(renewal, lease * 0.875)
        self._renew_at, self._rebind_at, self._expires_at = now + renewal, now + rebinding, now + lease
        if previous is not None and _configured(previous) != _configured(ack):
            self._host.deconfigure(previous, now)
            previous = None
        if previous is None:
            log.info("%s/%d from %s", presentation(ack.address), prefix_length(ack), presentation(ack.server))
            self._host.configure(ack, now)
        if self.lease is ack:  # not declined meanwhile
            self._enter(BOUND)
            self._timer.set(self._renew_at)

    # Keeping it

    def _begin_renewal(self, now: float) -> None:
        self._xid = self._random.getrandbits(32)
        self._began_at = now
        self._enter(RENEWING)
        self._ask_for_more(now)

    def _ask_for_more(self, now: float) -> None:
        lease = self.lease
        assert lease is not None
        if now >= self._expires_at:
            log.warning("the lease of %s has expired", presentation(lease.address))
            self._drop_lease(now)
            self.start(now)
            return
        if now >= self._rebind_at:
            self._enter(REBINDING)
        message = wire.build(wire.REQUEST, self._xid, self._host.mac, int(now - self._began_at), own=lease.address)
        if self.state == RENEWING:
            self._host.unicast(message, lease.server, now)
        else:
            self._host.broadcast(message, lease.address, now)
        end = self._rebind_at if self.state == RENEWING else self._expires_at
        self._timer.set(min(end, now + max((end - now) / 2, LEAST_RENEWAL_RETRY)))

    def _on_timer(self, now: float) -> None:
        if self.state == INIT:
            self.start(now)
        elif self.state == SELECTING:
            self._discover(now)
        elif self.state == REQUESTING and self._offer is not None and self._attempts < REQUESTS:
            self._request(self._offer, now)
        elif self.state == REQUESTING:
            self.start(now)
        elif self.state == BOUND:
            self._begin_renewal(now)
        else:
            self._ask_for_more(now)

    def _retry_after(self) -> float:
        longest = min(FIRST_RETRY * 2.0 ** (self._attempts - 1), LONGEST_RETRY)
        return longest + self._random.uniform(-1.0, 1.0)

    def _restart(self, now: float, seconds: float) -> None:
        self._offer = None
        self._enter(INIT)
        self._timer.set(now + seconds)

    def _drop_lease(self, now: float) -> None:
        lease, self.lease = self.lease, None
        self._renew_at = self._rebind_at = self._expires_at = math.inf
        if lease is not None:
            self._host.deconfigure(lease, now)

    def _enter(self, state: str) -> None:
        if state != self.state:
            log.debug("%s -> %s", self.state, state)
            self.state = state
            self._host.changed()


def prefix_length(lease: wire.Reply) -> int:
    """Return the length of a lease's netmask; without one, its class's (RFC 2131 leaves no other way)."""
    if lease.netmask:
        return int.from_bytes(lease.netmask, "big").bit_count()
    first = lease.address[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def _configured(lease: wire.Reply) -> tuple[bytes, bytes, tuple[bytes, ...], tuple[bytes, ...]]:
    return lease.address, lease.netmask, lease.routers, lease.nameservers


def _is_usable(reply: wire.Reply) -> bool:
    """Tell whether an offer or acknowledgment has all that a lease needs."""
    address = reply.address
    mask = int.from_bytes(reply.netmask or b"\xff\0\0\0", "big")
    holes = mask | mask - 1  # of a mask without holes, all ones
    is_host = address[0] not in (0, 255) and not is_multicast(address) and not is_loopback(address)
    return is_host and bool(reply.server) and reply.lease > 0 and mask != 0 and holes == 0xFFFFFFFF
