"""System call numbers of x86_64 and aarch64 (arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers of one architecture."""

    audit: int  # AUDIT_ARCH_*, which a filter sees beside each number
    numbers: Mapping[str, int]
    foreign_from: int = 0  # numbers from here on are another ABI's (x32); 0: there is none


X86_64: Final = Architecture(
    audit=0xC000003E,
    foreign_from=0x40000000,
    numbers={
        "ioctl": 16, "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
        "recvmsg": 47, "shutdown": 48, "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52,
        "socketpair": 53, "setsockopt": 54, "getsockopt": 55, "clone": 56, "ptrace": 101, "unshare": 272,
        "accept4": 288, "splice": 275,
        "recvmmsg": 299, "sendmmsg": 307, "setns": 308, "process_vm_writev": 311, "seccomp": 317, "io_uring_setup": 425,
        "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435, "pidfd_getfd": 438,
    },
)  # fmt: skip

AARCH64: Final = Architecture(
    audit=0xC00000B7,
    numbers={
        "ioctl": 29, "splice": 76, "unshare": 97, "ptrace": 117,
        "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202,
        "connect": 203, "getsockname": 204, "getpeername": 205, "sendto": 206, "recvfrom": 207, "setsockopt": 208,
        "getsockopt": 209, "shutdown": 210, "sendmsg": 211, "recvmsg": 212, "clone": 220, "accept4": 242,
        "recvmmsg": 243, "setns": 268, "sendmmsg": 269, "process_vm_writev": 271, "seccomp": 277, "io_uring_setup": 425,
        "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435, "pidfd_getfd": 438,
    },
)  # fmt: skip

ARCHITECTURES: Final[Mapping[str, Architecture]] = {"x86_64": X86_64, "aarch64": AARCH64}
"""By the machine name of uname(2)."""
