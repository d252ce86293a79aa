"""Ports of one transport protocol: which are taken (PortTable), and which to take next (EphemeralPorts, RFC 6056).

A claim is a local address and a port; an empty address is "any" and collides with all others, as in bind(2), one of
zeros is any of its family.
Connections need no claim of their own: their four-tuples are unique in the connection table of the protocol, which
`allocate` consults through `in_use`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import AddressPath, host_port_text

# RFC 6056 §3.2 asks for a large range; few services are registered above 32767 (Linux begins there too).
LOWEST_EPHEMERAL: Final = 32768
HIGHEST_EPHEMERAL: Final = 65535
LOWEST_UNPRIVILEGED: Final = 1024
PORT_ZERO: Final = "port 0 is not a valid destination"

FAMILY_HELP: Final = "4 or 6: take the port for peers of this IP version only"

_COUNT: Final = HIGHEST_EPHEMERAL - LOWEST_EPHEMERAL + 1
_ANY_OF: Final = {"4": bytes(4), "6": bytes(16)}
_INCREMENTS: Final = 256  # RFC 6056 §3.3.4: the table of counters; any power of two


def check_privilege(port: int, *, is_privileged: bool) -> None:
    """Raise EACCES if the caller may not use local *port*; 0 stands for any port and is open to all."""
    if 0 < port < LOWEST_UNPRIVILEGED and not is_privileged:
        raise SchemeError(errno.EACCES, f"port {port} is for root; other users may use {LOWEST_UNPRIVILEGED} and above")


def parse_family(text: str) -> bytes:
    """Return the address of zeros of IPv4 or IPv6. ValueError: *text* is neither 4 nor 6."""
    if text not in _ANY_OF:
        message = f"{text!r} is not an IP version: 4 or 6"
        raise ValueError(message)
    return _ANY_OF[text]


def any_of_family(address: AddressPath) -> bytes:
    """Return the local address of one with the option `family`. EINVAL: a host has its own."""
    if address.host_port.host:
        raise SchemeError(errno.EINVAL, "family applies only to an address without a host, such as :8080,family=6")
    return parse_family(address.options["family"])


@dataclass(slots=True, eq=False)
class Claim:
    """A local address and port in use, until `PortTable.release`."""

    address: bytes  # packed; empty: any of both families; zeros: any of one
    port: int
    uid: int  # of the owner
    shared: bool  # SO_REUSEPORT: the same uid may claim the port again, if that claim is shared too


class PortTable:
    """The claimed ports of one protocol."""

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: dict[int, list[Claim]] = {}

    def claim(self, address: bytes, port: int, *, uid: int = 0, shared: bool = False) -> Claim:
        """Take a port. EADDRINUSE: a claim on the same port has this address, or one of both is "any"."""
        claim = Claim(address, port, uid, shared)
        taken = next((other for other in self._claims.get(port, ()) if _collide(claim, other)), None)
        if taken is not None:
            raise SchemeError(errno.EADDRINUSE, f"{host_port_text(taken.address, port)} is in use")
        self._claims.setdefault(port, []).append(claim)
        return claim

    def release(self, claim: Claim) -> None:
        """Give a claim back; harmless the second time."""
        claims = self._claims.get(claim.port, [])
        if claim in claims:
            claims.remove(claim)
            if not claims:
                del self._claims[claim.port]

    def is_claimed(self, port: int) -> bool:
        """Return whether *port* is claimed, on any address."""
        return port in self._claims

    def __iter__(self) -> Iterator[Claim]:
        """Yield all claims."""
        return (claim for claims in tuple(self._claims.values()) for claim in tuple(claims))


def _collide(one: Claim, other: Claim) -> bool:
    if one.shared and other.shared and one.uid == other.uid:
        return False
    if one.address and other.address and len(one.address) != len(other.address):
        return False
    return one.address == other.address or not any(one.address) or not any(other.address)


class Randomness(Protocol):
    """The part of `random.Random` that port selection needs."""

    def randrange(self, stop: int, /) -> int:
        """Return 0..stop-1."""

    def randbytes(self, n: int, /) -> bytes:
        """Return *n* octets."""


class EphemeralPorts:
    """Chooses local ports that an attacker off the path cannot predict. One per protocol."""

    __slots__ = ("_counters", "_random", "_secret")

    def __init__(self, random: Randomness) -> None:
        self._random = random
        self._secret = random.randbytes(32)
        self._counters = [random.randrange(_COUNT) for _ in range(_INCREMENTS)]

    def allocate(self, local: bytes, remote: bytes, remote_port: int, in_use: Callable[[int], bool]) -> int:
        """Return a port for a connection: the double-hash selection of RFC 6056 §3.3.4.

        Ports towards one peer go up one by one (so a four-tuple in TIME-WAIT is taken again late), from a secret start
        that differs from peer to peer. EADDRNOTAVAIL: *in_use* is true of all.
        """
        key = local + remote + remote_port.to_bytes(2, "big")
        digest = blake2b(key, digest_size=8, key=self._secret).digest()
        offset = int.from_bytes(digest[:4], "big")
        index = digest[4] % _INCREMENTS
        for _ in range(_COUNT):
            port = LOWEST_EPHEMERAL + (offset + self._counters[index]) % _COUNT
            self._counters[index] += 1
            if not in_use(port):
                return port
        raise _exhausted()

    def allocate_random(self, in_use: Callable[[int], bool]) -> int:
        """Return a random port (RFC 6056 §3.3.2), for datagram protocols: one port does not reveal the next.

        EADDRNOTAVAIL: *in_use* is true of all.
        """
        start = self._random.randrange(_COUNT)
        for step in range(_COUNT):
            port = LOWEST_EPHEMERAL + (start + step) % _COUNT
            if not in_use(port):
                return port
        raise _exhausted()


def _exhausted() -> SchemeError:
    return SchemeError(errno.EADDRNOTAVAIL, f"all ports from {LOWEST_EPHEMERAL} to {HIGHEST_EPHEMERAL} are in use")
