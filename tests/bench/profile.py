"""Where a daemon's processor time goes in a measurement, by perf(1): kernel, interpreter, compiled core, the rest."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.candidate import Candidate
from tests.bench.measurement import Measurement
from tests.bench.sizes import Sizes

FREQUENCY: Final = 2000  # samples a second
FUNCTIONS: Final = 5  # that are named
PARTS: Final = {"kernel": r"\[", "interpreter": r"(lib)?python3", "core": r"schemefs_core", "other": r""}
ROW: Final = re.compile(r" *([\d.]+)% +(\S+) +\[.\] (\S+)")


def is_installed() -> bool:
    return shutil.which("perf") is not None


def profiled(measurement: Measurement, candidate: Candidate, sizes: Sizes) -> dict[str, Any]:
    """Measure once more under perf; return the share of each part, and the functions that take most."""
    with tempfile.NamedTemporaryFile(suffix=".perf") as file:
        with recorded(candidate.pid, file.name):
            measurement.measure(candidate, sizes)
        words = ["perf", "report", "-i", file.name, "--stdio", "--no-children", "-g", "none", "--sort", "dso,symbol"]
        shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {"measurement": measurement.name, **shares(shown)}


@contextmanager
def recorded(pid: int, file: str) -> Iterator[None]:
    """Record samples of a process inside: perf begins when it is told to, and says that it has."""
    (control, begin), (begun, answer) = os.pipe(), os.pipe()
    words = ["perf", "record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "-p", pid, "-o", file]
    command = list(map(str, [*words, "--delay=-1", f"--control=fd:{control},{answer}"]))
    recorder = subprocess.Popen(command, stdout=subprocess.DEVNULL, pass_fds=(control, answer))
    os.close(control)
    os.close(answer)
    try:
        os.write(begin, b"enable\n")
        assert os.read(begun, 10).startswith(b"ack"), "perf did not begin"
        yield
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
        os.close(begin)
        os.close(begun)


def shares(report: str) -> dict[str, Any]:
    """Read the lines of `perf report --sort dso,symbol`."""
    parts: Counter[str] = Counter()
    functions = []
    for line in report.splitlines():
        if match := ROW.match(line):
            share, image, name = float(match[1]), match[2], match[3]
            parts[next(part for part, pattern in PARTS.items() if re.match(pattern, Path(image).name))] += share
            functions.append({"name": readable(name), "share": share})
    return {"parts": {part: round(parts[part], 1) for part in PARTS}, "functions": functions[:FUNCTIONS]}


def readable(symbol: str) -> str:
    """Return the Python name of a compiled function: CPyDef_queue___DriverQueue___take is queue.DriverQueue.take."""
    return symbol.removeprefix("CPyDef_").removeprefix("CPyPy_").replace("___", ".")
