"""Permission checks: the mode of a node against the uid and gid of the caller.

The kernel's own checks are off. The mount is for every user (allow_other), each conversation has its own owner, and
access that no mode bit allows (writing `rx`, reading `tx`) is refused to root too, which the kernel would not do.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemefs.scheme import Caller, Node

READ: Final = 4
WRITE: Final = 2
EXECUTE: Final = 1

_WANTED: Final = {os.O_RDONLY: READ, os.O_WRONLY: WRITE, os.O_RDWR: READ | WRITE}


def wanted_by(flags: int) -> int:
    """Return the access (`READ | WRITE`) that open(2)'s *flags* ask for."""
    return _WANTED.get(flags & os.O_ACCMODE, READ | WRITE)


def permits(node: Node, caller: Caller, wanted: int) -> bool:
    """Return whether *caller* has every *wanted* access to *node*; root has what any mode bit allows."""
    mode = node.mode
    any_class = (mode >> 6 | mode >> 3 | mode) & 7
    if wanted & ~any_class:
        return False
    if caller.uid == 0:
        return True
    shift = 6 if caller.uid == node.uid else 3 if caller.gid == node.gid else 0
    return not wanted & ~(mode >> shift)


def require(node: Node, caller: Caller, wanted: int, name: str) -> None:
    """Raise EACCES unless *caller* has every *wanted* access to *node*, which its sentence calls *name*."""
    if not permits(node, caller, wanted):
        verb = {READ: "read", WRITE: "written", READ | WRITE: "read and written"}.get(wanted, "entered")
        raise SchemeError(errno.EACCES, f"{name} may not be {verb} by uid {caller.uid} (mode {node.mode:04o})")
