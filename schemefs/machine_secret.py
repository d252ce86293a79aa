"""A secret of this machine that lasts: the key of its stable IPv6 addresses (RFC 7217 §5)."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

MACHINE_ID: Final = Path("/etc/machine-id")
_PURPOSE: Final = b"schemefs: stable IPv6 addresses"


def stable_secret() -> bytes:
    """Return a key that is the same for each mount on this machine; empty: the machine has no identifier.

    machine-id(5) asks for a keyed hash, so that the identifier itself is told to no other host.
    """
    try:
        identifier = MACHINE_ID.read_bytes().strip()
    except OSError:
        return b""
    return hmac.digest(identifier, _PURPOSE, "sha256") if identifier else b""
