"""What an action costs in numbers that no machine's speed changes: calls, and blocks of memory that are allocated."""

from __future__ import annotations

import ctypes
import functools
import gc
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_suffix(".c")


class Cost(NamedTuple):
    calls: float  # of functions, Python's and C's, that are made by the interpreter: none is between compiled functions
    blocks: float  # that Python allocates, for objects and for what they hold


def counted(action: Callable[[], object], times: int) -> Cost:
    """Return what each of *times* runs of *action* costs; the first runs, which fill caches, do not count."""
    for _ in range(times):
        action()
    return Cost(_calls(action, times) / times, _blocks(action, times) / times)


def _calls(action: Callable[[], object], times: int) -> int:
    calls = -1  # sys.setprofile itself

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in range(times):
            action()
    finally:
        sys.setprofile(None)
    return calls


def _blocks(action: Callable[[], object], times: int) -> int:
    counter = _allocation_counter()
    gc.collect()
    gc.disable()
    counter.start_counting()
    try:
        for _ in range(times):
            action()
    finally:
        blocks: int = counter.stop_counting()
        gc.enable()
    return blocks


@functools.cache
def _allocation_counter() -> ctypes.PyDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/counted.so"
        include = sysconfig.get_path("include")
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", f"-I{include}", SOURCE, "-o", library], check=True)
        found = ctypes.PyDLL(library)
    found.stop_counting.restype = ctypes.c_ulonglong
    return found
