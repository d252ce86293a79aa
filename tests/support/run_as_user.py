"""Programs under `schemefs run` as an ordinary user, in a network namespace whose counters show no use of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.support.ordinary_user import as_ordinary_user

RUN = (sys.executable, "-m", "schemefs", "run")
# lo is up: what falls through to the kernel's sockets is counted there, or by its protocol.
IN_A_NAMESPACE = """
ip link set lo up
"$@"
status=$?
cat /proc/net/snmp /proc/net/snmp6 /proc/net/dev >"$COUNTERS"
exit $status
"""
USED = ("ActiveOpens", "PassiveOpens", "OutSegs", "OutDatagrams", "OutRequests", "Udp6OutDatagrams", "Ip6OutRequests")


@dataclass
class Done:
    """How a program ended, and what the kernel's own network has seen."""

    status: int
    output: str
    errors: str
    counters: dict[str, int]


def started_as_user(folder: Path, options: list[str], command: list[str]) -> subprocess.Popen[str]:
    """Start *command* with *options* of `schemefs run`. *folder*, which the user may write, has HOME and counters."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    words = ["unshare", "--net", "sh", "-c", IN_A_NAMESPACE, "sh", *as_ordinary_user(), *RUN, *options, "--"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*words, *command], text=True, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder,
        env=env | {"COUNTERS": str(folder / "counters")},
    )  # fmt: skip


def ended(program: subprocess.Popen[str], folder: Path, given: str = "") -> Done:
    """Give *program* its standard input, and wait for its end."""
    output, errors = program.communicate(given, timeout=60)
    return Done(program.returncode, output, errors, _counted((folder / "counters").read_text()))


def run_as_user(folder: Path, options: list[str], command: list[str], given: str = "") -> Done:
    """Run *command* to its end, with *given* as its standard input."""
    return ended(started_as_user(folder, options, command), folder, given)


def _counted(text: str) -> dict[str, int]:
    """Return the counters of `USED` that are not 0, and the packets of lo."""
    lines = [line.split() for line in text.splitlines()]
    found: dict[str, int] = {}
    for names, values in pairwise(lines):
        if names[0] == values[0] and names[0].endswith(":"):
            found |= {name: int(value) for name, value in zip(names[1:], values[1:], strict=True)}
    found |= {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
    lo = next(line for line in lines if line[0] == "lo:")
    used = {name: found[name] for name in USED if found.get(name)}
    return used | ({"lo": int(lo[2])} if int(lo[2]) else {})
