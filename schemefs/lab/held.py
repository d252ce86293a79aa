"""A lab without a command: `python -m schemefs.lab.held` reads a topology, and keeps the lab until its input ends.

Standard input is the topology, pickled, behind its length of 4 octets. Standard output gets one line: `running PID`,
the first process, or `failed SENTENCE`, or `forbidden SENTENCE` where this machine does not allow a lab.
"""

from __future__ import annotations

import os
import pickle  # the topology comes from the parent process
import sys
from struct import Struct
from typing import Final

from schemefs import plugins
from schemefs.errors import StartError
from schemefs.lab import outer_process
from schemefs.lab.first_process import FirstProcess
from schemefs.lab.requirements import ForbiddenError

LENGTH: Final = Struct(">I")


def main() -> int:
    """Run the lab; return the exit status."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # for the commands of hosts
    topology = pickle.loads(_read(LENGTH.unpack(_read(LENGTH.size))[0]))  # noqa: S301 - of the parent process
    # A program that reads what is left of the input ends with it, and the lab ends with its command.
    first = FirstProcess(topology, ("sh", "-c", "exec cat >/dev/null"), plugins.load())
    try:
        return outer_process.run(first, lambda pid: print(f"running {pid}", file=answers, flush=True))
    except outer_process.Interrupted as interrupted:
        return 128 + interrupted.number
    except StartError as error:
        key = "forbidden" if isinstance(error, ForbiddenError) else "failed"
        print(key, error, file=answers, flush=True)
        return outer_process.WRONG_LAB


def _read(count: int) -> bytes:
    octets = b""
    while len(octets) < count:  # without a buffer: the rest is the command's
        octets += os.read(0, count - len(octets)) or sys.exit("the topology is incomplete")
    return octets


if __name__ == "__main__":
    sys.exit(main())
