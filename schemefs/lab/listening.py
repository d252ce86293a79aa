"""Whether a program in a host waits for others: a listening TCP socket, a bound UDP one, or one for packets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemefs.lab import namespaces

_LISTEN: Final = "0A"  # the state in proc_net_tcp.txt
_TABLES: Final = ("tcp", "tcp6", "udp", "udp6", "packet")


def sockets(network: str) -> int:
    """Return how many such sockets there are in the network namespace at *network*."""
    with namespaces.inside_network(network):
        return sum(map(_waiting, _TABLES))


def _waiting(table: str) -> int:
    try:
        lines = Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6
        return 0
    return sum(not table.startswith("tcp") or line.split()[3] == _LISTEN for line in lines)
