"""One end of a stream of frames: moves them until the other end is gone, and then waits for another one.

    socket ── readable ──> StreamLink.deliver ──> link.receive
    link.send ──> socket; what it does not take waits for `writable`

Two tasks: one waits for frames or for another end, one for room in the socket (only after it was full). The mount
receives frames, too, while it waits for requests. While there is no other end the link drops frames, as an unplugged
cable does. A subclass says what the other end is.
"""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

import trio

from drivers.stream.framing import FramingError
from drivers.stream.link import StreamLink
from schemefs.driver import Driver, DriverError

if TYPE_CHECKING:
    import socket

    from schemefs.driver import DriverContext

BURST: Final = 32  # frames in a row; then the readers that they woke run
BUFFERS: Final = 8  # filled in a row, likewise
FIRST_WAIT: Final = 0.05  # seconds until the next attempt at another end; twice as long after each
LONGEST_WAIT: Final = 2.0


class StreamEnd(Driver):
    """Another end is not trusted: every checksum is checked, and completed, in software."""

    has_checksums: ClassVar[bool] = True  # of TCP, UDP and ICMP; see StreamLink

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.log = logging.getLogger(f"schemefs.{self.name}.{context.interface}")
        if context.logs is not None:
            context.logs.ring(f"{self.name}/{context.interface}.log", self.log.name)
        self._link: StreamLink | None = None
        self._peer: socket.socket | None = None
        self._blocked = trio.Event()
        self._is_behind = False  # whole frames of the last burst were not delivered yet
        self._pause = trio.CancelScope()  # in which `_receive` waits for the socket

    @property
    def link(self) -> StreamLink:
        """The link, once `open` has returned."""
        if self._link is None:
            message = f"the {self.name} driver is not open"
            raise DriverError(message)
        return self._link

    @abstractmethod
    async def another_end(self) -> socket.socket:
        """Return a non-blocking stream socket to another end. OSError, DriverError: not yet."""

    def why_gone(self, reason: str) -> str:
        """Return what more is known of the end of the other end than *reason*, a clause."""
        return reason

    def close(self) -> None:
        """Close the socket to the other end."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    async def run(self) -> None:
        """Move frames until cancelled; when the other end is gone, wait for the next."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_when_there_is_room)
            while True:
                if self._peer is None:
                    await self._meet()
                await self._receive()

    def open_link(self, device: str, *, mtu: int, mac_seed: str) -> None:
        """Make the link; it drops frames until `connected`. The two ends of one stream need different seeds."""
        self._link = StreamLink(
            self.context.interface,
            mac=self.context.mac or b"\x02" + hashlib.sha256(mac_seed.encode(errors="surrogateescape")).digest()[:5],
            mtu=self.context.mtu or mtu,
            device=device,
            log=self.log,
            on_blocked=self._on_blocked,
            has_checksums=self.has_checksums,
        )

    def connected(self, peer: socket.socket) -> None:
        """Use *peer*, a non-blocking stream socket, from now on; it is closed here."""
        self._peer = peer
        self.link.connected(peer, trio.current_time())

    async def _meet(self) -> None:
        wait = FIRST_WAIT
        while self._peer is None:
            try:
                self.connected(await self.another_end())
            except (OSError, DriverError) as error:
                self.log.debug("%s has no other end: %s", self.link.device, error)
                self.link.set_fault(str(error), trio.current_time())
                await trio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        self.log.info("%s has another end", self.link.device)

    async def _receive(self) -> None:
        """Deliver frames until the other end is gone."""
        peer = self._peer
        assert peer is not None
        while self._peer is peer:
            if self._is_behind:
                await trio.lowlevel.checkpoint()
            else:
                with trio.CancelScope() as self._pause, suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_readable(peer)
            self._receive_burst(trio.current_time())

    def frame_descriptor(self) -> int:
        """Return the socket, unless frames that it had wait for their turn."""
        return -1 if self._peer is None or self._is_behind else self._peer.fileno()

    def receive_now(self, now: float) -> None:
        """Receive one burst."""
        self._receive_burst(now)
        if self._is_behind:
            self._pause.cancel()

    def _receive_burst(self, now: float) -> None:
        """Deliver frames until the socket is empty or they are enough, or take leave of the other end."""
        link, peer = self.link, self._peer
        if peer is None:  # its end was found in the meantime
            return
        try:
            if self._is_behind:
                self._is_behind = link.deliver(now, BURST)
                return
            for _ in range(BUFFERS):
                space = link.reader.space
                count = peer.recv_into(space)
                if not count:
                    self._disconnect("it has closed the connection")
                    return
                link.reader.received(count)
                self._is_behind = link.deliver(now, BURST)
                if self._is_behind or count < len(space):
                    return
        except BlockingIOError:
            pass
        except (OSError, FramingError) as error:
            self._disconnect(str(error))

    def _disconnect(self, reason: str) -> None:
        peer, self._peer = self._peer, None
        assert peer is not None
        self._is_behind = False
        trio.lowlevel.notify_closing(peer)
        peer.close()
        reason = self.why_gone(reason)
        self.log.warning("%s has lost its other end: %s", self.link.device, reason)
        self.link.disconnected(reason, trio.current_time())

    async def _write_when_there_is_room(self) -> None:
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()
            while (peer := self._peer) is not None:
                try:
                    await trio.lowlevel.wait_writable(peer)
                except trio.ClosedResourceError:
                    break
                if self._peer is peer and self.link.flush(trio.current_time()):
                    break

    def _on_blocked(self) -> None:
        self._blocked.set()
