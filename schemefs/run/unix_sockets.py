"""recvmsg and recvmmsg on AF_UNIX: made here, so that no socket of the host's network comes in by SCM_RIGHTS.

All other calls on AF_UNIX are native. These two are not passed on, whatever the message has room for: another thread
of the program could change it between the look here and the call in the kernel. A descriptor that leads around the
mount (`inherited.forbidden`) is closed, and the message has MSG_CTRUNC, as one whose descriptors had no room.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket as kernel_socket
import struct
from typing import Final

from schemefs.run import inherited
from schemefs.run.call import LARGEST_TRANSFER, Call, Description, Failed
from schemefs.run.message import CONTROL_LENGTH, FLAGS, LENGTH, NAME_LENGTH, Message, read_message
from schemefs.run.session import Outcome, Result, Session, native

_CMSGHDR: Final = struct.Struct("=Qii")
_CMSG_CLOEXEC: Final = int(kernel_socket.MSG_CMSG_CLOEXEC)
_DONTWAIT: Final = int(kernel_socket.MSG_DONTWAIT)
LARGEST_CONTROL: Final = 1 << 16
NAME_SERVICES: Final = (
    b"/var/run/nscd/socket",
    b"/run/nscd/socket",
    b"/run/systemd/resolve/io.systemd.Resolve",
    b"/run/avahi-daemon/socket",
)
"""Services of the host that ask for names on behalf of libc, in the host's network."""

_Message = tuple[bytes, list[tuple[int, int, bytes]], int, str | bytes | None]


def connect(call: Call, description: Description) -> Result:
    """Refuse the services that ask for names in the host's network: libc then asks itself, through the mount.

    An AF_UNIX socket reaches no network whatever its address, so all other connects are native.
    """
    result = native(call, description)
    length = call.integer(2)
    if 2 < length <= 110 and call.read(call.arguments[1], length)[2:].partition(b"\0")[0] in NAME_SERVICES:
        raise Failed(errno.ECONNREFUSED, "names are asked for through the mount", expected=True)
    return result


def recvmsg(session: Session, call: Call, description: Description) -> Result:
    """Receive one message."""
    found = _socket(call)
    if found is None:
        return Outcome.NATIVE  # EBADF or ENOTSOCK, by the kernel
    with found:
        return _receive(session, call, description, found, call.arguments[1], call.integer(2))


def recvmmsg(session: Session, call: Call, description: Description) -> Result:
    """Receive one message, which is fewer than asked for, as recvmmsg may."""
    found = _socket(call)
    if found is None:
        return Outcome.NATIVE
    if not call.arguments[2]:
        return 0
    with found:
        place = call.arguments[1]
        length = _receive(session, call, description, found, place, call.integer(3) & ~0x10000)  # MSG_WAITFORONE
        call.write_integer(place + LENGTH, length)
        return 1


def _socket(call: Call) -> kernel_socket.socket | None:
    """Return a duplicate of the caller's AF_UNIX socket; None: it is no socket. EAFNOSUPPORT: it is another one."""
    try:
        target = os.readlink(f"/proc/{call.thread}/fd/{call.integer(0)}")
    except OSError:
        return None
    if not target.startswith("socket:"):
        return None
    found = kernel_socket.socket(fileno=call.duplicate(call.integer(0)))
    if found.family != kernel_socket.AF_UNIX:
        found.close()
        raise Failed(errno.EAFNOSUPPORT, f"descriptor {call.integer(0)} is a socket of the host")
    return found


def _receive(
    session: Session, call: Call, description: Description, found: kernel_socket.socket, place: int, flags: int
) -> int:
    message = read_message(call, place)
    waits = not (description.nonblocking or flags & _DONTWAIT)
    room = min(message.control_length, LARGEST_CONTROL)
    ways = (flags & ~_CMSG_CLOEXEC) | _DONTWAIT | _CMSG_CLOEXEC
    size = min(message.size, LARGEST_TRANSFER)
    while (received := _received(found, size, room, ways)) is None:
        if not waits:
            raise Failed(errno.EAGAIN)
        session.waits.poll(call, found.fileno(), select.POLLIN, _timeout(found))
    octets, control, shown, source = received
    call.scatter(message.vectors, octets)
    ancillary, is_cut = _handed_over(session, call, control, message, close_on_exec=bool(flags & _CMSG_CLOEXEC))
    call.write(message.control, ancillary)
    if message.name:
        name = _packed(source)
        call.write(message.name, name[: message.name_length])
        call.write_integer(place + NAME_LENGTH, len(name))
    call.write(place + CONTROL_LENGTH, struct.pack("=Q", len(ancillary)))
    shown = (shown & ~_CMSG_CLOEXEC) | (flags & _CMSG_CLOEXEC)
    call.write_integer(place + FLAGS, shown | (kernel_socket.MSG_CTRUNC if is_cut else 0))
    return len(octets)


def _received(found: kernel_socket.socket, size: int, room: int, flags: int) -> _Message | None:
    """Return a message; None: none waits."""
    try:
        return found.recvmsg(size, room, flags)
    except BlockingIOError:
        return None


def _timeout(found: kernel_socket.socket) -> float:
    whole, micro = struct.unpack("=qq", found.getsockopt(kernel_socket.SOL_SOCKET, kernel_socket.SO_RCVTIMEO, 16))
    return float(whole + micro / 1e6)


def _handed_over(
    session: Session, call: Call, control: list[tuple[int, int, bytes]], message: Message, *, close_on_exec: bool
) -> tuple[bytes, bool]:
    """Return the control message for the caller, with descriptors of its own, and whether some were left out."""
    packed, is_cut = b"", False
    for level, kind, data in control:
        if (level, kind) == (kernel_socket.SOL_SOCKET, kernel_socket.SCM_RIGHTS):
            numbers = _given(session, call, data, close_on_exec=close_on_exec)
            is_cut |= len(numbers) * 4 < len(data)
            data = numbers.tobytes()  # noqa: PLW2901 - the same octets, as the caller knows them
            if not data:
                continue
        header = _CMSGHDR.pack(_CMSGHDR.size + len(data), level, kind)
        packed += (header + data).ljust((_CMSGHDR.size + len(data) + 7) & ~7, b"\0")
    return packed[: message.control_length], is_cut


def _given(session: Session, call: Call, data: bytes, *, close_on_exec: bool) -> array.array[int]:
    """Give the caller the descriptors of SCM_RIGHTS, but for those that lead around the mount; return their numbers."""
    received, given = array.array("i"), array.array("i")
    received.frombytes(data[: len(data) // 4 * 4])
    refused = ""
    for descriptor in received:
        try:
            refused = inherited.forbidden(descriptor) or refused
            if not inherited.forbidden(descriptor):
                given.append(
                    session.listener.add_descriptor(call.notification, descriptor, close_on_exec=close_on_exec)
                )
        finally:
            os.close(descriptor)
    if refused:
        session.say(call, f"a descriptor that was passed is {refused}: closed, the program may not have it")
    return given


def _packed(source: str | bytes | None) -> bytes:
    """Return the struct sockaddr_un of a sender; empty: it has no name."""
    if not source:
        return b""
    family = struct.pack("=H", kernel_socket.AF_UNIX)
    return family + (source if isinstance(source, bytes) else os.fsencode(source) + b"\0")
