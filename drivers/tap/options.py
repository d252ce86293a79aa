"""What a TAP driver is told, checked: the values of `DriverContext.options`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, TypeVar

from schemefs.driver import OptionError

DEFAULT_TAP: Final = "schemefs0"
NAME_OCTETS: Final = 15  # IFNAMSIZ, without the final zero
SMALLEST_MTU: Final = 68  # RFC 791 §3.2
LARGEST_MTU: Final = 65521  # Linux: 65535 less the Ethernet header

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class TapOptions:
    """One field for each option; `address_is_default` is the daemon's, the rest what was asked for."""

    tap: str
    mac: bytes  # empty: made from the TAP's name
    mtu: int
    offload: str
    host_address: IPv4Interface | None  # None: the kernel's side is left alone
    address: IPv4Interface | None
    address_is_default: bool
    uplink: bool  # the host forwards and masquerades for us
    relay: IPv4Address | None  # then: where the host answers for names
    resolver: IPv4Address | None  # and whom it asks; None: its own resolvers


def parse(options: Mapping[str, object]) -> TapOptions:
    """Return the options, or raise OptionError with a sentence."""
    tap = _get(options, "tap", str, DEFAULT_TAP)
    is_word = tap.isprintable() and not any(c in "/:%" or c.isspace() for c in tap)
    if not is_word or not 0 < len(tap.encode()) <= NAME_OCTETS or tap in (".", ".."):
        message = (
            f"{tap!r} is no name for a TAP: 1 to {NAME_OCTETS} octets, printable, without '/', ':', '%' and blanks"
        )
        raise OptionError(message)
    mac = _get(options, "mac", bytes, b"")
    if mac and (len(mac) != 6 or mac[0] & 1):
        message = f"{mac.hex(':')} is no address for an interface: six octets, the first one even"
        raise OptionError(message)
    mtu = _get(options, "mtu", int, 1500)
    if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        message = f"an MTU of {mtu} is not possible here: {SMALLEST_MTU} to {LARGEST_MTU}"
        raise OptionError(message)
    offload = _get(options, "offload", str, "auto")
    if offload not in ("on", "off", "auto"):
        message = f"offload is on, off or auto, not {offload!r}"
        raise OptionError(message)
    host_address = _given(options, "host_address", IPv4Interface)
    address = _given(options, "address", IPv4Interface)
    if host_address is not None and address is not None and host_address.ip == address.ip:
        message = f"{address.ip} can't be both our address and the kernel's on the other side of the TAP"
        raise OptionError(message)
    if host_address is None and options.get("uplink"):
        message = "--uplink needs an address of the kernel's on the TAP: leave out --host-address none"
        raise OptionError(message)
    return TapOptions(
        tap=tap,
        mac=mac,
        mtu=mtu,
        offload=offload,
        host_address=host_address,
        address=address,
        address_is_default=_get(options, "address_is_default", bool, False),
        uplink=_get(options, "uplink", bool, False),
        relay=_given(options, "relay", IPv4Address),
        resolver=_given(options, "resolver", IPv4Address),
    )


def default_mac(tap: str, kernels: bytes) -> bytes:
    """Return a locally administered address that is the same each time for one TAP, and never the kernel's own."""
    mac = b"\x02" + hashlib.sha256(tap.encode()).digest()[:5]
    return mac if mac != kernels else mac[:5] + bytes([mac[5] ^ 1])


def _get(options: Mapping[str, object], name: str, kind: type[Value], default: Value) -> Value:
    value = _given(options, name, kind)
    return default if value is None else value


def _given(options: Mapping[str, object], name: str, kind: type[Value]) -> Value | None:
    value = options.get(name)
    if value is None or isinstance(value, kind):
        return value
    message = f"the tap driver's option {name} is {value!r}, which is no {kind.__name__}"
    raise OptionError(message)
