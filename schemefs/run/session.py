"""What the handlers of calls share, and what a handler returns."""

from __future__ import annotations

import errno
import os
import socket as kernel_socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from schemefs.run import sockaddr
from schemefs.run.call import Call, Description, Failed
from schemefs.run.listener import Listener
from schemefs.run.name_servers import NameServers
from schemefs.run.sockets import Sockets
from schemefs.run.tree import Tree
from schemefs.run.waits import Waits
from schemefs.run.zones import Zones


class Outcome(Enum):
    """What a handler returns when it is not the call's value."""

    NATIVE = auto()  # the kernel runs the call: its descriptor is no socket of the mount
    REPLIED = auto()  # the handler has ended the call


Result = int | Outcome


class Session:
    """One run of a program."""

    def __init__(
        self,
        listener: Listener,
        tree: Tree,
        waits: Waits,
        name_servers: NameServers,
        say: Callable[[Call, str], None],
        *,
        records: bool,
    ) -> None:
        self.listener = listener
        self.tree = tree
        self.sockets = Sockets(tree)
        sockaddr.interfaces = Zones(tree)
        self.waits = waits
        self.name_servers = name_servers
        self.say = say  # a sentence about a call, for the person
        self.records = records  # events, from the start of each conversation


Handler = Callable[[Session, Call], Result]

DOMAINS: Final = {
    int(value): name
    for name, value in sorted(vars(kernel_socket).items(), reverse=True)  # AF_NETLINK is AF_ROUTE too
    if name.startswith("AF_") and isinstance(value, int)
}


def native(call: Call, description: Description) -> Result:
    """Return NATIVE for a call that sends or names a peer, unless its descriptor is a socket of the host's network.

    The program cannot make one, inherit one or be given one (`filter`, `inherited`, `unix_sockets`); this is the last
    check, on the descriptor alone.
    """
    key = (description.mount, description.inode)
    if key in _harmless:
        return Outcome.NATIVE
    number = call.integer(0)
    what = _socket_of_the_host(call, number)
    if what:
        raise Failed(errno.EAFNOSUPPORT, f"descriptor {number} is {what} of the host")
    if len(_harmless) >= MOST_HARMLESS:
        _harmless.clear()
    _harmless.add(key)
    return Outcome.NATIVE


MOST_HARMLESS: Final = 4096
_harmless: set[tuple[int, int]] = set()
"""Files that are no sockets, or AF_UNIX: an inode of the kernel's sockets is not given again for a long time."""


def _socket_of_the_host(call: Call, number: int) -> str:
    try:
        target = os.readlink(f"/proc/{call.thread}/fd/{number}")
    except OSError:
        return ""  # EBADF, by the kernel
    if not target.startswith("socket:"):
        return ""
    with kernel_socket.socket(fileno=call.duplicate(number)) as found:
        family = int(found.family)
    return "" if family == kernel_socket.AF_UNIX else f"a socket of {DOMAINS.get(family, f'family {family}')}"
