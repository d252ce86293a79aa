"""Addresses as users write them, and as packed octets: HOST:PORT, [V6]:PORT, Plan 9's HOST!PORT, options after commas.

Parsing never resolves a name. A malformed text is a ValueError with a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from schemefs.net import faults
from schemefs.net.internationalized import ascii_name
from schemefs.net.zones import is_zoned, known_zone, with_zone, without_zone, zone_name

ANY = b""  # any address of any family, as the address of a listener
ANY_V4 = bytes(4)
BROADCAST_V4 = b"\xff" * 4
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_DECIMAL = frozenset("0123456789.")


def packed(text: str) -> bytes | None:
    """Return the packed octets of a numeric address; None: *text* is not one.

    An IPv4-mapped address is the IPv4 address in it: `::ffff:10.0.2.2` is 10.0.2.2. A zone is that of a link-local
    address on an interface of this process: `fe80::1%eth0`.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    octets = address.packed
    if isinstance(address, IPv4Address):
        return octets
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed if address.scope_id is None else None
    if any(octets[2:4]) and is_zoned(octets):
        return None
    if address.scope_id is None:
        return octets
    number = known_zone(address.scope_id)
    return with_zone(octets, number) if number and is_zoned(octets) else None


def parse_numeric(text: str) -> bytes:
    """Return the packed octets of a numeric address."""
    address = packed(text)
    if address is None:
        raise ValueError(faults.bad_address(text))
    return address


def presentation(address: bytes) -> str:
    """Return the text of a packed address, `fe80::1%eth0` with its zone; `*` for ANY."""
    if len(address) == 4:
        return str(IPv4Address(address))
    if not address:
        return "*"
    zone = zone_name(address)
    return f"{IPv6Address(without_zone(address))}%{zone}" if zone else str(IPv6Address(address))


def host_port_text(address: bytes, port: int) -> str:
    """Return `10.0.2.15:80` or `[fe80::1]:80`."""
    host = presentation(address)
    return f"[{host}]:{port}" if len(address) == 16 else f"{host}:{port}"


def mac_text(mac: bytes, separator: str = ":") -> str:
    """Return the lower-case hexadecimal text of a hardware address."""
    return mac.hex(separator)


def parse_mac(text: str) -> bytes:
    """Return six octets; accepts one- or two-digit hexadecimal octets joined by all ':' or all '-'."""
    parts = text.split("-" if "-" in text else ":")
    # int() alone would take "+f" and " f" too.
    if len(parts) != 6 or not all(len(part) in (1, 2) and set(part) <= _HEXADECIMAL for part in parts):
        raise ValueError(faults.bad_mac(text))
    return bytes(int(part, 16) for part in parts)


def parse_unicast_mac(text: str) -> bytes:
    """Return the six octets of a hardware address that one station can have."""
    mac = parse_mac(text)
    if not is_unicast_mac(mac):
        raise ValueError(faults.not_unicast_mac(repr(text)))
    return mac


def is_unicast_mac(mac: bytes) -> bool:
    """Return whether *mac* can be the address of one station: the group bit is clear, and it is not all zeros."""
    return len(mac) == 6 and not mac[0] & 1 and any(mac)


def is_multicast(address: bytes) -> bool:
    """Return whether a packed address is a multicast group (224/4, ff00::/8)."""
    return address[0] == 0xFF if len(address) == 16 else 224 <= address[0] < 240


def is_loopback(address: bytes) -> bool:
    """Return whether a packed address is in 127/8 or ::1."""
    return address == bytes(15) + b"\x01" if len(address) == 16 else address[0] == 127


def is_unicast(address: bytes) -> bool:
    """Return whether a packed address can be that of one other host: not 0/8, 224/4, 255/8, ::, ff00::/8."""
    if len(address) == 4:
        return address[0] not in (0, 255) and not is_multicast(address)
    return len(address) == 16 and address[0] != 0xFF and any(address)


def is_assignable(address: bytes) -> bool:
    """Return whether a host of this network can have a packed address: unicast, and not 240/4 (RFC 1122 §3.2.1.3)."""
    return is_unicast(address) and (len(address) != 4 or address[0] < 240)


def check_interface_address(address: bytes, prefix_length: int) -> None:
    """Raise ValueError unless an interface can have *address* in a network of *prefix_length*."""
    shown = f"{presentation(address)}/{prefix_length}"
    if not is_assignable(address):
        raise ValueError(faults.not_unicast(shown))
    # RFC 3021: both addresses of a /31 are hosts; a /32 has one.
    if len(address) == 4 and prefix_length < 31 and not is_loopback(address):
        if address == network_of(address, prefix_length):
            message = f"{shown} is the address of the network, not of a host in it"
            raise ValueError(message)
        if address == broadcast_of(address, prefix_length):
            message = f"{shown} is the broadcast address of the network, not of a host in it"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class HostPort:
    """The part of an address path before its options."""

    host: str  # a name, a numeric address, or empty for "any"
    port: str  # digits, a service name, or empty where a protocol has no ports


