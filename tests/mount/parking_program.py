"""Parks COUNT requests on one stream in the way WAY: `parking_program.py PATH WAY COUNT [UID]`. It ends when killed.

It writes to the stream first: the kernel then takes the largest write for the size of the file, and passes on requests
that it answers by itself for an empty file. Each request is made by a thread of its own, since it may block its caller.
A line `ERRNO` or `=RESULT` is printed for each request that is answered.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

# Numbers of system calls that differ between architectures.
NUMBERS: Final = {"x86_64": (9, 206, 208, 209), "aarch64": (222, 0, 4, 2)}
MMAP, IO_SETUP, IO_GETEVENTS, IO_SUBMIT = NUMBERS[os.uname().machine]
IO_URING_SETUP: Final = 425
IO_URING_ENTER: Final = 426
PREAD, PWRITE, FSYNC = 0, 1, 2  # IOCB_CMD_… of io_submit(2)
IORING_OP_FSYNC: Final = 3
IORING_OP_READ: Final = 22
IORING_OFF_SQES: Final = 0x10000000
IOSQE_ASYNC: Final = 16  # the read is made by a thread of the kernel; otherwise io_uring polls the file first
SIZE: Final = 512
ROOM: Final = 64 << 20  # octets to write to a peer that does not read

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number: int, *arguments: object) -> int:
    """Make a system call. OSError: it failed."""
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def aio(command: int) -> Callable[[int], int]:
    """Return a function that submits *command* for a descriptor by io_submit(2) and waits for the result."""

    def submit(descriptor: int) -> int:
        context = ctypes.c_ulong(0)
        call(IO_SETUP, 1, ctypes.byref(context))
        size = ROOM if command == PWRITE else SIZE
        buffer = mmap.mmap(-1, size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        fields = (0, 0, 0, command, 0, descriptor, *((address, size) if command != FSYNC else (0, 0)), 0, 0, 0, 0)
        block = ctypes.create_string_buffer(struct.pack("<QIiHhIQQqQII", *fields))
        call(IO_SUBMIT, context, 1, (ctypes.c_void_p * 1)(ctypes.addressof(block)))
        event = ctypes.create_string_buffer(32)
        call(IO_GETEVENTS, context, 1, 1, event, None)
        return int(struct.unpack("<QQqq", event.raw)[2])

    return submit


def io_uring(operation: int) -> Callable[[int], int]:
    """Return a function that makes *operation* by an io_uring of its own and waits for the result (io_uring(7))."""

    def submit(descriptor: int) -> int:
        parameters = ctypes.create_string_buffer(120)
        ring = call(IO_URING_SETUP, 1, parameters)
        _, sq_tail, _, _, _, _, array = struct.unpack_from("<7I", parameters.raw, 40)
        results = struct.unpack_from("<6I", parameters.raw, 80)[5]
        queues = mmap.mmap(ring, 4096)
        requests = mmap.mmap(ring, 4096, offset=IORING_OFF_SQES)
        buffer = mmap.mmap(-1, SIZE)
        where = (ctypes.addressof(ctypes.c_char.from_buffer(buffer)), SIZE) if operation == IORING_OP_READ else (0, 0)
        struct.pack_into("<BBHiQQII", requests, 0, operation, IOSQE_ASYNC, 0, descriptor, 0, *where, 0)
        struct.pack_into("<I", queues, array, 0)
        struct.pack_into("<I", queues, sq_tail, 1)
        call(IO_URING_ENTER, ring, 1, 1, 1, None, 0)
        return int(struct.unpack_from("<Qi", queues, results)[1])

    return submit


def splice(descriptor: int) -> int:
    """Move octets of the page cache into a pipe."""
    _, into = os.pipe()
    return os.splice(descriptor, into, SIZE)


def sendfile(descriptor: int) -> int:
    """Move octets of the page cache into a pipe."""
    _, into = os.pipe()
    return os.sendfile(into, descriptor, None, SIZE)


def map_private(descriptor: int) -> int:
    """Read a page of the page cache."""
    # Python's mmap asks for the size first, and the answer to that is 0.
    address = call(MMAP, None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
    child = os.fork()  # a SIGBUS ends the child alone
    if child == 0:
        os._exit(ctypes.string_at(address, 1)[0])
    return os.waitpid(child, 0)[1]


def readahead(descriptor: int) -> int:
    """Have the kernel read into the page cache."""
    result: int = libc.readahead(descriptor, ctypes.c_long(0), ctypes.c_size_t(4096))
    return result


def advise(descriptor: int) -> int:
    """Ask the kernel for the same by posix_fadvise(2)."""
    os.posix_fadvise(descriptor, 0, 4096, os.POSIX_FADV_WILLNEED)
    return 0


WAYS: Final[dict[str, Callable[[int], int]]] = {
    "aio-read": aio(PREAD),
    "aio-write": aio(PWRITE),
    "aio-fsync": aio(FSYNC),
    "io_uring-read": io_uring(IORING_OP_READ),
    "io_uring-fsync": io_uring(IORING_OP_FSYNC),
    "splice": splice,
    "sendfile": sendfile,
    "mmap": map_private,
    "readahead": readahead,
    "fadvise": advise,
}


def main(path: str, way: str, count: str, uid: str = "") -> None:
    """Open the stream and park *count* requests on it."""
    os.chdir(os.path.dirname(path))  # a directory above may be closed to *uid*
    if uid:
        os.setgroups([])
        os.setresuid(int(uid), int(uid), int(uid))
    descriptor = os.open(os.path.basename(path), os.O_RDWR)
    if way.endswith("fsync"):  # fill the peer's window: what is written then is not acknowledged
        os.set_blocking(descriptor, False)
        try:
            while True:
                os.write(descriptor, bytes(1 << 16))
        except BlockingIOError:
            os.set_blocking(descriptor, True)
    else:
        os.write(descriptor, b"0123456789")

    def park() -> None:
        try:
            line = f"={WAYS[way](descriptor)}\n"
        except OSError as error:
            line = f"{error.errno}\n"
        os.write(1, line.encode())

    for _ in range(int(count)):
        threading.Thread(target=park, daemon=True).start()
    os.write(1, b"started\n")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
