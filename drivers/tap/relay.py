"""A name server of the option `uplink`: it passes queries at 10.0.2.3:53, or [fd00:10:0:2::3]:53, on to the resolvers.

    us ── query ──> relay ── the same query, from a port of its own ──> the first resolver that answers
                      └── none does: SERVFAIL (RFC 1035 §4.1.1)

The relay reads the header of a message only, and passes answers on unchanged; a truncated answer makes the client ask
again by TCP. It listens on the TAP alone, so it is no resolver for other hosts. The resolvers, of either family, are
those of the host's resolv.conf; it is read anew for each query, because the host may have moved to another network.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from schemefs.net.host_address import HostAddress

log = logging.getLogger("schemefs.uplink")

RESOLV_CONF: Final = Path("/etc/resolv.conf")
PORT: Final = 53
RESOLVER_TIMEOUT: Final = 2.0  # seconds for one resolver
TCP_TIMEOUT: Final = 10.0  # seconds for a whole TCP connection (RFC 7766 §6.2.3)
ACCEPT_PAUSE: Final = 0.1  # seconds until accept is tried again
MAX_QUERIES: Final = 64  # in progress; more are dropped, and a client asks again (RFC 1035 §4.2.1)
LARGEST: Final = 65535
_HEADER: Final = 12


class Relay:
    """Answers at *address* on the interface *tap*. *resolver* replaces those in resolv.conf."""

    def __init__(self, address: HostAddress, tap: str, resolver: HostAddress | None = None) -> None:
        """Bind port 53. OSError: another process has it."""
        self.address = address
        self.answered = 0
        self.failed = 0
        self._resolver = resolver
        self._queries = 0
        self._sockets: list[socket.socket] = []
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                family = socket.AF_INET if address.version == 4 else socket.AF_INET6
                opened = socket.socket(family, kind | socket.SOCK_CLOEXEC)
                self._sockets.append(opened)
                if kind == socket.SOCK_STREAM:
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
                opened.bind((str(address), PORT))
            self._sockets[1].listen(16)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the sockets. `run` must have been cancelled before."""
        for opened in self._sockets:
            opened.close()

    async def run(self) -> None:
        """Answer until cancelled."""
        datagrams, connections = self._sockets
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(connections))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, listener, nursery)
            await self._relay_datagrams(trio.socket.from_stdlib_socket(datagrams), nursery)

    def resolvers(self) -> list[str]:
        """Return the addresses of the resolvers, the preferred one first."""
        if self._resolver is not None:
            return [str(self._resolver)]
        found: list[str] = []
        try:
            lines = RESOLV_CONF.read_text(errors="replace").splitlines()
        except OSError as error:
            log.warning("the host's resolvers can't be read: %s", error)
            return found
        for line in lines:
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                with suppress(ValueError):
                    if ip_address(words[1].partition("%")[0]) != self.address:
                        found.append(words[1])
        return found

    # UDP

    async def _relay_datagrams(self, ours: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                query, client = await ours.recvfrom(LARGEST)
            except OSError as error:  # an ICMP error about an earlier answer
                log.debug("an earlier answer did not arrive: %s", error)
                continue
            if len(query) >= _HEADER and self._queries < MAX_QUERIES:
                self._queries += 1
                nursery.start_soon(self._answer, ours, query, client)

    async def _answer(self, ours: trio.socket.SocketType, query: bytes, client: tuple[object, ...]) -> None:
        try:
            reply = b""
            for resolver in self.resolvers():
                reply = await _ask(resolver, query)
                if reply:
                    break
            if reply:
                self.answered += 1
            else:
                self.failed += 1
                reply = server_failure(query)
            with suppress(OSError):  # the client has gone
                await ours.sendto(reply, client)
        finally:
            self._queries -= 1

    # TCP

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                client = await listener.accept()
            except OSError as error:  # no file descriptor is left: the client waits in the kernel's queue
                log.warning("a connection can't be accepted: %s", error.strerror)
                await trio.sleep(ACCEPT_PAUSE)
            else:
                nursery.start_soon(self._relay_stream, client)

    async def _relay_stream(self, client: trio.SocketStream) -> None:
        async with client:
            with trio.move_on_after(TCP_TIMEOUT), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                for resolver in self.resolvers():
                    server = await _connect(resolver)
                    if server is not None:
                        async with server, trio.open_nursery() as nursery:
                            nursery.start_soon(_pump, client, server)
                            await _pump(server, client)
                            nursery.cancel_scope.cancel()
                        return


async def _ask(resolver: str, query: bytes) -> bytes:
    """Return the resolver's answer; empty: none came in time."""
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    try:
        with trio.socket.socket(family, socket.SOCK_DGRAM) as theirs, trio.move_on_after(RESOLVER_TIMEOUT):
            await theirs.connect((resolver, PORT))
            await theirs.send(query)
            while True:
                reply = await theirs.recv(LARGEST)
                if reply[:2] == query[:2]:
                    return reply
    except OSError as error:
        log.debug("resolver %s: %s", resolver, error)
    return b""


async def _connect(resolver: str) -> trio.SocketStream | None:
    with trio.move_on_after(RESOLVER_TIMEOUT):
        try:
            return await trio.open_tcp_stream(resolver, PORT)
        except OSError as error:
            log.debug("resolver %s by TCP: %s", resolver, error)
    return None


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    async for octets in source:
        await sink.send_all(octets)
    await sink.send_eof()


def server_failure(query: bytes) -> bytes:
    """Return SERVFAIL for *query*: QR and RA set, RCODE 2 (RFC 1035 §4.1.1)."""
    return query[:2] + bytes((query[2] | 0x80, 0x82)) + query[4:]
