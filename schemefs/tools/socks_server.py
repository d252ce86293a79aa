"""Serves SOCKS5 clients of the host by conversations of a mount: a task per client, which negotiates and then relays.

    client ── UNIX socket or loopback ── negotiate, connect ── tcp/HOST:PORT of the mount ── peer

Each direction ends by itself: the FIN of one side is the FIN to the other. A reset of one side is one to the other.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from struct import pack
from typing import Final

import trio

from schemefs.command.mountpoint import GONE
from schemefs.stream import SchemeStream, open_stream
from schemefs.tools.conversation_name import conversation_of
from schemefs.tools.exit_status import show
from schemefs.tools.find_mount import failure, is_served
from schemefs.tools.served_lines import Connection, ServedLines
from schemefs.tools.socks5 import FAILED, REPLIES, SUCCEEDED, Negotiation, RefusedError, Request, reply

NEGOTIATE_WITHIN: Final = 10.0  # seconds: a client that does not ask must not keep a place
CHUNK: Final = 1 << 16
_RESET: Final = pack("ii", 1, 0)  # SO_LINGER: close sends RST


class SocksServer:
    """*limit* clients are served at a time; further ones wait in the backlog of *listener*. *ending* are signals."""

    def __init__(
        self, tree: Path, listener: socket.socket, limit: int, ending: Sequence[signal.Signals], lines: ServedLines
    ) -> None:
        self._tree = tree
        self._listener = trio.socket.from_stdlib_socket(listener)
        self._places = trio.Semaphore(limit)
        self._lines = lines
        self._ending = ending
        self._scope = trio.CancelScope()
        self.fault = ""  # why `serve` has returned without a signal

    async def serve(self) -> None:
        """Serve until SIGINT, SIGTERM, SIGHUP, or the end of the mount. The signals were blocked before."""
        with trio.open_signal_receiver(*self._ending) as signals, self._scope:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._ending)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, nursery)
                async for _ in signals:
                    self._scope.cancel()

    async def _serve(self, nursery: trio.Nursery) -> None:
        while True:
            await self._places.acquire()
            nursery.start_soon(self._client, trio.SocketStream(await self._accepted()))

    async def _accepted(self) -> trio.socket.SocketType:
        while True:
            try:
                client, _ = await self._listener.accept()
            except OSError as error:  # the client has gone already, or descriptors are used up
                show(f"schemefs: a client could not be accepted: {error.strerror}", error=True)
                await trio.sleep(0.1)
            else:
                return client

    async def _client(self, client: trio.SocketStream) -> None:
        try:
            async with client:
                await self._negotiate_and_relay(client)
        except trio.BrokenResourceError:
            pass  # the client has gone
        except OSError as error:  # of a file of the conversation, which has ended meanwhile
            show(f"schemefs: a client was left: {error}", error=True)
        finally:
            self._places.release()

    async def _negotiate_and_relay(self, client: trio.SocketStream) -> None:
        negotiation = Negotiation()
        with trio.move_on_after(NEGOTIATE_WITHIN):
            try:
                while negotiation.request is None:
                    octets = await client.receive_some(CHUNK)
                    if not octets:
                        return
                    if answer := negotiation.receive(octets):
                        await client.send_all(answer)
            except RefusedError as error:
                show(f"schemefs: {error}", error=True)
                if error.reply:
                    await client.send_all(error.reply)
                return
        if negotiation.request is not None:
            stream = await self._connect(negotiation.request, client)
            if stream is not None:
                await self._relay(negotiation, client, stream)

    async def _connect(self, request: Request, client: trio.SocketStream) -> SchemeStream | None:
        path = f"tcp/{request}"
        try:
            stream = await open_stream(self._tree / path)
        except OSError as error:
            sentence = failure(self._tree, path, error)
            if error.errno in GONE and not is_served(self._tree):
                self.fault = f"the mount {self._tree} has ended"
                self._scope.cancel()
            show(f"schemefs: {sentence}", error=True)
            await client.send_all(reply(REPLIES.get(error.errno or 0, FAILED)))
            return None
        return stream

    async def _relay(self, negotiation: Negotiation, client: trio.SocketStream, stream: SchemeStream) -> None:
        async with stream:
            name = conversation_of(stream.fileno())
            local = (self._tree / name / "local").read_text().strip()
            self._lines.connection(Connection(name, str(negotiation.request), local), "to")
            await client.send_all(reply(SUCCEEDED, local))
            try:
                if negotiation.rest:
                    await stream.send_all(negotiation.rest)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_copy, client, stream)
                    nursery.start_soon(_copy, stream, client)
            except* trio.BrokenResourceError:
                if client.socket.family == socket.AF_INET:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def _copy(source: trio.abc.ReceiveStream, target: trio.abc.HalfCloseableStream) -> None:
    """Copy all octets, then the end."""
    while octets := await source.receive_some(CHUNK):
        await target.send_all(octets)
    await target.send_eof()
