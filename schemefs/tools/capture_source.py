"""The captures of a mounted tree: of an interface, of `any`, or of a conversation such as `tcp/3`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import fail_with

ANY: Final = "any"  # all interfaces
_CAPTURE: Final = "capture.pcapng"


def is_conversation(name: str) -> bool:
    """Return whether *name* is a conversation, not an interface."""
    return "/" in name


def interface_names(tree: Path) -> list[str]:
    """Return the interfaces of *tree* that have a capture. OSError: it has no scheme network, or no access."""
    return sorted(path.name for path in (tree / "network").iterdir() if path.is_dir())


def capture_path(name: str, snap: int | None = None, *, has_history: bool = False) -> str:
    """Return the path of the capture in its tree. *snap*: the octets that are kept of each frame; None: all."""
    directory = name if is_conversation(name) else f"network/{name}" if name != ANY else "network"
    return f"{directory}/{_CAPTURE}{f',snap={snap}' if snap else ''}{',history' if has_history else ''}"


def open_capture(tree: Path, path: str, filter_text: str) -> int:
    """Return a descriptor of the capture, which begins now. If it can't be read: `fail_with`, status 1.

    The frames between the open and the write of a filter are in the capture too.
    """
    try:
        descriptor = os.open(tree / path, os.O_RDWR)
        if filter_text:
            os.write(descriptor, filter_text.encode())
    except OSError as error:
        fail_with(1, tree, path, error)
    return descriptor
