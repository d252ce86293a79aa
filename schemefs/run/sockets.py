"""What the supervisor knows of each socket of the program, by the inode of its file.

dup and fork share the file, so they share the entry. A conversation's inode number is never given again, so an entry
whose file was closed harms nothing; it is dropped when the table has grown.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from enum import Enum
from typing import Final

from schemefs.run import sockaddr
from schemefs.run.call import Call, Description, Failed, describe
from schemefs.run.sockaddr import Address
from schemefs.run.tree import Tree

SWEEP_AT: Final = 1024  # entries
V6ONLY: Final = (41, 26)  # IPPROTO_IPV6, IPV6_V6ONLY
_LOOPBACK_V4: Final = bytes((127, 0, 0, 1))
_LOOPBACK_V6: Final = bytes(15) + b"\x01"


class State(Enum):
    """What has become of a socket."""

    NEW = "new"
    CONNECTING = "connecting"  # tcp: the outcome was not returned yet
    CONNECTED = "connected"
    LISTENING = "listening"
    ANNOUNCED = "announced"  # udp without a peer: its file has a line with the address before each datagram
    DISSOLVED = "dissolved"  # udp: was connected; the next call makes another conversation


class Socket:
    """One socket: a conversation, and what the program has said before there was a file to say it to."""

    __slots__ = (
        "bound",
        "family",
        "line",
        "lock",
        "number",
        "protocol",
        "remote",
        "reported_error",
        "settings",
        "state",
        "values",
    )

    def __init__(self, protocol: str, number: str, family: int) -> None:
        self.protocol = protocol  # tcp or udp
        self.number = number  # of the conversation
        self.family = family
        self.state = State.NEW
        self.bound: Address | None = None  # by bind(2)
        self.remote: Address | None = None  # as the program knows it
        self.line = ""  # the connect of its ctl
        self.reported_error = 0  # by SO_ERROR
        self.settings: dict[str, str] = {}  # of the conversation, once there is an engine
        self.values: dict[tuple[int, int], bytes] = {}  # of setsockopt(2)
        self.lock = threading.RLock()  # changes of the state

    @property
    def name(self) -> str:
        """`tcp/7`."""
        return f"{self.protocol}/{self.number}"

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of octets."""
        return self.protocol == "tcp"

    @property
    def is_ipv6_only(self) -> bool:
        """Whether IPV6_V6ONLY is set."""
        return any(self.values.get(V6ONLY, b""))

    def checked(self, family: int, address: Address | None) -> Address:
        """Return a destination that this socket can have. Failed, as Linux does: it can't have this one."""
        is_own = family == self.family or (family == sockaddr.V4 and not self.is_stream)
        if address is None or not is_own:
            raise Failed(errno.EAFNOSUPPORT)
        if len(address.host) == 4 and self.is_ipv6_only:
            raise Failed(errno.ENETUNREACH)
        if address.needs_scope and not address.scope:
            raise Failed(errno.EINVAL)
        if not address.is_any:
            return address
        # As on Linux, no address means this host.
        return Address(_LOOPBACK_V4 if len(address.host) == 4 else _LOOPBACK_V6, address.port)

    @property
    def any_address(self) -> Address:
        """Its address while it has none."""
        return sockaddr.any_address(self.family)


class Sockets:
    """The table."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_inode: dict[int, Socket] = {}
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._by_inode)

    def find(self, call: Call, index: int = 0) -> tuple[Socket | None, Description]:
        """Return the socket that an argument of *call* is; None: it is no socket of the mount. EBADF."""
        description = describe(call.thread, call.integer(index))
        socket = self._by_inode.get(description.inode) if description.mount == self._tree.mount else None
        if socket is not None:
            call.require_valid()  # what was described is the caller's
            call.about = socket.name
        return socket, description

    def add(self, descriptor: int, socket: Socket) -> None:
        """Enter the socket of which *descriptor*, one of the supervisor's, is the file."""
        self._by_inode[os.fstat(descriptor).st_ino] = socket
        if len(self._by_inode) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        for inode, socket in list(self._by_inode.items()):
            if not self._tree.exists(socket.name):
                with suppress(KeyError):
                    del self._by_inode[inode]
        self._sweep_at = len(self._by_inode) + SWEEP_AT
