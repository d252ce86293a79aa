"""The host that `schemefs nc` connects to: its addresses are tried one after another."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schemefs.errors import StartError
from schemefs.tools.conversation_name import conversation_of
from schemefs.tools.find_mount import failure


@dataclass(frozen=True, slots=True)
class Peer:
    """The host to connect to."""

    tree: Path
    scheme: str
    host: str  # as given
    addresses: tuple[str, ...]  # what to open for it, one after another
    options: str
    is_numeric: bool = False  # services have no names

    @property
    def protocol(self) -> str:
        """The transport, also of tls."""
        return "udp" if self.scheme == "udp" else "tcp"

    def path_to(self, address: str, port: str) -> str:
        """Return the path of a connection, without options."""
        return f"{self.scheme}/{in_brackets(address)}:{port}"

    def connect(self, port: str) -> tuple[str, int]:
        """Return the path that connects, and its descriptor. StartError: none does; the reason is the last one's."""
        failed = StartError(f"{self.host} has no address")
        for address in self.addresses:
            path = self.path_to(address, port)
            try:
                return path, os.open(self.tree / f"{path}{self.options}", os.O_RDWR)
            except OSError as error:
                failed = failure(self.tree, path, error)
        raise failed

    def remote(self, descriptor: int) -> tuple[str, str]:
        """Return address and port of a connection's other end."""
        return remote_of(self.tree, descriptor)

    def sentence(self, address: str, port: str) -> str:
        """Return OpenBSD's sentence about a connection."""
        host = self.host if self.host == address else f"{self.host} ({address})"
        service = "*"
        if not self.is_numeric:
            with suppress(OSError):
                service = socket.getservbyport(int(port), self.protocol)
        return f"Connection to {host} {port} port [{self.protocol}/{service}] succeeded!"


def remote_of(tree: Path, descriptor: int) -> tuple[str, str]:
    """Return address and port of the other end of a conversation."""
    return split_end((tree / conversation_of(descriptor) / "remote").read_text().strip())


def split_end(text: str) -> tuple[str, str]:
    """Return address and port of `ADDRESS:PORT`."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), port


def in_brackets(text: str) -> str:
    """Return a host as an address has it: an IPv6 address in brackets."""
    return f"[{text}]" if ":" in text else text
