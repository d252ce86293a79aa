"""Namespaces for the kernel's side: a veth pair, one congestion control, and offloads that are off."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from schemefs.testing.network import Namespace

CONGESTION_CONTROL: Final = "cubic"
ADDRESSES: Final = ("10.9.0.1", "10.9.0.2")
# Does what `ethtool -K NAME tso off gso off gro off` does (linux/ethtool.h: ETHTOOL_STSO, _SGSO, _SGRO; SIOCETHTOOL).
OFFLOADS_OFF: Final = """
import array, fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    for command in (0x1F, 0x24, 0x2C):
        value = array.array("B", struct.pack("II", command, 0))
        fcntl.ioctl(asker, 0x8946, struct.pack("16sP16x", sys.argv[1].encode(), value.buffer_info()[0]))
"""


@contextmanager
def linked() -> Iterator[tuple[Namespace, Namespace]]:
    """Make two namespaces with a veth pair between them; they have ADDRESSES."""
    with ExitStack() as undo:
        ends = Namespace(), Namespace()
        for end in ends:
            undo.callback(end.close)
        pair = ["veth0", "type", "veth", "peer", "name", "veth0", "netns", holder(ends[1])]
        ends[0].run(["ip", "link", "add", *pair])
        for end, address in zip(ends, ADDRESSES, strict=True):
            end.run(["ip", "address", "add", f"{address}/24", "dev", "veth0"])
            end.run(["ip", "link", "set", "veth0", "up"])
        for end in ends:
            pin_congestion_control(end)
        yield ends


def path(namespace: Namespace) -> str:
    """Return the file that stands for the namespace."""
    return namespace.prefix[1].removeprefix("--net=")


def holder(namespace: Namespace) -> str:
    """Return the process that holds the namespace, as `ip` takes it."""
    return path(namespace).split("/")[2]


def without_offloads(namespace: Namespace, interface: str) -> None:
    """Have each segment be a frame, with its checksum made by the kernel."""
    namespace.run([sys.executable, "-S", "-E", "-c", OFFLOADS_OFF, interface])


def pin_congestion_control(namespace: Namespace) -> None:
    """Have every connection of Linux in a namespace run cubic, which is Linux's default and what our stack runs.

    A machine's default may be another (BBR doubles or halves the speed of a sender): a ratio would then compare
    congestion controls. Routes carry it, since a machine may also restrict cubic to what root asks for by socket.
    """
    for table in ("main", "local"):
        for route in namespace.run(["ip", "-4", "route", "show", "table", table]).stdout.splitlines():
            if not route.startswith("broadcast"):
                words = route.replace("linkdown", "").split()
                namespace.run(["ip", "route", "change", *words, "table", table, "congctl", CONGESTION_CONTROL])
