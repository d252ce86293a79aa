"""The files by which names resolve in a lab: those of its hosts first, then what the machine's files say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

# RFC 6724 §2.1, in the form of gai.conf(5): the private addresses of IPv6 come after those of IPv4.
_PRECEDENCE: Final = """\
precedence ::1/128 50
precedence ::/0 40
precedence ::ffff:0:0/96 35
precedence 2002::/16 30
precedence 2001::/32 5
precedence fc00::/7 3
precedence ::/96 1
precedence fec0::/10 1
precedence 3ffe::/16 1
"""


def texts(names: Iterable[tuple[str, str]], nameserver: str) -> dict[str, str]:
    """Return a text for each file that differs from the machine's. *names*: (name, address); *nameserver*: "", none."""
    found = {"/etc/hosts": "".join(f"{address}\t{name}\n" for name, address in names) + _text_of("/etc/hosts")}
    switch = _text_of("/etc/nsswitch.conf")
    if switch:
        # A service of the machine, such as systemd-resolved, knows other names and is outside the lab.
        lines = [line for line in switch.splitlines() if not line.strip().startswith("hosts:")]
        found["/etc/nsswitch.conf"] = "\n".join([*lines, "hosts: files dns", ""])
    # glibc's own table takes IPv6 first, against RFC 6724 §2.1 and other libcs: one that has a choice takes IPv4.
    found["/etc/gai.conf"] = _PRECEDENCE
    if nameserver:
        found["/etc/resolv.conf"] = f"nameserver {nameserver}\n"
    return found


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
