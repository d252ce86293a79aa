"""struct sockaddr of IPv4 and IPv6, in octets and as HOST:PORT of the tree (ip(7), ipv6(7))."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final, NamedTuple

from schemefs.run.call import Call, Failed
from schemefs.run.zones import Zones

AF_UNSPEC: Final = 0
V4: Final = int(socket.AF_INET)
V6: Final = int(socket.AF_INET6)
_FAMILY: Final = struct.Struct("=H")
_IN: Final = struct.Struct("=H2s4s8x")
_IN6: Final = struct.Struct("=H2sI16sI")
_MAPPED: Final = bytes(10) + b"\xff\xff"
SHORTEST_V6: Final = _IN6.size - 4  # RFC 2133 had no scope
LARGEST: Final = 128  # struct sockaddr_storage
interfaces = Zones()
"""Of the mount; `Session` sets it, once in a run."""


class Address(NamedTuple):
    """A host, as packed octets of IPv4 or IPv6, and a port."""

    host: bytes
    port: int
    scope: int = 0  # the interface of an IPv6 address of a link, as `ZONES` numbers them

    def __str__(self) -> str:
        """Return HOST:PORT, as the tree writes it."""
        if len(self.host) == 4:
            return f"{socket.inet_ntop(V4, self.host)}:{self.port}"
        zone = f"%{interfaces.name(self.scope)}" if self.scope else ""
        return f"[{socket.inet_ntop(V6, self.host)}{zone}]:{self.port}"

    @property
    def needs_scope(self) -> bool:
        """Whether it is an address of a link, so that its interface must be known."""
        return len(self.host) == 16 and self.host[0] == 0xFE and self.host[1] & 0xC0 == 0x80

    @property
    def is_group_of_link(self) -> bool:
        """Whether it is a multicast group of an interface or a link (RFC 4291 §2.7): it means another one on each."""
        return len(self.host) == 16 and self.host[0] == 0xFF and self.host[1] & 0xF in (1, 2)

    def of_link(self) -> Address:
        """Return it with the interface that Linux takes for a group without one; elsewhere a scope has no meaning."""
        if self.is_group_of_link:
            return self if self.scope else self._replace(scope=interfaces.first())
        return self if self.needs_scope else self._replace(scope=0)

    @property
    def is_any(self) -> bool:
        """Whether the host is unspecified."""
        return not any(self.host)


def any_address(family: int) -> Address:
    """Return the address of a socket that has none yet."""
    return Address(bytes(4 if family == V4 else 16), 0)


def read(call: Call, pointer: int, length: int) -> tuple[int, Address | None]:
    """Read a sockaddr: its family, and for IPv4 and IPv6 its address. EINVAL: it is too short."""
    if not 2 <= length <= LARGEST:
        raise Failed(errno.EINVAL)
    octets = call.read(pointer, length)
    (family,) = _FAMILY.unpack_from(octets)
    if family == V4 and length >= _IN.size:
        _, port, host = _IN.unpack_from(octets)
        return family, Address(host, int.from_bytes(port, "big"))
    if family == V6 and length >= SHORTEST_V6:
        _, port, _flow, host, scope = _IN6.unpack_from(octets.ljust(_IN6.size, b"\0"))
        if host.startswith(_MAPPED):
            return family, Address(host[12:], int.from_bytes(port, "big"))
        return family, Address(host, int.from_bytes(port, "big"), scope).of_link()
    if family in (V4, V6):
        raise Failed(errno.EINVAL)
    return family, None


def packed(address: Address, family: int) -> bytes:
    """Return the sockaddr of *address* for a socket of *family*: an IPv4 address is mapped for IPv6."""
    port = address.port.to_bytes(2, "big")
    if family == V4:
        return _IN.pack(V4, port, address.host)
    host = address.host if len(address.host) == 16 else _MAPPED + address.host
    return _IN6.pack(V6, port, 0, host if any(address.host) else bytes(16), address.scope)


def write(call: Call, pointer: int, length_pointer: int, octets: bytes) -> None:
    """Write a sockaddr where the caller has room, and its whole length. A null pointer: the caller wants none."""
    if not pointer:
        return
    room = call.read_integer(length_pointer)
    if room < 0:
        raise Failed(errno.EINVAL)
    call.write(pointer, octets[:room])
    call.write_integer(length_pointer, len(octets))


def parse(text: str) -> Address | None:
    """Return the address of a text HOST:PORT of the tree; None: it is empty."""
    host, _, port = text.strip().rpartition(":")
    if not port:
        return None
    host, _, zone = host.strip("[]").replace("*", "0.0.0.0").partition("%")  # noqa: S104 - it means any
    packed_host = socket.inet_pton(V6 if ":" in host else V4, host or "0.0.0.0")  # noqa: S104
    return Address(packed_host, int(port), interfaces.number(zone) if zone else 0)
