"""sendto, recvfrom, sendmsg, recvmsg, sendmmsg and recvmmsg on sockets of the mount (struct msghdr, struct mmsghdr)."""

from __future__ import annotations

import errno
from typing import Final

from schemefs.run import sockaddr, transfer, unix_sockets
from schemefs.run.call import LARGEST_TRANSFER, MAX_VECTORS, Call, Description, Failed
from schemefs.run.message import CONTROL_LENGTH, FLAGS, LENGTH, MMSGHDR_SIZE, NAME_LENGTH, read_message
from schemefs.run.session import Outcome, Result, Session, native
from schemefs.run.sockaddr import Address
from schemefs.run.sockets import Socket
from schemefs.run.transfer import DONTWAIT, PEEK, TRUNC

_WAITFORONE: Final = 0x10000


def _destination(call: Call, found: Socket, name: int, length: int) -> Address | None:
    if not name:
        return None
    family, address = sockaddr.read(call, name, length)
    if found.is_stream:
        return None
    if family == sockaddr.AF_UNSPEC:
        raise Failed(errno.EINVAL)
    address = found.checked(family, address)
    call.about = f"{found.name}, {address}"
    return address


# Sending


def sendto(session: Session, call: Call) -> Result:
    """Send a buffer."""
    found, description = session.sockets.find(call)
    if found is None:
        return native(call, description)
    _, buffer, size, _, name, _ = call.arguments
    destination = _destination(call, found, name, call.integer(5))
    _check_length(found, size)
    return _transmit(session, call, found, description, [(buffer, size)], call.integer(3), destination)


def _transmit(
    session: Session, call: Call, found: Socket, description: Description, vectors: list[tuple[int, int]], flags: int,
    destination: Address | None,
) -> int:  # fmt: skip
    """Send what the vectors hold. A stream's call that may wait returns when all was taken, or a part and a failure."""
    size = sum(length for _, length in vectors)
    if not found.is_stream or size <= LARGEST_TRANSFER or description.nonblocking or flags & DONTWAIT:
        return transfer.send(session, call, found, description, call.gather(vectors), flags, destination)
    sent = 0
    try:
        for piece in call.pieces(vectors):
            rest = piece
            while rest:
                count = transfer.send(session, call, found, description, rest, flags, destination)
                sent, rest, flags = sent + count, rest[count:], flags | transfer.NOSIGNAL
    except (Failed, OSError):
        if not sent:
            raise
    return sent


def _check_length(found: Socket, size: int) -> None:
    if not found.is_stream and size > transfer.LARGEST_DATAGRAM:
        raise Failed(errno.EMSGSIZE)


def sendmsg(session: Session, call: Call) -> Result:
    """Send the vectors of a message. Its ancillary data has no meaning here."""
    found, description = session.sockets.find(call)
    if found is None:
        return native(call, description)
    return _send(session, call, found, description, call.arguments[1], call.integer(2))


def _send(session: Session, call: Call, found: Socket, description: Description, place: int, flags: int) -> int:
    message = read_message(call, place)
    destination = _destination(call, found, message.name, message.name_length)
    _check_length(found, message.size)
    return _transmit(session, call, found, description, message.vectors, flags, destination)


def sendmmsg(session: Session, call: Call) -> Result:
    """Send several messages; return how many."""
    found, description = session.sockets.find(call)
    if found is None:
        return native(call, description)
    _, first, count, *_ = call.arguments
    flags = call.integer(3)
    for index in range(min(count & 0xFFFFFFFF, MAX_VECTORS)):
        place = first + index * MMSGHDR_SIZE
        try:
            sent = _send(session, call, found, description, place, flags)
        except (Failed, OSError):
            if index:
                return index
            raise
        call.write_integer(place + LENGTH, sent)
    return min(count & 0xFFFFFFFF, MAX_VECTORS)


# Receiving


def recvfrom(session: Session, call: Call) -> Result:
    """Receive into a buffer."""
    found, description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    _, buffer, size, _, name, length = call.arguments
    flags = call.integer(3)
    received = transfer.receive(session, call, found, description, size, flags)
    octets = received.octets[:size]
    if not (found.is_stream and flags & TRUNC):
        call.write(buffer, octets)
    sockaddr.write(call, name, length, transfer.source_of(found, received))
    return received.length if flags & TRUNC else len(octets)


def recvmsg(session: Session, call: Call) -> Result:
    """Receive into the vectors of a message. On AF_UNIX: `unix_sockets`."""
    found, description = session.sockets.find(call)
    if found is None:
        return unix_sockets.recvmsg(session, call, description)
    return _receive(session, call, found, description, call.arguments[1], call.integer(2))


def _receive(session: Session, call: Call, found: Socket, description: Description, place: int, flags: int) -> int:
    message = read_message(call, place)
    size = message.size
    received = transfer.receive(session, call, found, description, size, flags)
    octets = received.octets[:size]
    call.scatter(message.vectors, octets)
    if message.name:
        source = transfer.source_of(found, received)
        call.write(message.name, source[: message.name_length])
        call.write_integer(place + NAME_LENGTH, len(source))
    call.write(place + CONTROL_LENGTH, bytes(8))
    call.write_integer(place + FLAGS, TRUNC if received.length > len(octets) else 0)
    return received.length if flags & TRUNC else len(octets)


def splice(session: Session, call: Call) -> Result:
    """Refuse to splice from a socket, as a file system may that has no splice: programs then read.

    The kernel splices from a file up to its size, which is 0 here, so the program would see the end of the stream.
    """
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    raise Failed(errno.EINVAL, "splice from a socket", expected=True)


def recvmmsg(session: Session, call: Call) -> Result:
    """Receive several messages; return how many. The first may wait; its time-out is looked at between messages."""
    found, description = session.sockets.find(call)
    if found is None:
        return unix_sockets.recvmmsg(session, call, description)
    _, first, count, *_ = call.arguments
    flags = call.integer(3)
    count = min(count & 0xFFFFFFFF, MAX_VECTORS)
    for index in range(count):
        place = first + index * MMSGHDR_SIZE
        try:
            length = _receive(session, call, found, description, place, flags & ~_WAITFORONE)
        except (Failed, OSError):
            if index:
                return index
            raise
        call.write_integer(place + LENGTH, length)
        if flags & _WAITFORONE:
            flags |= DONTWAIT
        if flags & PEEK:
            return index + 1  # the next one can't be seen before this one is taken
    return count
