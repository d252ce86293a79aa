"""The options of the stream driver."""

from __future__ import annotations

import os
from typing import Final

from schemefs.driver_option import DriverOption

PATH_OCTETS: Final = 107  # unix(7): sun_path has 108, the last one is a zero
DEFAULT_MTU: Final = 1500
SMALLEST_MTU: Final = 68  # RFC 791 §3.2
LARGEST_MTU: Final = 65520  # what passt and QEMU take: 65535 less the Ethernet header, rounded down to whole words


def _socket_path(text: str) -> str:
    """Return the absolute path: the daemon has another working directory than its caller."""
    path = os.path.abspath(text) if text else ""
    if not path or "\0" in text or text.endswith("/") or len(os.fsencode(path)) > PATH_OCTETS:
        message = f"{text!r} is not a path for a UNIX socket: 1 to {PATH_OCTETS} octets, absolute, naming a file"
        raise ValueError(message)
    return path


OPTIONS: Final = (
    DriverOption(
        "socket",
        _socket_path,
        "The UNIX socket of the program at the other end.",
        metavar="PATH",
        completion="file",
    ),
    DriverOption("listen", str, "Wait at --socket for the other end, instead of connecting to it.", is_flag=True),
)


def mtu_fault(mtu: int) -> str:
    """Return what is wrong with an MTU of this driver; empty: nothing. 0 is the driver's choice."""
    if mtu and not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        return f"an MTU of {mtu} is not possible on a stream: {SMALLEST_MTU} to {LARGEST_MTU}"
    return ""
