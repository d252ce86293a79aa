"""Whether this user may have a TAP: without an event loop, since `schemefs mount` asks before it forks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_PATH: Final = "/dev/net/tun"
_CAP_NET_ADMIN: Final = 12  # linux/capability.h


def obstacle() -> str:
    """Return why the default driver is not tap; empty: TAPs can be created."""
    if not os.path.exists(_PATH):
        return f"there is no {_PATH}"
    if not os.access(_PATH, os.R_OK | os.W_OK):
        return f"uid {os.geteuid()} may not open {_PATH} (root may)"
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None or not int(found[1], 16) >> _CAP_NET_ADMIN & 1:
        return "a TAP needs root or CAP_NET_ADMIN (unshare -Urmn has it), or --tap NAME of a persistent one"
    return ""
