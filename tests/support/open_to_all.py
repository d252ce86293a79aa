"""The shared folder of test mounts, open to other users for a while: one test at a time, also of two workers."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_to_all(place: Path) -> Iterator[None]:
    """Let every user enter *place*, a folder in the shared one; at the end the shared one is closed again."""
    shared = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(shared, fcntl.LOCK_EX)
        place.chmod(0o711)
        os.fchmod(shared, 0o711)
        yield
    finally:
        os.fchmod(shared, 0o700)
        os.close(shared)
