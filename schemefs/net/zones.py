"""Zones of link-local addresses (RFC 4007): `fe80::1%eth0`.

Inside this process the zone is part of the sixteen octets: the third and fourth of fe80::/10, ff01::/16 and ff02::/16
are zero on every wire (RFC 4291 §2.5.6), and hold the number of the interface's name here. So a link-local address of
one interface never equals that of another one, in any table, and no function has an argument for the zone.
`schemes/ip/v6` puts the number in and takes it out where datagrams enter and leave; a pseudo-header has none.

The number of a name is the same for all interfaces of that name, and lasts as long as the process.
"""

from __future__ import annotations

from typing import Final

_LARGEST: Final = 0xFFFF
_numbers: dict[str, int] = {}
_names: dict[int, str] = {}


def zone_number(name: str) -> int:
    """Return the number of an interface's name, a new one if needed; 0 when there are no more."""
    number = _numbers.get(name)
    if number is None:
        if len(_numbers) >= _LARGEST:
            return 0
        number = _numbers[name] = len(_numbers) + 1
        _names[number] = name
    return number


def known_zone(name: str) -> int:
    """Return the number of *name*; 0: no interface had this name."""
    return _numbers.get(name, 0)


def is_zoned(address: bytes) -> bool:
    """Return whether a packed address means something on one link only, so that it needs a zone."""
    if len(address) != 16:
        return False
    return (address[0] == 0xFE and address[1] & 0xC0 == 0x80) or (address[0] == 0xFF and address[1] in (1, 2))


def with_zone(address: bytes, number: int) -> bytes:
    """Return *address* in zone *number*; unchanged unless `is_zoned`."""
    return address[:2] + number.to_bytes(2, "big") + address[4:] if is_zoned(address) else address


def without_zone(address: bytes) -> bytes:
    """Return *address* as on a wire."""
    return address[:2] + b"\0\0" + address[4:] if is_zoned(address) else address


def zone_of(address: bytes) -> int:
    """Return the number in *address*; 0: it has none."""
    return address[2] << 8 | address[3] if is_zoned(address) else 0


def zone_name(address: bytes) -> str:
    """Return the name of the interface in *address*; empty: it has none."""
    return _names.get(zone_of(address), "")
