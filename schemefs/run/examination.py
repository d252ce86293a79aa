"""What `schemefs doctor` says of `schemefs run`: a child process puts the filter in force."""

from __future__ import annotations

import os
from typing import Final

from schemefs.driver import Finding
from schemefs.errors import StartError
from schemefs.run.architectures import ARCHITECTURES
from schemefs.run.call import Failed, describe
from schemefs.run.listener import install

_FIX: Final = "a kernel from 5.19 on, and a container whose seccomp profile allows seccomp(2)"


def examine() -> Finding:
    """Return the finding. Nothing is changed."""
    fault = _fault()
    if fault:
        return Finding("run", fault, fix=_FIX, works=False)
    return Finding("run", "unmodified programs over a mount (schemefs run) are possible")


def _fault() -> str:
    """Return why a program can't be run under the filter; empty: it can."""
    machine = os.uname().machine
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        return f"there is no filter for {machine}; there are: {', '.join(ARCHITECTURES)}"
    reports, report = os.pipe()
    try:
        describe("self", reports)
    except Failed as failed:
        os.close(reports)
        os.close(report)
        return failed.sentence
    pid = os.fork()
    if pid == 0:
        try:
            install(architecture)
        except (OSError, StartError) as error:
            os.write(report, f"the filter can't be put in force: {error}".encode())
        finally:
            os._exit(0)
    os.close(report)
    with open(reports, encoding="utf-8") as text:
        fault = text.read()
    os.waitpid(pid, 0)
    return fault
