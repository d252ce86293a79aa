"""The kernel's side of seccomp user notification: install a filter, receive calls, reply (seccomp_unotify(2))."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
from contextlib import suppress
from typing import Final, NamedTuple

from schemefs.errors import StartError
from schemefs.run.architectures import Architecture
from schemefs.run.filter import assembled, program

libc = ctypes.CDLL(None, use_errno=True)

_NO_NEW_PRIVS: Final = 38  # prctl(2)
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5  # Linux 5.19: once received, only a fatal signal ends the caller's wait

_RECEIVE, _SEND, _IS_VALID, _ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_SET_FLAGS: Final = 0x40082104
_SYNC_WAKE_UP: Final = 1  # Linux 6.6: the kernel switches to the supervisor on the caller's processor
_CONTINUE: Final = 1
_AT_NUMBER, _AND_REPLY = 1, 2  # of _ADD_DESCRIPTOR

_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")
_DESCRIPTOR: Final = struct.Struct("=QIIII")
_IDENTIFIER: Final = struct.Struct("=Q")


class Notification(NamedTuple):
    """A call that waits for a reply."""

    identifier: int
    thread: int  # its thread id
    number: int  # of the system call
    arguments: tuple[int, ...]


def install(architecture: Architecture) -> int:
    """In the child: put the filter in force, for ever; return the listener's descriptor. OSError, StartError: refused.

    Set-user-id programs run without their privileges from now on.
    """
    code = assembled(program(architecture))
    instructions = ctypes.create_string_buffer(code, len(code))
    filter_program = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        listener = libc.syscall(architecture.numbers["seccomp"], _SET_MODE_FILTER, flags, filter_program)
        if listener >= 0:
            return int(listener)
        if ctypes.get_errno() == errno.EBUSY:
            raise StartError("a program under schemefs run can't be another one: a process has one such filter")
        if ctypes.get_errno() != errno.EINVAL:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Listener:
    """The supervisor's end. All methods may be called by any thread."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        with suppress(OSError):  # an older kernel
            fcntl.ioctl(descriptor, _SET_FLAGS, _SYNC_WAKE_UP)

    def receive(self) -> Notification | None:
        """Wait for the next call. None: no process has the filter any more."""
        while True:
            buffer = bytearray(_NOTIFICATION.size)
            try:
                fcntl.ioctl(self.descriptor, _RECEIVE, buffer)
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
                if self._is_over():  # else the caller was killed between the wake-up and the copy
                    return None
                continue
            identifier, thread, _flags, number, _arch, _pointer, *arguments = _NOTIFICATION.unpack(buffer)
            return Notification(identifier, thread, number, tuple(arguments))

    def _is_over(self) -> bool:
        poller = select.poll()
        poller.register(self.descriptor, 0)
        return bool(poller.poll(0))

    def is_valid(self, notification: Notification) -> bool:
        """Return whether the caller still waits: its thread id is that of no other thread."""
        try:
            fcntl.ioctl(self.descriptor, _IS_VALID, _IDENTIFIER.pack(notification.identifier))
        except FileNotFoundError:
            return False
        return True

    def reply(self, notification: Notification, value: int = 0, error: int = 0) -> None:
        """End the call with *value*, or the errno *error*. A caller that has gone is no error."""
        self._send(notification, value, -error, 0)

    def let_pass(self, notification: Notification) -> None:
        """Have the kernel run the call itself. Never for a decision that rests on the caller's memory."""
        self._send(notification, 0, 0, _CONTINUE)

    def _send(self, notification: Notification, value: int, error: int, flags: int) -> None:
        with suppress(FileNotFoundError):
            fcntl.ioctl(self.descriptor, _SEND, _RESPONSE.pack(notification.identifier, value, error, flags))

    def add_descriptor(
        self, notification: Notification, descriptor: int, *, at: int = -1, close_on_exec: bool = False
    ) -> int:
        """Give the caller a duplicate of *descriptor*: at the number *at*, which it replaces, or at the lowest free."""
        return self._add(notification, descriptor, at, close_on_exec, 0)

    def reply_with_descriptor(self, notification: Notification, descriptor: int, *, close_on_exec: bool) -> int:
        """End the call with the number of a duplicate of *descriptor*, in one step; return the number."""
        return self._add(notification, descriptor, -1, close_on_exec, _AND_REPLY)

    def _add(self, notification: Notification, descriptor: int, at: int, close_on_exec: bool, flags: int) -> int:
        flags |= _AT_NUMBER if at >= 0 else 0
        number = max(at, 0)
        request = _DESCRIPTOR.pack(
            notification.identifier, flags, descriptor, number, os.O_CLOEXEC if close_on_exec else 0
        )
        # Of bytes, ioctl would return a copy instead of the number.
        return int(fcntl.ioctl(self.descriptor, _ADD_DESCRIPTOR, bytearray(request)))
