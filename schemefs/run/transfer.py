"""Octets and datagrams between the caller's memory and a socket's file: what send and receive share."""

from __future__ import annotations

import errno
import os
import select
import signal
from contextlib import suppress
from typing import Final, NamedTuple

from schemefs.run import opening, sockaddr, timeouts
from schemefs.run.call import LARGEST_TRANSFER, Call, Description, Failed
from schemefs.run.session import Session
from schemefs.run.sockaddr import Address
from schemefs.run.sockets import Socket, State

PEEK, TRUNC, DONTWAIT, WAITALL = 0x2, 0x20, 0x40, 0x100
OOB, ERRQUEUE, NOSIGNAL, FASTOPEN = 0x1, 0x2000, 0x4000, 0x20000000
LARGEST_DATAGRAM: Final = 65_535
_LONGEST_LINE: Final = 64  # of the address before a datagram


class Received(NamedTuple):
    """What a receive has taken or seen."""

    octets: bytes
    source: Address | None = None  # of a datagram
    length: int = 0  # of the whole datagram, or of the octets


def send(
    session: Session, call: Call, found: Socket, description: Description, octets: bytes, flags: int,
    destination: Address | None,
) -> int:  # fmt: skip
    """Send; return how many octets were taken."""
    if flags & OOB:
        raise Failed(errno.EOPNOTSUPP, "urgent data (MSG_OOB)")
    if found.is_stream:
        if flags & FASTOPEN:
            raise Failed(errno.EOPNOTSUPP, "TCP Fast Open (MSG_FASTOPEN)")
        if found.state in (State.NEW, State.LISTENING):
            _raise_pipe(call, flags)
        prefix = b""
    else:
        prefix = _prefix(session, call, found, description, destination)
    descriptor = call.duplicate(call.integer(0))
    try:
        return _write(session, call, descriptor, description, prefix + octets, flags) - len(prefix)
    except BrokenPipeError:
        _raise_pipe(call, flags)
        raise
    finally:
        os.close(descriptor)


def _raise_pipe(call: Call, flags: int) -> None:
    """Fail with EPIPE, and send SIGPIPE unless the caller does not want it."""
    if not flags & NOSIGNAL:
        with suppress(OSError):
            signal.pidfd_send_signal(call.process, signal.SIGPIPE)
    raise Failed(errno.EPIPE)


def _prefix(
    session: Session, call: Call, found: Socket, description: Description, destination: Address | None
) -> bytes:
    """Return the line that a datagram to *destination* begins with; empty for a connected socket."""
    with found.lock:
        if destination is None:
            if found.state is not State.CONNECTED:
                raise Failed(errno.EDESTADDRREQ)
            return b""
        if found.state is State.CONNECTED:
            if destination == found.remote:
                return b""
            raise Failed(errno.EISCONN, f"{found.name} is connected, and can't send to {destination} as well")
        if found.state is State.DISSOLVED:
            opening.renew(session, call, found, description)
        if found.state is State.NEW:
            opening.announce(session, found, found.any_address)
    return f"{session.name_servers.redirect(destination)}\n".encode()


def _write(session: Session, call: Call, descriptor: int, description: Description, octets: bytes, flags: int) -> int:
    if description.nonblocking:
        return os.write(descriptor, octets)
    if flags & DONTWAIT:
        twin = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.write(twin, octets)
        finally:
            os.close(twin)
    return session.waits.write(call, descriptor, octets)


def receive(session: Session, call: Call, found: Socket, description: Description, size: int, flags: int) -> Received:
    """Receive at most *size* octets, or one datagram."""
    if flags & OOB:
        raise Failed(errno.EINVAL)
    if flags & ERRQUEUE:
        raise Failed(errno.EAGAIN)
    if found.is_stream and found.state in (State.NEW, State.LISTENING):
        raise Failed(errno.ENOTCONN)
    if found.state in (State.NEW, State.DISSOLVED):  # udp: receives from any peer, once it has a port
        with found.lock:
            if found.state is State.DISSOLVED:
                opening.renew(session, call, found, description)
            opening.announce(session, found, found.any_address)
    descriptor = call.duplicate(call.integer(0))
    try:
        waits = not (description.nonblocking or flags & DONTWAIT)
        if found.is_stream:
            return _receive_stream(session, call, found, descriptor, size, flags, waits)
        return _receive_datagram(session, call, found, descriptor, flags, description, waits)
    finally:
        os.close(descriptor)


def _receive_stream(
    session: Session, call: Call, found: Socket, descriptor: int, size: int, flags: int, waits: bool
) -> Received:
    if flags & PEEK:
        octets = _peek(session, call, found, descriptor, waits)[:size]
        return Received(octets, None, len(octets))
    taken = bytearray(_read(session, call, descriptor, min(size, LARGEST_TRANSFER), flags, waits))
    while flags & WAITALL and waits and taken and len(taken) < size:
        try:
            more = session.waits.read(call, descriptor, min(size - len(taken), LARGEST_TRANSFER))
        except (Failed, OSError):  # a signal, the time-out, a reset: what has come must not be lost
            break
        if not more:
            break
        taken += more
    return Received(bytes(taken), None, len(taken))


def _receive_datagram(
    session: Session, call: Call, found: Socket, descriptor: int, flags: int, description: Description, waits: bool
) -> Received:
    if flags & PEEK:
        octets = _peek(session, call, found, descriptor, waits)
    else:
        octets = _read(session, call, descriptor, LARGEST_DATAGRAM + _LONGEST_LINE, flags, waits)
    if found.state is not State.ANNOUNCED:
        return Received(octets, found.remote, len(octets))
    line, _, payload = octets.partition(b"\n")
    source = sockaddr.parse(line.partition(b" ")[0].decode())
    return Received(payload, session.name_servers.restore(source) if source is not None else None, len(payload))


def _read(session: Session, call: Call, descriptor: int, size: int, flags: int, waits: bool) -> bytes:
    if waits:
        return session.waits.read(call, descriptor, size)
    if not flags & DONTWAIT or os.get_blocking(descriptor) is False:
        return os.read(descriptor, size)
    twin = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(twin, size)
    finally:
        os.close(twin)


def _peek(session: Session, call: Call, found: Socket, descriptor: int, waits: bool) -> bytes:
    while True:
        try:
            return os.getxattr(descriptor, "user.peek")
        except BlockingIOError:
            if not waits:
                raise
        session.waits.poll(call, descriptor, select.POLLIN, timeouts.receiving(found))


def source_of(found: Socket, received: Received) -> bytes:
    """Return the sockaddr that a receive shows; empty for a stream, as on Linux."""
    if found.is_stream or received.source is None:
        return b""
    return sockaddr.packed(received.source, found.family)
