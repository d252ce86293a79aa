"""IPv6 forwarding of the host, switched on and off without a loss of what routers have advertised to it.

A host that starts to forward takes no router advertisements any more, and drops the default routes that it has of them
(Linux: accept_ra 1 means "unless it forwards"). So accept_ra 1 becomes 2, "also if it forwards", before the forwarding
of all interfaces is switched on. That sets the forwarding of each interface too: switching it off clears it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from drivers.tap.host import SETTINGS6

FORWARDING: Final = "all/forwarding"
_ACCEPT: Final = "accept_ra"


def found(tap: str) -> dict[str, str]:
    """Return the settings that `switch_on` changes, as they are; none where the host forwards already.

    OSError: they can't be read.
    """
    if _setting(FORWARDING).read_text().strip() != "0":
        return {}
    changed = {FORWARDING: "0"}
    for name in _interfaces(tap):
        for key, value in ((_ACCEPT, "1"), ("forwarding", "1")):
            with suppress(FileNotFoundError):  # the interface has gone meanwhile
                if _setting(f"{name}/{key}").read_text().strip() == value:
                    changed[f"{name}/{key}"] = value
    return changed


def switch_on(before: dict[str, str]) -> None:
    """Make the host forward. *before*: what `found` has returned. OSError: a setting can't be written."""
    for path in before:
        if path.endswith(f"/{_ACCEPT}"):
            _write(path, "2")
    if before:
        _write(FORWARDING, "1")


def switch_off(before: dict[str, str]) -> None:
    """Put the settings back as `found` has returned them. OSError: a setting can't be written."""
    for path in sorted(before, key=lambda path: path != FORWARDING):
        _write(path, before[path])


def _interfaces(tap: str) -> Iterator[str]:
    for place in SETTINGS6.iterdir():
        if place.name not in ("all", "lo", tap):
            yield place.name


def _write(path: str, value: str) -> None:
    with suppress(FileNotFoundError):  # the interface has gone meanwhile
        _setting(path).write_text(value)


def _setting(path: str) -> Path:
    return SETTINGS6 / path
