"""Interface identifiers, the last 64 bits of an address: stable ones (RFC 7217) and random ones (RFC 8981 §3.3.1)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

LENGTH: Final = 8  # octets
_ANYCAST: Final = bytes.fromhex("fdffffffffffff")  # RFC 2526: with a last octet from 80 on
_ETHERNET_BLOCK: Final = bytes.fromhex("02005efffe")  # RFC 5453: identifiers of IANA's Ethernet block


def is_reserved(identifier: bytes) -> bool:
    """Return whether IANA has reserved *identifier* (RFC 5453), that of the subnet-router anycast address included."""
    if identifier[:5] == _ETHERNET_BLOCK or not any(identifier):
        return True
    return identifier[:7] == _ANYCAST and identifier[7] >= 0x80


def stable_identifier(prefix: bytes, interface: bytes, counter: int, secret: bytes) -> tuple[bytes, int]:
    """Return the identifier of *interface* in a network, and the DAD counter for the next attempt (RFC 7217 §5).

    *prefix* is the network of 64 bits, *interface* what distinguishes the interface from all others of this host and of
    other hosts with the same *secret*. It is the same each time for the same arguments, and differs between networks.
    """
    while True:
        octets = b"".join((prefix[:8], bytes((len(interface),)), interface, bytes((counter & 255,)), secret))
        identifier = sha256(octets).digest()[-LENGTH:]
        counter += 1
        if not is_reserved(identifier):
            return identifier, counter


def random_identifier(random: random.Random) -> bytes:
    """Return an identifier for a temporary address."""
    while True:
        identifier = random.getrandbits(64).to_bytes(LENGTH, "big")
        if not is_reserved(identifier):
            return identifier
