"""The options of the TAP driver, and the checks that need more than one of them."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from schemefs.driver_option import DriverOption, one_of
from schemefs.net.addresses import packed
from schemefs.net.host_address import parse_address as parse_resolver
from schemefs.net.host_address import parse_host_interface, parse_host_interface6

if TYPE_CHECKING:
    from schemefs.driver import DriverContext

NAME_OCTETS: Final = 15  # IFNAMSIZ, without the final zero
DEFAULT_MTU: Final = 1500
SMALLEST_MTU: Final = 68  # RFC 791 §3.2
LARGEST_MTU: Final = 65521  # Linux: 65535 less the Ethernet header
_NO_ADDRESS: Final = "none"


def tap_name(text: str) -> str:
    """Return *text*, if a network interface of Linux can have that name."""
    is_word = text.isprintable() and not any(c in "/:%" or c.isspace() for c in text)
    if not is_word or not 0 < len(text.encode()) <= NAME_OCTETS or text in (".", ".."):
        message = (
            f"{text!r} is not a name for a TAP: 1 to {NAME_OCTETS} octets, printable, without '/', ':', '%' and blanks"
        )
        raise ValueError(message)
    return text


def _host_address(text: str) -> IPv4Interface | None:
    """Return the address; one without a prefix length is a /32, which a file may have (the command line may not)."""
    if text == _NO_ADDRESS:
        return None
    address = packed(text.partition("/")[0])
    if address is not None and len(address) == 16:
        message = f"{text!r} is not an IPv4 address; --host-address6 takes that of IPv6"
        raise ValueError(message)
    return parse_host_interface(f"{text}/32" if address is not None and "/" not in text else text)


def _host_address6(text: str) -> IPv6Interface | None:
    return None if text == _NO_ADDRESS else parse_host_interface6(text)


def _host_address_text(address: object) -> str:
    return _NO_ADDRESS if address is None else str(address)


OPTIONS: Final = (
    DriverOption(
        "tap", tap_name, "The TAP: created, or attached to if it exists.", default="schemefs%d", metavar="NAME"
    ),
    DriverOption(
        "host_address",
        _host_address,
        "The kernel's address on the TAP; none: do not set one.",
        default=_NO_ADDRESS,
        metavar="CIDR",
        completion=(_NO_ADDRESS,),
        is_peer=True,
        show=_host_address_text,
    ),
    DriverOption(
        "host_address6",
        _host_address6,
        "The same of IPv6; none: the mount has no IPv6 but what routers on the link advertise.",
        default=_NO_ADDRESS,
        metavar="CIDR",
        completion=(_NO_ADDRESS,),
        is_peer6=True,
        show=lambda address: "" if address is None else str(address),
    ),
    DriverOption(
        "offload",
        one_of("on", "off", "auto"),
        "Leave checksums and segmentation to the kernel.",
        default="auto",
        metavar="[on|off|auto]",
        completion=("on", "off", "auto"),
    ),
    DriverOption(
        "uplink",
        str,
        "The host forwards, masquerades and resolves names for the mount. Needs root.",
        is_flag=True,
        overrides_file=True,
    ),
    DriverOption(
        "resolver",
        parse_resolver,
        "The server that --uplink asks for names.  [default: the host's resolvers]",
        metavar="IP",
        overrides_file=True,
    ),
)


def check(context: DriverContext) -> str:
    """Return what is wrong with the options together; empty: nothing."""
    options = context.options
    pairs = ((context.address, options["host_address"]), (context.address6, options["host_address6"]))
    if context.mtu and not SMALLEST_MTU <= context.mtu <= LARGEST_MTU:
        return f"an MTU of {context.mtu} is not possible on a TAP: {SMALLEST_MTU} to {LARGEST_MTU}"
    for ours, theirs in pairs:
        if theirs is not None and ours is not None and theirs.ip == ours.ip:
            return f"{ours.ip} can't be both our address and the kernel's on the other side of the TAP"
    if options["uplink"] and not any(theirs for _, theirs in pairs):
        return "uplink needs an address of the kernel's on the TAP: give a host_address other than none"
    if options["resolver"] is not None and not options["uplink"]:
        return "resolver is the server that uplink asks for names: give uplink too"
    return ""
