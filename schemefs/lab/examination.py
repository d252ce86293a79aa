"""What `schemefs doctor` says of labs: a child process tries what a lab begins with."""

from __future__ import annotations

import os

from schemefs.driver import Finding
from schemefs.errors import StartError
from schemefs.lab import namespaces, outer_process, requirements


def examine() -> Finding:
    """Return the finding. Nothing is changed."""
    try:
        requirements.check_tun()
    except StartError as error:
        sentence, _, fix = str(error).partition(", which a lab needs")
        return Finding("lab", sentence, fix=f"as root: {fix.strip(' ()')}", works=False)
    if not namespaces.may_administer():
        fault = _fault()
        if fault:
            return Finding("lab", fault, fix="run it as root, or see the line user namespaces", works=False)
    return Finding("lab", "hosts, routers and bad links for programs (schemefs lab) can be had")


def _fault() -> str:
    """Return why no namespaces can be made; empty: they can."""
    reports, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.become_root_of_new_users()
            namespaces.unshare(namespaces.NEW_MOUNTS | namespaces.NEW_NETWORK)
        except OSError as error:
            os.write(report, outer_process.refusal(error).encode())
        finally:
            os._exit(0)
    os.close(report)
    with open(reports, encoding="utf-8") as text:
        fault = text.read()
    os.waitpid(pid, 0)
    return fault
