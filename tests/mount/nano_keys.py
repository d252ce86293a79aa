"""nano on a terminal of its own, driven by keys: each is typed when nano shows what it follows."""

from __future__ import annotations

import os
import pty
import select
import time
from contextlib import suppress

PATIENCE = 10.0  # seconds for each text that nano shows


def replace_all(path: str, old: str, new: str) -> int:
    """Open *path*, replace *old* by *new* everywhere, write and leave. Returns nano's exit status."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ["TERM"] = "xterm"
        os.execvp("nano", ["nano", "-I", path])
    try:
        for shown, keys in (
            ("Help", "\x1c"),
            ("Search (to replace)", f"{old}\r"),
            ("Replace with", f"{new}\r"),
            ("instance?", "A"),
            ("Replaced", "\x0f"),
            ("File Name to Write", "\r"),
            ("Wrote", "\x18"),
        ):
            _wait_for(shown, terminal)
            os.write(terminal, keys.encode())
        with suppress(OSError):  # EIO: nano has left the terminal
            while os.read(terminal, 65536):
                pass
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)


def _wait_for(text: str, terminal: int) -> None:
    shown, deadline = b"", time.monotonic() + PATIENCE
    while text.encode() not in shown:
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            message = f"nano did not show {text!r} but {shown[-500:]!r}"
            raise AssertionError(message)
        shown += os.read(terminal, 65536)
