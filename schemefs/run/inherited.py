"""Descriptors that the program may not inherit: sockets of the host's network, and rings that make calls."""

from __future__ import annotations

import os
import socket
from typing import Final

from schemefs.errors import StartError

STANDARD: Final = {0: "standard input", 1: "standard output", 2: "standard error"}


def close_inherited() -> list[str]:
    """Close them; return a sentence for each. StartError: one is a standard stream, which the program needs."""
    sentences = []
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        what = forbidden(number)
        if not what:
            continue
        if number in STANDARD:
            raise StartError(f"{STANDARD[number]} is {what}, which the program may not inherit: redirect it")
        os.close(number)
        sentences.append(f"descriptor {number} is {what}: closed, the program may not inherit it")
    return sentences


def forbidden(number: int) -> str:
    """Return what *number* is, if it leads around the mount; empty: it does not, or is not open."""
    try:
        target = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
    if target == "anon_inode:[io_uring]":
        return "an io_uring"
    if not target.startswith("socket:"):
        return ""
    with socket.socket(fileno=os.dup(number)) as found:
        family = found.family
    return "" if family == socket.AF_UNIX else f"a socket of the host ({socket.AddressFamily(family).name})"
