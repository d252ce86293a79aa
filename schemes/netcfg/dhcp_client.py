"""A DHCP client for one interface (RFC 2131 §4.4). Sans-IO: it has a timer; its host sends and configures.

    INIT ──discover──> SELECTING ──offer──> REQUESTING ──ack──> BOUND ──T1──> RENEWING ──T2──> REBINDING
      ^                                         | nak             ^  <──ack──────'  <──ack──────'    |
      '──────────────────────── nak, expired, address not usable (decline, 10 s) ─────────────────────'

The end of a lease undoes what it configured. A server cuts a renewal short on
purpose or by fault: what it leaves out stays as it was.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.net.addresses import (
    ANY_V4,
    check_interface_address,
    is_assignable,
    is_loopback,
    network_of,
    presentation,
)
from schemes.netcfg import dhcp_wire as wire

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from schemefs.timers import Timers

log = logging.getLogger("schemefs.dhcp")

INIT: Final = "INIT"
SELECTING: Final = "SELECTING"
REQUESTING: Final = "REQUESTING"
BOUND: Final = "BOUND"
RENEWING: Final = "RENEWING"
REBINDING: Final = "REBINDING"

FIRST_RETRY: Final = 4.0  # seconds; doubled up to MAX_RETRY, each ±1 s at random (RFC 2131 §4.1)
MAX_RETRY: Final = 64.0
MAX_REQUESTS: Final = 4  # requests without an answer; then another server may answer a discover
MIN_RENEWAL_RETRY: Final = 60.0  # RFC 2131 §4.4.5
DECLINE_WAIT: Final = 10.0  # RFC 2131 §3.1 (5)


class Host(Protocol):
    """The client's access to its interface."""

    @property
    def mac(self) -> bytes:
        """The hardware address, by which a server identifies the client."""

    @property
    def hostname(self) -> str:
        """The name to tell the server; empty: none."""

    def broadcast(self, message: bytes, source: bytes, now: float) -> None:
        """Send to all servers, from the address *source*."""

    def unicast(self, message: bytes, server: bytes, now: float) -> None:
        """Send to one server. Without a route the message is lost."""

    def configure(self, lease: wire.Reply, now: float) -> str:
        """Put *lease* in force; only what differs from its previous form changes. Return why its address can't be used.

        Empty: it is used.
        """

    def deconfigure(self, lease: wire.Reply, now: float) -> None:
        """Remove the address and the routes of *lease*."""

    def changed(self) -> None:
        """Wake the readers of `text`."""


