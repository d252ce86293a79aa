"""QEMU guests as hosts: the line that joins one, and waiting for it.

The router listens at a UNIX socket in $LAB. A process outside reaches it by the root directory of the lab's first
process, in /proc, so that nothing is left in the machine's file systems when the lab is killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Final

from schemefs.errors import StartError
from schemefs.lab import descendants
from schemefs.lab.places import SCHEME
from schemefs.lab.topology import Host, Interface, Topology
from schemefs.lab.wiring import Wiring

_PAUSE: Final = 0.02  # seconds: a file of a tree can't be waited for


def wait_for_guests(topology: Topology, plan: Wiring, pid: int) -> None:
    """Print how each guest is joined, and wait until all are. *pid*: of this process, outside of the lab."""
    waiting = {}
    for link in topology.links:
        for end in link.ends:
            if end in plan.sockets:
                guest = next(host for host in topology.hosts for other in link.ends if host.name == other.owner)
                print(_line(topology, guest, f"/proc/{pid}/root{plan.sockets[end]}"), file=sys.stderr, flush=True)  # noqa: T201
                waiting[end] = guest
    while waiting:
        for end in [end for end in waiting if _is_joined(end)]:
            del waiting[end]
        signal.sigtimedwait({signal.SIGCHLD}, _PAUSE)
        for _, status in descendants.reaped():
            raise StartError(f"a router of the lab has ended with status {status} while it waited for a guest")


def _line(topology: Topology, guest: Host, socket: str) -> str:
    (end,) = topology.interfaces(guest.name)
    gateways = [gateway for destination, gateway in guest.routes if destination == "default"]
    configuration = "; ".join(
        f"{address}, gateway {next((one for one in gateways if (':' in one) == (':' in address)), 'none')}"
        for address in end.addresses
    )
    return (
        f"schemefs: waiting for the guest {guest.name} ({configuration}): "
        f"-netdev stream,id={guest.name},server=off,addr.type=unix,addr.path={socket} "
        f"-device virtio-net-pci,netdev={guest.name}"
    )


def _is_joined(end: Interface) -> bool:
    stats = Path(SCHEME, end.owner, "network", end.name, "stats").read_text()
    return "connected=1" in stats.splitlines()
