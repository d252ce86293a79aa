"""The files of the mount that make a socket: `clone`, and of each conversation `data`, `ctl` and `accept`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from schemefs.run.call import describe

PROTOCOLS: Final = ("tcp", "udp")


class Tree:
    """A mount, used by open, read, write and getxattr alone. OSError: of the scheme, or ENOTCONN: the mount ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directories = {name: os.open(path / name, os.O_PATH | os.O_CLOEXEC) for name in PROTOCOLS}
        readme = os.open(path / "README", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.mount = describe("self", readme).mount
        finally:
            os.close(readme)

    def make(self, protocol: str, *, owner: str, nonblocking: bool) -> tuple[int, str]:
        """Make a conversation without a peer for *owner*, PID NAME; return a descriptor of its `data`, its number."""
        directory = self._directories[protocol]
        clone = os.open("clone", os.O_RDWR | os.O_CLOEXEC, dir_fd=directory)
        try:
            number = os.read(clone, 32).decode().strip()
            with suppress(OSError):  # a name for ss(8), no more
                os.write(clone, f"owner {owner}".encode())
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_NONBLOCK if nonblocking else 0)
            return os.open(f"{number}/data", flags, dir_fd=directory), number
        finally:
            os.close(clone)

    def directory(self, protocol: str) -> int:
        """Return a descriptor of the directory `tcp` or `udp`, for openat(2)."""
        return self._directories[protocol]

    def text(self, name: str) -> str:
        """Return a text of the tree, such as `tcp/7/local`."""
        return (self.path / name).read_text()

    def exists(self, name: str) -> bool:
        """Return whether there is a conversation of that name, such as `tcp/7`."""
        return (self.path / name).exists()

    def name_owner(self, number: str, owner: str) -> None:
        """Name the process of an accepted connection, PID NAME, for ss(8)."""
        with suppress(OSError):  # the connection has ended already
            self.command("tcp", number, f"owner {owner}")

    @contextmanager
    def ctl(self, protocol: str, number: str) -> Iterator[int]:
        """Open the ctl of a conversation, without waiting: a connect is EINPROGRESS."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(f"{number}/ctl", flags, dir_fd=self._directories[protocol])
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def command(self, protocol: str, number: str, verb: str) -> None:
        """Give the conversation a verb. OSError: it was refused."""
        with self.ctl(protocol, number) as descriptor:
            os.write(descriptor, verb.encode())


def attribute(descriptor: int, name: str) -> str:
    """Return what an open file shows of its conversation, such as `local`."""
    return os.getxattr(descriptor, f"user.{name}").decode()
