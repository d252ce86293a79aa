"""Loads the C seam before pyfuse3, and checks that the dynamic linker took it. Import pyfuse3 from here only.

Without it a `cat` blocked on a socket file survives Ctrl-C and SIGKILL, a blocked read makes every write on the same
descriptor hang, and O_NONBLOCK set after open is invisible (`_libfuse_hooks.c` says how each is done).
"""

from __future__ import annotations

import os
import sys


def _load() -> None:
    if "pyfuse3" in sys.modules:
        message = "pyfuse3 was imported before schemefs.fs.libfuse_hooks, so the seam can't get between it and libfuse"
        raise ImportError(message)
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    try:
        import schemefs.fs._libfuse_hooks  # noqa: F401, PLC0415 - the order is the point
    finally:
        sys.setdlopenflags(flags)


_load()

import pyfuse3  # noqa: E402

from schemefs.fs._libfuse_hooks import (  # noqa: E402
    answer_with,
    closing,
    drained,
    drop_names,
    ended,
    not_interposed,
    on_interrupt,
    request,
)

_missing = not_interposed()
if _missing:
    _message = f"libfuse's {', '.join(_missing)} did not get interposed: another library comes first (LD_PRELOAD?)"
    raise ImportError(_message)

__all__ = ["answer_with", "closing", "drained", "drop_names", "ended", "on_interrupt", "pyfuse3", "request"]
