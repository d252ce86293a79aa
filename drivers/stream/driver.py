"""The stream driver: one end of a UNIX socket. It connects, or listens, and does so again when the other end is gone.

The attempts to connect again are the only thing with a timer: UNIX sockets do not report a listener that appears.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import trio

from drivers.stream import rendezvous
from drivers.stream.options import DEFAULT_MTU, OPTIONS, mtu_fault
from drivers.stream.stream_end import StreamEnd
from schemefs.driver import OptionError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from schemefs.driver import DriverContext
    from schemefs.driver_option import DriverOption


class StreamDriver(StreamEnd):
    """Needs no privilege."""

    name: ClassVar[str] = "stream"
    options: ClassVar[Sequence[DriverOption] | None] = OPTIONS

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._path: str = self.context.options["socket"] or ""
        self._listener: socket.socket | None = None
        self._made = (0, 0)  # the identity of the listener's path

    def open(self) -> None:
        """Connect, or listen. A listener starts without another end: frames are dropped until it comes."""
        fault = mtu_fault(self.context.mtu) or ("" if self._path else "the driver stream needs a socket: --socket PATH")
        if fault:
            raise OptionError(fault)
        listens = self.context.options["listen"]
        peer = None
        if listens:
            self._listener = rendezvous.listen(self._path)
            self._made = rendezvous.identity(self._path)
        else:
            peer = self._connected_socket()
        role = "listen" if listens else "connect"
        self.open_link(f"stream:{self._path}", mtu=DEFAULT_MTU, mac_seed=f"{self._path} {role}")
        if peer is not None:
            self.connected(peer)
        else:
            self.link.fault = f"no program has connected to {self._path} yet"

    def _connected_socket(self) -> socket.socket:
        try:
            return rendezvous.connect(self._path)
        except OSError as error:
            raise rendezvous.refusal(self._path, error) from error

    def close(self) -> None:
        """Close the sockets, and remove the path of a listener."""
        super().close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            try:
                if rendezvous.identity(self._path) == self._made:  # else another mount has made one there
                    os.unlink(self._path)
            except OSError as error:
                self.log.warning("the socket %s could not be removed: %s", self._path, error.strerror)

    async def another_end(self) -> socket.socket:
        """Return the next that connects, or connect to the path again."""
        if self._listener is None:
            return rendezvous.connect(self._path)
        await trio.lowlevel.wait_readable(self._listener)
        return rendezvous.accepted(self._listener)