@dataclass(frozen=True, slots=True)
class AddressPath:
    """A whole address path component: `10.0.2.2:80,timeout=3,nodelay`."""

    host_port: HostPort
    options: dict[str, str] = field(default_factory=dict)  # a bare word has the value ""


def parse_host_port(text: str) -> HostPort:
    """Split HOST:PORT, [V6]:PORT or HOST!PORT; the port may not be missing."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in (":", "!") or packed(host) is None:
            message = f"{text!r} is not [V6ADDRESS]:PORT"
            raise ValueError(faults.bad_zone(host) if "%" in host and packed(host) is None else message)
        return HostPort(host if any(packed(host) or b"") else "", _port_text(rest[1:], text))
    separator = "!" if "!" in text else ":"
    host, found, port = text.rpartition(separator)
    if not found:
        message = f"{text!r} has no port; an address is HOST:PORT"
        raise ValueError(message)
    if ":" in host or "!" in host:
        message = f"{text!r} has too many colons; an IPv6 address goes in brackets"
        raise ValueError(message)
    if host in ("", "*", "0.0.0.0"):  # noqa: S104 - "any", as written
        return HostPort("", _port_text(port, text))
    return HostPort(_checked_host(host), _port_text(port, text))


def parse_host(text: str) -> str:
    """Return the host of a text without a port: a name in ASCII, a numeric address, or [V6] without its brackets."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if packed(host) is None:
        if not host or text != host:
            raise ValueError(faults.bad_host(text))
        return _checked_host(host)
    return host


def parse_options(text: str) -> dict[str, str]:
    """Parse `name=value,word` (the part after the first comma)."""
    options: dict[str, str] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        if not name or name in options:
            message = f"option {name!r} is given twice" if name else "an option is empty"
            raise ValueError(message)
        options[name] = value
    return options


def unknown_option(name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an option that is not among *known*."""
    return ValueError(f"there is no option {name!r}; there are: {', '.join(known)}")


def parse_address_path(text: str) -> AddressPath:
    """Parse ADDRESS[,option…]. The value of an option may hold ':' (from=10.0.2.15:5000) but no comma."""
    address, comma, rest = text.partition(",")
    return AddressPath(parse_host_port(address), parse_options(rest) if comma else {})


def parse_seconds(text: str) -> float:
    """Return a non-negative number of seconds, decimal; 0 means off."""
    try:
        value = float(text) if set(text) <= _DECIMAL else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(faults.bad_seconds(text))
    return value


def parse_number(text: str, low: int, high: int) -> int:
    """Return a decimal integer in low..high."""
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else -1
    if not low <= value <= high:
        raise ValueError(faults.bad_number(text, low, high))
    return value


def parse_cidr(text: str) -> tuple[bytes, int]:
    """Parse ADDRESS/LENGTH into (address, prefix length); the length is required, host bits are kept."""
    host, _, length = text.partition("/")
    address = packed(host)
    # int() alone would take "+8" and " 8" too.
    if address is None or not (length.isascii() and length.isdecimal() and len(length) < 4):
        raise ValueError(faults.bad_cidr(text))
    if int(length) > len(address) * 8:
        raise ValueError(faults.bad_cidr(text))
    return address, int(length)


def network_of(address: bytes, prefix_length: int) -> bytes:
    """Return *address* with its host bits cleared."""
    shift = len(address) * 8 - prefix_length
    return (int.from_bytes(address, "big") >> shift << shift).to_bytes(len(address), "big")


def shares_prefix(one: bytes, other: bytes, prefix_length: int) -> bool:
    """Return whether two addresses are of one family and agree in their first *prefix_length* bits."""
    shift = len(one) * 8 - prefix_length
    return len(one) == len(other) and int.from_bytes(one, "big") >> shift == int.from_bytes(other, "big") >> shift


def broadcast_of(address: bytes, prefix_length: int) -> bytes:
    """Return the directed broadcast address of the IPv4 network of *address*."""
    ones = (1 << 32 - prefix_length) - 1
    return (int.from_bytes(address, "big") | ones).to_bytes(4, "big")


def _port_text(port: str, whole: str) -> str:
    if not port[:1].isalnum() or not all(c.isascii() and (c.isalnum() or c in "-_+.") for c in port):
        message = f"{whole!r} has no valid port"
        raise ValueError(message)
    if port.isdecimal():
        parse_number(port, 0, 65535)
    return port


def _checked_host(host: str) -> str:
    """Return *host* in ASCII: an internationalized name by its A-labels."""
    name = ascii_name(host)
    if len(name) > 253 or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(faults.bad_zone(host) if ":" in host and "%" in host else faults.bad_host(host))
    if name.replace(".", "").isdecimal() and packed(name) is None:
        raise ValueError(faults.bad_host(host))
    return name
