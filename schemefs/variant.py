"""Which core runs: the one that mypyc has compiled (setup.py), or the same source as plain Python."""

from __future__ import annotations

from typing import Final

from schemefs import timers

COMPILED: Final = "compiled"
PLAIN: Final = "plain Python"


def variant() -> str:
    """Return COMPILED or PLAIN. The core is compiled whole, or not at all: one module stands for the others."""
    return PLAIN if timers.__file__.endswith(".py") else COMPILED
