r"""An open conversation as a Trio stream: the files of tcp and tls in a program that uses trio.

    stream = await open_stream("/scheme/tcp/10.0.2.2:80")            # connects
    stream = SchemeStream(os.open("/scheme/tcp/7/data", os.O_RDWR))  # an accepted conversation

    await stream.send_all(b"one\ntwo\n")
    await stream.send_eof()
    async for octets in stream: ...

This module runs in the caller's process and uses the files of a mount alone. The descriptor is in non-blocking mode,
and Trio waits for it by epoll. A stream passes Trio's own checks (`trio.testing.check_half_closeable_stream`), so
`trio.abc.HalfCloseableStream` documents the calls. The reason of a failure is the OSError in `__cause__` of the
BrokenResourceError.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import trio

from schemefs.fs import mountinfo

CONVERSATION: Final = "user.conversation"  # the extended attribute: `tcp/7`


async def open_stream(path: str | os.PathLike[str]) -> SchemeStream:
    """Connect by opening *path*, such as `/scheme/tcp/HOST:PORT[,option…]`, and wait until it is connected.

    OSError: open(2) failed, or the connect did. A cancelled call gives the attempt up.
    """
    stream = SchemeStream(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    try:
        await stream.wait_send_all_might_not_block()
        poller = select.poll()
        poller.register(stream.fileno(), 0)
        if poller.poll(0):  # POLLERR
            os.fsync(stream.fileno())  # raises the errno of the connect, and never waits after an error
    except BaseException:
        stream.close()
        raise
    return stream


@final
class SchemeStream(trio.abc.HalfCloseableStream):
    """The stream of *descriptor*, an open address, `data`, `,accept`, `rx` or `tx` of tcp or tls.

    The stream takes the descriptor over: it puts the open file into non-blocking mode, and closes the descriptor.
    OSError: the descriptor is not a conversation of a schemefs; it stays the caller's.

    Closing has the meaning that closing the file has. An O_RDWR file that is closed with octets unread resets the
    connection; otherwise the octets that were sent arrive, followed by the end of the stream.
    """

    def __init__(self, descriptor: int) -> None:
        self._conversation = os.getxattr(descriptor, CONVERSATION).decode()
        self._file = trio.lowlevel.FdStream(descriptor)
        self._sending = False
        self._ended = False  # by send_eof

    def fileno(self) -> int:
        """Return the descriptor; -1 after close."""
        return self._file.fileno()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of *data*. It returns when the send buffer has the octets, not when the peer has them."""
        with self._one_sender():
            self._assert_not_ended()
            await self._file.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the send buffer has room, or the connection has failed."""
        with self._one_sender():
            self._assert_not_ended()
            await self._file.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End the sending direction, after all that was sent: FIN; over tls, close_notify and FIN.

        The conversation's `ctl` does it, so its mount must be visible to the caller.
        """
        with self._one_sender():
            if self.fileno() == -1:
                raise trio.ClosedResourceError("the stream was closed")
            await trio.lowlevel.checkpoint()
            if not self._ended:
                self._shutdown_write()
                self._ended = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return at least one octet and at most *max_bytes*; b"" at the end of the stream."""
        return await self._file.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the descriptor. Calls that wait in other tasks end with ClosedResourceError."""
        await self._file.aclose()

    def close(self) -> None:
        """Do what aclose does, without a checkpoint."""
        self._file.close()

    @contextmanager
    def _one_sender(self) -> Iterator[None]:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def _assert_not_ended(self) -> None:
        if self._ended:
            raise trio.ClosedResourceError("send_eof has ended this direction")

    def _shutdown_write(self) -> None:
        try:
            ctl = _open_ctl(self.fileno(), self._conversation)
            try:
                os.write(ctl, b"shutdown write\n")
            finally:
                os.close(ctl)
        except OSError as error:
            raise trio.BrokenResourceError from error


def _open_ctl(descriptor: int, conversation: str) -> int:
    """Open the `ctl` of *conversation* on the mount of *descriptor*: a mount point of it has the whole tree."""
    device = os.minor(os.fstat(descriptor).st_dev)
    failure: OSError = FileNotFoundError(f"no mount point of the schemefs with {conversation} is visible")
    for mount in mountinfo.mounts():
        if mount.kind == mountinfo.TYPE and mount.device == device:
            try:
                return os.open(f"{mount.path}/{conversation}/ctl", os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                failure = error
    raise failure
