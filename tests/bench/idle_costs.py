"""What costs without traffic: the memory of a conversation, the start of a mount, the start of a command."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from schemefs.testing.network import Namespace
from tests.bench.candidate import Candidate
from tests.bench.sizes import Sizes

Figures = dict[str, float]
FIRST: Final = 0.2  # of the conversations: they fill what the daemon has free


def conversation(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return the resident octets of the daemon, in KiB, for each established connection whose file is open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place = candidate.place("tcp", candidate.serve("hold"))
    with ExitStack() as stack:
        for _ in range(int(sizes.conversations * FIRST)):
            stack.callback(os.close, os.open(place, os.O_RDWR))
        before = resident(candidate.pid)
        for _ in range(sizes.conversations):
            stack.callback(os.close, os.open(place, os.O_RDWR))
        return {"memory": (resident(candidate.pid) - before) / 1024 / sizes.conversations}


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def mount(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return the seconds of `schemefs mount DIR`, which returns when the mount can be used."""
    assert candidate.installation is not None
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        namespace = Namespace()
        stack.callback(namespace.close)
        began = time.perf_counter()
        namespace.run(candidate.installation.command("mount", directory))
        found = time.perf_counter() - began
        namespace.run(candidate.installation.command("umount", directory))
    return {"seconds": found}


def help_text(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return the milliseconds of `schemefs --help`, and their ratio to those of `python3 -c pass`."""
    assert candidate.installation is not None
    shown: list[float] = []
    nothing: list[float] = []
    for _ in range(sizes.helps):
        shown.append(seconds(candidate.installation.command("--help")))
        nothing.append(seconds(["env", "-C", "/", candidate.installation.python, "-c", "pass"]))
    return {"ms": median(shown) * 1000, "to_python": median(shown) / median(nothing)}


def seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
