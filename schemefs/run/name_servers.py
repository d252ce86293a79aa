"""Where questions for names go: the name servers of the host's /etc/resolv.conf are those of the mount for the program.

getaddrinfo reads the host's file, whose servers (127.0.0.53, a router of the LAN) are unknown in the network of the
mount. A file for the program alone would need a mount namespace. So a datagram or a connection to port 53 of one of
them goes to the mount, and the program sees the address that it asked. While `dns/responder` is open, the mount answers
there as its `dns/NAME` does; without that file, its own name server is asked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from schemefs.run.sockaddr import Address, parse
from schemefs.run.tree import Tree

RESOLV_CONF: Final = Path("/etc/resolv.conf")
PORT: Final = 53
DEFAULT: Final = "127.0.0.1"  # resolv.conf(5): without a line `nameserver`


class NameServers:
    """The host's, read once, and the mount's, read when it is needed."""

    def __init__(self, tree: Tree, resolv_conf: Path = RESOLV_CONF) -> None:
        self._tree = tree
        self._of_host = {server for text in _servers(resolv_conf) if (server := _address(text)) is not None}
        self._asked: dict[Address, Address] = {}  # the mount's server -> the address that stood for it last
        self._responder = self._open_responder()

    def _open_responder(self) -> Address | None:
        """Open the responder, which answers for as long as this process lives. None: another process has its port."""
        try:
            descriptor = os.open(self._tree.path / "dns/responder", os.O_RDONLY | os.O_CLOEXEC)
            return parse(os.read(descriptor, 64).decode())
        except OSError:
            return None

    def redirect(self, address: Address) -> Address:
        """Return where *address* is to be found in the network of the mount."""
        if address.port != PORT or address not in self._of_host:
            return address
        found = self._responder or self._name_server() or address
        self._asked[found] = address
        return found

    def _name_server(self) -> Address | None:
        try:
            ours = self._tree.text("netcfg/resolv/nameserver").split()
        except OSError:
            return None
        return _address(ours[0]) if ours else None

    def restore(self, source: Address) -> Address:
        """Return the address that the program asked, for an answer from *source*."""
        return self._asked.get(source, source)


def _servers(resolv_conf: Path) -> list[str]:
    try:
        lines = [line.split() for line in resolv_conf.read_text(errors="replace").splitlines()]
    except OSError:
        lines = []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"] or [DEFAULT]


def _address(host: str) -> Address | None:
    try:
        return parse(f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}")
    except OSError:
        return None
