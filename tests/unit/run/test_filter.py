"""The filter of `schemefs run`, run in a small interpreter of classic BPF (seccomp(2))."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from schemefs.run import filter as bpf
from schemefs.run.architectures import AARCH64, ARCHITECTURES, X86_64, Architecture

I386 = 0x40000003
ENOSYS, EPERM, EAFNOSUPPORT = (bpf.ERRNO | number for number in (errno.ENOSYS, errno.EPERM, errno.EAFNOSUPPORT))


def verdict(architecture: Architecture, number: int, *arguments: int, audit: int | None = None) -> int:
    """Return what the filter returns for a call."""
    audit = architecture.audit if audit is None else audit
    data = struct.pack("=iIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", bpf.assembled(bpf.program(architecture))))
    assert all(operation == bpf.RETURN for operation, _, _, _ in code[-1:])
    at, accumulator = 0, 0
    while True:
        operation, true, false, constant = code[at]
        at += 1
        if operation == bpf.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif operation == bpf.RETURN:
            return constant
        else:
            holds = {
                bpf.JUMP_EQUAL: accumulator == constant,
                bpf.JUMP_GREATER_OR_EQUAL: accumulator >= constant,
                bpf.JUMP_SET: bool(accumulator & constant),
            }[operation]
            at += true if holds else false


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.mark.parametrize("name", bpf.NOTIFIED)
def test_calls_on_sockets_are_notified(architecture: Architecture, name: str) -> None:
    assert verdict(architecture, architecture.numbers[name], 3) == bpf.NOTIFY


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("socket", (socket.AF_UNIX, socket.SOCK_STREAM), bpf.ALLOW),
        ("socket", (socket.AF_INET, socket.SOCK_STREAM), bpf.NOTIFY),
        ("socket", (socket.AF_PACKET, socket.SOCK_RAW), bpf.NOTIFY),
        ("socket", (1 << 32 | socket.AF_INET, 1), bpf.NOTIFY),  # the kernel takes the low half
        ("socketpair", (socket.AF_UNIX, 1), bpf.ALLOW),
        ("socketpair", (30, 1), EAFNOSUPPORT),
        ("io_uring_setup", (8,), ENOSYS),
        ("io_uring_enter", (3,), ENOSYS),
        ("io_uring_register", (3,), ENOSYS),
        ("clone3", (0x7000, 88), ENOSYS),
        ("clone", (17,), bpf.ALLOW),
        ("clone", (0x3D0F00,), bpf.ALLOW),  # a thread
        ("clone", (0x10000000 | 17,), EPERM),  # CLONE_NEWUSER
        ("clone", (0x40000000 | 17,), EPERM),  # CLONE_NEWNET
        ("unshare", (0x20000,), bpf.ALLOW),  # CLONE_NEWNS
        ("unshare", (0x50000000,), EPERM),
        ("setns", (3, 0), EPERM),
        ("pidfd_getfd", (3, 3), EPERM),
        ("ioctl", (0, 0x541B), bpf.NOTIFY),  # FIONREAD
        ("ioctl", (0, 0x5411), bpf.NOTIFY),  # SIOCOUTQ
        ("ioctl", (0, 0x88FF), bpf.ALLOW),
        ("ioctl", (0, 0x8900), bpf.NOTIFY),
        ("ioctl", (0, 0x89FF), bpf.NOTIFY),
        ("ioctl", (0, 0x8A00), bpf.ALLOW),
        ("ioctl", (0, 0x5421), bpf.ALLOW),  # FIONBIO is the kernel's own
        ("ioctl", (0, 0x5401), bpf.ALLOW),  # TCGETS
        ("ioctl", (0, 0x400454CA), EPERM),  # TUNSETIFF
        ("ptrace", (0, 0), bpf.ALLOW),  # PTRACE_TRACEME
        ("ptrace", (16, 1), bpf.NOTIFY),  # PTRACE_ATTACH
        ("ptrace", (0x4206, 1), bpf.NOTIFY),  # PTRACE_SEIZE
    ],
)
def test_verdicts_by_arguments(
    architecture: Architecture, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    assert verdict(architecture, architecture.numbers[name], *arguments) == expected


def test_every_other_call_is_allowed(architecture: Architecture) -> None:
    for number in set(range(500)) - set(architecture.numbers.values()):
        assert verdict(architecture, number, 2, 1) == bpf.ALLOW


@pytest.mark.parametrize("number", [0, 41, 102, 198, 359])
def test_another_architecture_is_killed(architecture: Architecture, number: int) -> None:
    other = X86_64 if architecture is AARCH64 else AARCH64
    for audit in (I386, other.audit):
        assert verdict(architecture, number, 2, 1, audit=audit) == bpf.KILL_PROCESS


def test_x32_is_killed() -> None:
    for number in (0x40000000, 0x40000000 | 41, 0xFFFFFFFF - (1 << 32)):
        assert verdict(X86_64, number, 2, 1) == bpf.KILL_PROCESS
