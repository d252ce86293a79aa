"""One notified call of the program: its arguments, the caller's memory, and the caller's descriptors.

The caller's memory is read once, after the kernel has confirmed that the thread id is still the caller's: other threads
of the program may change it at any time, so what was read is what is decided on and acted on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from schemefs.run.listener import Listener, Notification, libc

LARGEST_TRANSFER: Final = 1 << 20  # octets at a time, and of a call that does not wait for more
MAX_VECTORS: Final = 1024  # UIO_MAXIOV
_PIDFD_GETFD: Final = 438  # on every architecture
_PIDFD_THREAD: Final = os.O_EXCL  # Linux 6.9


class Failed(Exception):
    """The call fails with an errno. A refusal of ours has a sentence for the person.

    *expected*: programs try this as a matter of course, so the sentence is shown with -v alone.
    """

    def __init__(self, number: int, sentence: str = "", *, expected: bool = False) -> None:
        super().__init__(number, sentence)
        self.errno = number
        self.sentence = sentence
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Description:
    """What /proc/PID/fdinfo/N shows of a descriptor."""

    flags: int  # of the open file, O_NONBLOCK among them
    mount: int
    inode: int

    @property
    def nonblocking(self) -> bool:
        """Whether calls on it must not wait."""
        return bool(self.flags & os.O_NONBLOCK)


def describe(process: int | str, descriptor: int) -> Description:
    """Return what *descriptor* of a process or thread is. Failed EBADF: it is not open."""
    try:
        file = os.open(f"/proc/{process}/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise Failed(errno.EBADF) from None
    try:
        words = os.read(file, 256).split(None, 8)
    finally:
        os.close(file)
    # pos: N flags: 0N mnt_id: N ino: N
    if len(words) < 8 or words[6] != b"ino:":
        raise Failed(errno.ENOSYS, "this kernel does not show inodes in /proc/PID/fdinfo: Linux 5.14 does")
    return Description(int(words[3], 8), int(words[5]), int(words[7]))


class Call:
    """A notified call. `close` gives back what it holds."""

    def __init__(self, listener: Listener, notification: Notification, name: str) -> None:
        self.listener = listener
        self.notification = notification
        self.name = name
        self.thread = notification.thread
        self.arguments = notification.arguments
        self.about = ""  # what the call is about, for -v: a conversation and an address
        self.value = 0  # of a call that its handler has ended
        self._memory = -1
        self._process = -1

    def integer(self, index: int) -> int:
        """Return an argument of type int."""
        return ctypes.c_int(self.arguments[index] & 0xFFFFFFFF).value

    def close(self) -> None:
        """Close the caller's memory and process."""
        for descriptor in (self._memory, self._process):
            if descriptor >= 0:
                os.close(descriptor)

    def require_valid(self) -> None:
        """Raise Failed unless the caller still waits: its thread id may be that of another thread already."""
        if not self.listener.is_valid(self.notification):
            raise Failed(errno.ESRCH)

    # Memory

    def _mem(self) -> int:
        if self._memory < 0:
            try:
                self._memory = os.open(f"/proc/{self.thread}/mem", os.O_RDWR | os.O_CLOEXEC)
            except PermissionError:
                raise Failed(errno.EPERM, "the memory of this process can't be read (it is not dumpable)") from None
            except OSError:
                raise Failed(errno.ESRCH) from None
            self.require_valid()
        return self._memory

    def read(self, address: int, size: int) -> bytes:
        """Return *size* octets of the caller's memory. EFAULT: they are not all there."""
        if not size:
            return b""
        try:
            octets = os.pread(self._mem(), size, address)
        except (OSError, OverflowError):
            raise Failed(errno.EFAULT) from None
        if len(octets) != size:
            raise Failed(errno.EFAULT)
        return octets

    def write(self, address: int, octets: bytes | memoryview) -> None:
        """Write to the caller's memory. EFAULT: it can't all be written."""
        if len(octets):
            try:
                written = os.pwrite(self._mem(), octets, address)
            except (OSError, OverflowError):
                raise Failed(errno.EFAULT) from None
            if written != len(octets):
                raise Failed(errno.EFAULT)

    def read_integer(self, address: int) -> int:
        """Return an int of the caller's memory."""
        return int.from_bytes(self.read(address, 4), "little", signed=True)

    def write_integer(self, address: int, value: int) -> None:
        """Write an int."""
        self.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def scatter(self, vectors: Sequence[tuple[int, int]], octets: bytes) -> None:
        """Write *octets* to the vectors, one after the other, as far as they go."""
        rest = memoryview(octets)
        for address, length in vectors:
            if not rest:
                break
            self.write(address, rest[:length])
            rest = rest[length:]

    def gather(self, vectors: Sequence[tuple[int, int]], most: int = LARGEST_TRANSFER) -> bytes:
        """Return what the vectors hold, at most *most* octets."""
        parts: list[bytes] = []
        for address, length in vectors:
            if most <= 0:
                break
            parts.append(self.read(address, min(length, most)))
            most -= length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, vectors: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield all that the vectors hold, at most LARGEST_TRANSFER octets at a time."""
        for address, length in vectors:
            for offset in range(0, length, LARGEST_TRANSFER):
                yield self.read(address + offset, min(length - offset, LARGEST_TRANSFER))

    # Descriptors

    @property
    def process(self) -> int:
        """A pidfd of the caller's process."""
        if self._process < 0:
            self._process = self._open_process()
            self.require_valid()
        return self._process

    def _open_process(self) -> int:
        for thread, flags in ((self.thread, 0), (self.thread, _PIDFD_THREAD)):
            try:
                return os.pidfd_open(thread, flags)
            except OSError:
                continue  # not the first thread of its process; and before Linux 6.9 no other has a pidfd
        try:
            return os.pidfd_open(int(self.status("Tgid").get("Tgid", "0")))
        except OSError:
            raise Failed(errno.ESRCH) from None

    def has_free_descriptor(self) -> bool:
        """Return whether the caller may have one more; True where that can't be seen."""
        folder = f"/proc/{self.thread}/fd"
        try:
            limit, _ = resource.prlimit(int(self.status("Tgid").get("Tgid", "0")), resource.RLIMIT_NOFILE)
            used = os.stat(folder).st_size or len(os.listdir(folder))  # its size is their number from Linux 6.2 on
        except OSError:
            return True
        return limit == resource.RLIM_INFINITY or used < limit

    def duplicate(self, descriptor: int) -> int:
        """Return a duplicate, here, of a descriptor of the caller's."""
        duplicate = libc.syscall(_PIDFD_GETFD, self.process, descriptor, 0)
        if duplicate < 0:
            number = ctypes.get_errno()
            sentence = "its descriptors can't be duplicated (it is not dumpable)" if number == errno.EPERM else ""
            raise Failed(number, sentence)
        return int(duplicate)

    @property
    def owner(self) -> str:
        """The caller as the mount shows it: the number of its process, and its name."""
        status = self.status("Name", "Tgid")
        return f"{status.get('Tgid', 0)} {status.get('Name', '')}"

    def status(self, *names: str) -> dict[str, str]:
        """Return lines of /proc/TID/status."""
        try:
            with open(f"/proc/{self.thread}/status", encoding="ascii", errors="replace") as file:
                pairs = (line.partition(":") for line in file)
                return {name: value.strip() for name, _, value in pairs if name in names}
        except OSError:
            raise Failed(errno.ESRCH) from None
