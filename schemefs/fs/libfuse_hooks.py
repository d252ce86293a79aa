"""Loads the libfuse hooks before pyfuse3, and checks that the dynamic linker uses them. Import pyfuse3 from here only.

Without the hooks, a blocked `cat` survives Ctrl-C and SIGKILL, a blocked read also blocks every write on the same
descriptor, and O_NONBLOCK set after open is invisible. `_libfuse_hooks.c` says how each is solved.
"""

from __future__ import annotations

import os
import sys


def _load() -> None:
    if "pyfuse3" in sys.modules:
        message = "pyfuse3 was imported before schemefs.fs.libfuse_hooks, which must be loaded first"
        raise ImportError(message)
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    try:
        import schemefs.fs._libfuse_hooks  # noqa: F401, PLC0415 - loaded before pyfuse3, with RTLD_GLOBAL
    finally:
        sys.setdlopenflags(flags)


_load()

import pyfuse3  # noqa: E402

from schemefs.fs._libfuse_hooks import (  # noqa: E402
    ANSWERED,
    closing,
    drained,
    ended,
    enter_by,
    invalidate_names,
    not_interposed,
    on_interrupt,
    reply,
    request,
)

_missing = not_interposed()
if _missing:
    _message = f"libfuse's {', '.join(_missing)} could not be interposed: another library comes first (LD_PRELOAD?)"
    raise ImportError(_message)

__all__ = [
    "ANSWERED",
    "closing",
    "drained",
    "ended",
    "enter_by",
    "invalidate_names",
    "on_interrupt",
    "pyfuse3",
    "reply",
    "request",
]
