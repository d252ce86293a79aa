"""The files by which names resolve in a lab: those of its hosts first, then what the machine's files say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def texts(names: Iterable[tuple[str, str]], nameserver: str) -> dict[str, str]:
    """Return a text for each file that differs from the machine's. *names*: (name, address); *nameserver*: "", none."""
    found = {"/etc/hosts": "".join(f"{address}\t{name}\n" for name, address in names) + _text_of("/etc/hosts")}
    switch = _text_of("/etc/nsswitch.conf")
    if switch:
        # A service of the machine, such as systemd-resolved, knows other names and is outside the lab.
        lines = [line for line in switch.splitlines() if not line.strip().startswith("hosts:")]
        found["/etc/nsswitch.conf"] = "\n".join([*lines, "hosts: files dns", ""])
    if nameserver:
        found["/etc/resolv.conf"] = f"nameserver {nameserver}\n"
    return found


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
