"""An ICMPv6 message for a receiver in the network layer: Neighbor Discovery, listener discovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from schemes.ip.interface import IpInterface


class Icmpv6Message(NamedTuple):
    """A message whose checksum is valid. The octets are borrowed."""

    interface: IpInterface  # that it came by
    source: bytes  # with its zone
    destination: bytes  # with its zone
    octets: memoryview
    headers: memoryview  # before the message, from the IPv6 header
    hop_limit: int


Icmpv6Receiver = Callable[[Icmpv6Message, float], None]
"""Takes a message, and now. BadMessageError: it is dropped, and its reason counted."""
