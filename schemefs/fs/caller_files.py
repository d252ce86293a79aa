"""Host files that an option names (`cert=`, `ca=`), read with the rights of the caller that opens, not of the daemon.

    open tls/:8443,cert=…  ──> FilesWanted ──> a process with the caller's uid, gid and groups reads them
                                                 └── their copies, in memory ──> the open again, with Caller.files

A separate process reads them, so that no name can block the daemon: not a FIFO, not a dead network file system, and not
a file of this mount, for which the daemon would wait for itself. Only the caller waits. The process is killed after
`TIMEOUT`, and when the caller is interrupted and does not repeat its open. Names are looked up in the daemon's root
directory and mount namespace.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs.errors import SchemeError
from schemefs.fs.waiting import Waiters

if TYPE_CHECKING:
    from schemefs.fs.waiting import Waiting
    from schemefs.scheme import Caller, FileCopy

READER: Final = Path(__file__).with_name("read_as_caller.py")
TIMEOUT: Final = 5.0  # seconds for all files of one open
MAX_READERS: Final = 32  # processes at a time of all users but root and the daemon's; further opens wait for one to end
READERS_OF_UID: Final = 4  # of them for one user: its opens wait for each other before they wait for those of others
PRIVILEGED_READERS: Final = 8  # of root, and of the daemon's user
_reader_slots = trio.CapacityLimiter(MAX_READERS)
_slots_of_uid: dict[int, trio.CapacityLimiter] = {}


class MemoryCopy:
    """A copy of a file in memory. `path` can be opened while this object exists. Satisfies `FileCopy`."""

    def __init__(self, octets: bytes) -> None:
        self._descriptor = -1  # until it is open: __del__ runs also if it can't be opened
        self._descriptor = os.memfd_create("schemefs-copy", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self._descriptor}"
        os.write(self._descriptor, octets)

    @property
    def octets(self) -> bytes:
        """The copy itself."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def __del__(self) -> None:
        """Free the memory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


async def read_for(caller: Caller, names: Sequence[str], waiting: Waiting, unique: int) -> Mapping[str, FileCopy]:
    """Return `caller.files` with a copy of each file, by name. SchemeError: as of `FileReading.wait`, or EINTR."""
    reading = FileReading(caller, names, waiting)
    try:
        return await reading.wait(unique)
    finally:
        reading.close(waiting.clock())


class FileReading:
    """Files that are being read. An `interrupted_opens.Attempt`: a repeated open can wait for the same reading."""

    def __init__(self, caller: Caller, names: Sequence[str], waiting: Waiting) -> None:
        """Begin to read *names* with the rights of *caller*."""
        self._caller = caller
        self._names = names
        self._waiting = waiting
        self._waiters = Waiters()
        self._scope = trio.CancelScope()
        self._found: dict[str, FileCopy] | Exception | None = None
        # A nursery of this call's own would take turns of the event loop to leave. A signal in these turns would find
        # no parked call, and the call could then park without an interrupt to end it.
        trio.lowlevel.spawn_system_task(self._read, name=f"files for {caller.pid}")

    async def wait(self, unique: int) -> Mapping[str, FileCopy]:
        """Return `Caller.files` and the files read. ENOENT, EACCES…: as the caller's own open; EINTR: a signal."""
        await self._waiting.until(lambda _now: self._found, self._waiters, unique, self._waiting.clock())
        found = self._found
        assert found is not None
        if isinstance(found, Exception):
            raise found
        return found

    async def _read(self) -> None:
        with self._scope:
            try:
                self._found = {**self._caller.files, **await _read(self._caller, self._names)}
            except Exception as error:  # noqa: BLE001 - raised by `wait`, where the call is answered
                self._found = error
            self._waiters.wake()

    def open_interrupted(self, now: float) -> bool:
        """Return True: the reading goes on."""
        del now
        return True

    def open_repeated(self, now: float) -> None:
        """Do nothing: the repeated open waits."""

    def abandon_open(self, now: float) -> None:
        """Do nothing: `close` follows."""

    def close(self, now: float) -> None:
        """End the reading process."""
        del now
        self._scope.cancel()


async def _read(caller: Caller, names: Sequence[str]) -> Mapping[str, MemoryCopy]:
    own_uid = os.geteuid()
    if own_uid != 0 and caller.uid not in (0, own_uid):
        raise SchemeError(
            errno.EACCES, f"{names[0]} can't be read as uid {caller.uid}: this daemon does not run as root"
        )
    rights = [] if caller.uid == own_uid or own_uid else [caller.uid, caller.gid, *_groups(caller)]
    with trio.move_on_after(TIMEOUT):  # the wait for a slot included
        async with _slot(caller.uid, is_privileged=caller.uid in (0, own_uid)):
            return await _run([sys.executable, "-I", "-S", str(READER), ",".join(map(str, rights)), *names], names)
    raise SchemeError(errno.ETIMEDOUT, f"{', '.join(names)} could not be read within {TIMEOUT:.0f} s")


@asynccontextmanager
async def _slot(uid: int, *, is_privileged: bool) -> AsyncIterator[None]:
    """Wait until one more process may read for *uid*."""
    own = _slots_of_uid.get(uid)
    if own is None:
        own = _slots_of_uid[uid] = trio.CapacityLimiter(PRIVILEGED_READERS if is_privileged else READERS_OF_UID)
    try:
        async with own:
            if is_privileged:
                yield
            else:
                async with _reader_slots:
                    yield
    finally:
        if not (own.borrowed_tokens or own.statistics().tasks_waiting):
            _slots_of_uid.pop(uid, None)


async def _run(command: Sequence[str], names: Sequence[str]) -> Mapping[str, MemoryCopy]:
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        octets = b"".join([chunk async for chunk in process.stdout])
        report = b"".join([chunk async for chunk in process.stderr])
        if await process.wait():
            raise _failure(names, report)
        return _copies(names, octets)
    finally:
        if process.returncode is None:
            process.kill()
            # A file of a dead FUSE or NFS server can hold its reader even so, maybe for ever. The reader is reaped when
            # it ends; neither the caller nor the end of the daemon waits for that.
            trio.lowlevel.spawn_system_task(process.wait, name=f"reaping {process.pid}")
        for pipe in (process.stdout, process.stderr):
            await trio.aclose_forcefully(pipe)


def _failure(names: Sequence[str], report: bytes) -> SchemeError:
    """Return the reader's failure. It reports an index, since a name may hold a newline and look like a report."""
    match = re.fullmatch(r"(\d+) (\d+) (.*)\n", report.decode(errors="replace"))
    if match is None:  # it failed before it could read
        last = "".join(report.decode(errors="replace").splitlines()[-1:])
        return SchemeError(errno.EIO, f"{', '.join(names)}: the reading process failed: {last}")
    number, index, sentence = match.groups()
    return SchemeError(int(number), f"{names[int(index)]} can't be read: {sentence}")


def _copies(names: Sequence[str], octets: bytes) -> Mapping[str, MemoryCopy]:
    copies = {}
    rest = octets
    for name in names:
        length, _, rest = rest.partition(b"\n")
        copies[name], rest = MemoryCopy(rest[: int(length)]), rest[int(length) :]
    return copies


def _groups(caller: Caller) -> list[int]:
    """Return the caller's supplementary groups; none if the process has ended or has another uid by now."""
    fields: dict[str, list[int]] = {}
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for line in Path(f"/proc/{caller.pid}/status").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name in ("Uid", "Groups"):
                fields[name] = [int(number) for number in numbers.split()]
    return fields.get("Groups", []) if caller.uid in fields.get("Uid", []) else []