class DhcpClient:
    """The state machine of one interface. Call `start` once, and `stop` at the end."""

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
        """Send the first discover."""
        self._offer = None
        self._xid = self._random.getrandbits(32)
        self._began_at = now
        self._attempts = 0
        self._enter(SELECTING)
        self._discover(now)

    def stop(self, now: float) -> None:
        """Release the lease (RFC 2131 §4.4.6) and stop the timer."""
        self._timer.clear()
        lease = self.lease
        if lease is not None:
            message = wire.build(wire.RELEASE, self._xid, self._host.mac, 0, own=lease.address, server=lease.server)
            self._host.unicast(message, lease.server, now)
        self._drop_lease(now)
        self._enter(INIT)

    def renew(self, now: float) -> None:
        """Start the renewal of T1 now. Without a lease: start again."""
        if self.lease is None:
            self.start(now)
        else:
            self._start_renewal(now)

    def receive(self, reply: wire.Reply, now: float) -> None:
        """Process a server's message. A message for another client or another transaction is ignored."""
        if reply.xid != self._xid or reply.mac != self._host.mac:
            return
        if reply.kind == wire.OFFER and self.state == SELECTING:
            if _is_usable(reply):
                self._request(reply, now)
        elif reply.kind == wire.ACK and self.state in (REQUESTING, RENEWING, REBINDING):
            self._acknowledged(reply, now)
        elif reply.kind == wire.NAK and self._has_asked(reply.server):
            log.warning("%s refused: %s", presentation(reply.server), reply.message or "no reason given")
            self._drop_lease(now)
            self._restart(now, 1.0)  # after a delay: a server that refuses every request would cause a loop

    def decline(self, now: float) -> None:
        """Decline the lease: another host uses its address (RFC 2131 §4.4.4)."""
        if self.lease is not None:
            self._decline(self.lease, f"{presentation(self.lease.address)} is in use by another host", now)

    def _decline(self, lease: wire.Reply, why: str, now: float) -> None:
        log.warning("%s; declined", why)
        message = wire.build(wire.DECLINE, self._xid, self._host.mac, 0, requested=lease.address, server=lease.server)
        self._host.broadcast(message, ANY_V4, now)
        self._drop_lease(now)
        self._restart(now, DECLINE_WAIT)

    def text(self, now: float) -> str:
        """Return state, lease and times as `name=value` lines."""
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
            lines += _further_parameters(lease)
            times = {"renews_in": self._renew_at, "rebinds_in": self._rebind_at, "expires_in": self._expires_at}
            lines += [f"{name}={max(0.0, at - now):.1f}" for name, at in times.items() if at != math.inf]
        return "".join(f"{line}\n" for line in lines)

    # Getting a lease

    def _discover(self, now: float) -> None:
        self._attempts += 1
        seconds = int(now - self._began_at)
        host = self._host
        message = wire.build(wire.DISCOVER, self._xid, host.mac, seconds, hostname=host.hostname)
        host.broadcast(message, ANY_V4, now)
        self._timer.set(now + self._retry_after())

    def _request(self, offer: wire.Reply, now: float) -> None:
        if self._offer is not offer:
            self._offer = offer
            self._attempts = 0
            self._enter(REQUESTING)
        self._attempts += 1
        seconds = int(now - self._began_at)
        host = self._host
        message = wire.build(
            wire.REQUEST,
            self._xid,
            host.mac,
            seconds,
            requested=offer.address,
            server=offer.server,
            hostname=host.hostname,
        )
        host.broadcast(message, ANY_V4, now)
        self._timer.set(now + self._retry_after())

    def _acknowledged(self, ack: wire.Reply, now: float) -> None:
        expected = self._offer or self.lease
        if expected is None or not _is_usable(ack) or (ack.server != expected.server and self.state != REBINDING):
            return
        fault = _address_fault(ack)
        if fault:
            self._decline(ack, fault, now)
            return
        if self.lease is not None:
            ack = _completed(ack, self.lease)
        previous, self.lease, self._offer = self.lease, ack, None
        lease = math.inf if ack.lease == wire.INFINITE else ack.lease
        # RFC 2131 §4.4.5: the server's T1 and T2 if 0 < T1 < T2 < lease, else 0.5 and 0.875 of the lease.
        renewal = ack.renewal if 0 < ack.renewal < lease else lease * 0.5
        rebinding = ack.rebinding if renewal < ack.rebinding < lease else max(renewal, lease * 0.875)
        self._renew_at, self._rebind_at, self._expires_at = now + renewal, now + rebinding, now + lease
        if previous is not None and (previous.address, previous.netmask) != (ack.address, ack.netmask):
            self._host.deconfigure(previous, now)
            previous = None
        if previous is None:
            log.info("%s/%d from %s", presentation(ack.address), prefix_length(ack), presentation(ack.server))
        if previous is None or _parameters(previous) != _parameters(ack):
            fault = self._host.configure(ack, now)
        if fault:
            self._decline(ack, fault, now)
        elif self.lease is ack:  # configure may have declined it
            self._enter(BOUND)
            self._timer.set(self._renew_at)

    def _has_asked(self, server: bytes) -> bool:
        """Return whether a request to *server* is open: another server must not end the lease (RFC 2131 §4.3.2)."""
        asked = self._offer if self.state == REQUESTING else self.lease
        if not server or asked is None or self.state not in (REQUESTING, RENEWING, REBINDING):
            return False
        return server == asked.server or self.state == REBINDING  # that request went to all servers

    # Renewing the lease

    def _start_renewal(self, now: float) -> None:
        self._xid = self._random.getrandbits(32)
        self._began_at = now
        self._enter(RENEWING)
        self._request_extension(now)

    def _request_extension(self, now: float) -> None:
        lease = self.lease
        assert lease is not None
        if now >= self._expires_at:
            log.warning("the lease of %s has expired", presentation(lease.address))
            self._drop_lease(now)
            self.start(now)
            return
        if now >= self._rebind_at:
            self._enter(REBINDING)
        host, seconds = self._host, int(now - self._began_at)
        message = wire.build(wire.REQUEST, self._xid, host.mac, seconds, own=lease.address, hostname=host.hostname)
        if self.state == RENEWING:
            host.unicast(message, lease.server, now)
        else:
            host.broadcast(message, lease.address, now)
        end = self._rebind_at if self.state == RENEWING else self._expires_at
        self._timer.set(min(end, now + max((end - now) / 2, MIN_RENEWAL_RETRY)))

    def _on_timer(self, now: float) -> None:
        if self.state == INIT:
            self.start(now)
        elif self.state == SELECTING:
            self._discover(now)
        elif self.state == REQUESTING and self._offer is not None and self._attempts < MAX_REQUESTS:
            self._request(self._offer, now)
        elif self.state == REQUESTING:
            self.start(now)
        elif self.state == BOUND:
            self._start_renewal(now)
        else:
            self._request_extension(now)

    def _retry_after(self) -> float:
        delay = min(FIRST_RETRY * 2.0 ** (self._attempts - 1), MAX_RETRY)
        return delay + self._random.uniform(-1.0, 1.0)

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
    """Return the prefix length of a lease: its netmask's, else that of its address class."""
    if lease.netmask:
        return int.from_bytes(lease.netmask, "big").bit_count()
    first = lease.address[0]
    return 8 if first < 128 else 16 if first < 192 else 24


