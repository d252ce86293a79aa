"""What a lab needs from the machine: devices and namespaces."""

from __future__ import annotations

import os
from typing import Final

from schemefs.errors import StartError

TUN: Final = "/dev/net/tun"


class ForbiddenError(StartError):
    """This machine keeps this user from having a lab; the sentence says what does."""


def check_tun() -> None:
    """Check that this user can make a TAP in a namespace. ForbiddenError: the cause and its fix."""
    if not os.access(TUN, os.R_OK | os.W_OK):
        reason = "there is no" if not os.path.exists(TUN) else "no permission to open"
        raise ForbiddenError(f"{reason} {TUN}, which a lab needs (modprobe tun; chmod 666 {TUN})")
