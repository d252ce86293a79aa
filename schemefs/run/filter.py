"""The seccomp filter of CMD, as a classic BPF program (seccomp(2), struct sock_filter).

    another architecture, or x32        the process is killed: its numbers mean other calls
    socket(AF_UNIX), socketpair(AF_UNIX)  allowed
    calls on sockets, ioctl of sockets  notified: the supervisor answers
    io_uring_*, clone3                  ENOSYS: a ring would make calls that no filter sees; the flags of clone3 are in
                                        memory, where a filter cannot read, and each libc falls back to clone
    new user or network namespaces, setns, pidfd_getfd   EPERM
    ptrace that attaches, process_vm_writev  notified: allowed for processes of the program's own
    ioctl TUNSETIFF                     EPERM: frames of a TUN device would be the host's network
    all others                          allowed; the kernel keeps that in a bitmap, and runs no filter for them

Children inherit the filter, and nothing can take it back.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from schemefs.run.architectures import Architecture

KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
NOTIFY: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000

LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL: Final = 0x15
JUMP_GREATER_OR_EQUAL: Final = 0x35
JUMP_SET: Final = 0x45
RETURN: Final = 0x06

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_SOCK_FILTER: Final = struct.Struct("=HBBI")

AF_UNIX: Final = 1
CLONE_NEW: Final = 0x10000000 | 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET
FIONREAD: Final = 0x541B
SIOCOUTQ: Final = 0x5411
TUNSETIFF: Final = 0x400454CA
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
SOCKET_IOCTLS: Final = (0x8900, 0x8A00)  # SIOC…, from and to

NOTIFIED: Final = (
    "connect", "accept", "accept4", "bind", "listen", "getsockname", "getpeername", "setsockopt", "getsockopt",
    "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "process_vm_writev",
    "splice",
)  # fmt: skip
"""Notified whatever their arguments are; beside them socket, ioctl and ptrace, by their arguments."""


class Instruction(NamedTuple):
    """One struct sock_filter: the operation, two jump distances, and its constant."""

    code: int
    true: int
    false: int
    constant: int


def _load(offset: int) -> Instruction:
    return Instruction(LOAD, 0, 0, offset)


def _argument(index: int) -> Instruction:
    return _load(_ARGUMENTS + 8 * index)  # its low half: little-endian


def _return(value: int) -> Instruction:
    return Instruction(RETURN, 0, 0, value)


def _if(code: int, constant: int, value: int) -> list[Instruction]:
    """Return *value* if the comparison of the accumulator holds; else go on."""
    return [Instruction(code, 0, 1, constant), _return(value)]


def _for(number: int, body: list[Instruction]) -> list[Instruction]:
    """Run *body*, which returns, for one call; the accumulator has the number."""
    return [Instruction(JUMP_EQUAL, 0, len(body), number), *body]


def program(architecture: Architecture) -> list[Instruction]:
    """Return the filter."""
    number = architecture.numbers
    code = [_load(_ARCHITECTURE), Instruction(JUMP_EQUAL, 1, 0, architecture.audit), _return(KILL_PROCESS)]
    code.append(_load(_NUMBER))
    if architecture.foreign_from:
        code += _if(JUMP_GREATER_OR_EQUAL, architecture.foreign_from, KILL_PROCESS)
    for name in NOTIFIED:
        code += _if(JUMP_EQUAL, number[name], NOTIFY)
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3"):
        code += _if(JUMP_EQUAL, number[name], ERRNO | errno.ENOSYS)
    for name in ("setns", "pidfd_getfd"):
        code += _if(JUMP_EQUAL, number[name], ERRNO | errno.EPERM)
    for name, otherwise in (("socket", NOTIFY), ("socketpair", ERRNO | errno.EAFNOSUPPORT)):
        code += _for(number[name], [_argument(0), *_if(JUMP_EQUAL, AF_UNIX, ALLOW), _return(otherwise)])
    for name in ("clone", "unshare"):
        code += _for(number[name], [_argument(0), *_if(JUMP_SET, CLONE_NEW, ERRNO | errno.EPERM), _return(ALLOW)])
    attaches = [*_if(JUMP_EQUAL, PTRACE_ATTACH, NOTIFY), *_if(JUMP_EQUAL, PTRACE_SEIZE, NOTIFY)]
    code += _for(number["ptrace"], [_argument(0), *attaches, _return(ALLOW)])
    return [*code, *_for(number["ioctl"], _ioctl()), _return(ALLOW)]


def _ioctl() -> list[Instruction]:
    first, end = SOCKET_IOCTLS
    return [
        _argument(1),
        *_if(JUMP_EQUAL, FIONREAD, NOTIFY),
        *_if(JUMP_EQUAL, SIOCOUTQ, NOTIFY),
        *_if(JUMP_EQUAL, TUNSETIFF, ERRNO | errno.EPERM),
        Instruction(JUMP_GREATER_OR_EQUAL, 0, 2, first),
        Instruction(JUMP_GREATER_OR_EQUAL, 1, 0, end),
        _return(NOTIFY),
        _return(ALLOW),
    ]


def assembled(instructions: Iterable[Instruction]) -> bytes:
    """Return the program as the kernel takes it."""
    return b"".join(_SOCK_FILTER.pack(*instruction) for instruction in instructions)