def _further_parameters(lease: wire.Reply) -> Iterator[str]:
    """Yield the lines of parameters that few leases have."""
    if lease.static_routes:
        routes = (f"{presentation(to)}/{length} via {presentation(via)}" for to, length, via in lease.static_routes)
        yield f"routes={', '.join(routes)}"
    if lease.domains:
        yield f"domains={' '.join(lease.domains)}"
    if lease.mtu:
        yield f"mtu={lease.mtu}"


def _parameters(lease: wire.Reply) -> tuple[object, ...]:
    return lease.routers, lease.static_routes, lease.nameservers, lease.domains, lease.mtu


def _completed(ack: wire.Reply, lease: wire.Reply) -> wire.Reply:
    """Return a renewal with what it leaves out taken from *lease*, unless it moves the client to another network."""
    length = prefix_length(lease)
    if network_of(ack.address, length) != network_of(lease.address, length):
        return ack
    routes = ack if ack.routers or ack.static_routes else lease
    return replace(
        ack,
        netmask=ack.netmask or lease.netmask,
        routers=routes.routers,
        static_routes=routes.static_routes,
        nameservers=ack.nameservers or lease.nameservers,
        domains=ack.domains or lease.domains,
        mtu=ack.mtu or lease.mtu,
    )


def _is_usable(reply: wire.Reply) -> bool:
    """Check that an offer or acknowledgment has a unicast address, a server, a lease time and a contiguous netmask."""
    mask = int.from_bytes(reply.netmask or b"\xff\0\0\0", "big")
    is_contiguous = mask != 0 and mask | mask - 1 == 0xFFFFFFFF
    is_host = is_assignable(reply.address) and not is_loopback(reply.address)
    return is_host and bool(reply.server) and reply.lease > 0 and is_contiguous


def _address_fault(reply: wire.Reply) -> str:
    """Return why the address is not that of a host in its network, in a sentence; empty: it is.

    Such an offer is requested: only a decline makes the server offer another address.
    """
    try:
        check_interface_address(reply.address, prefix_length(reply))
    except ValueError as error:
        return str(error)
    return ""
