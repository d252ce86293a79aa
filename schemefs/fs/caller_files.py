"""Files of the machine that an option names (`cert=`, `ca=`): read for who opens, with that one's rights, not ours.

    open tls/:8443,cert=…  ──> FilesWanted ──> a process with the caller's uid, gid and groups reads them
                                                 └── their copies, in memory ──> the open again, with Caller.files

A process of its own, so that nothing a name can lead to holds the daemon up: not a FIFO, a network file system that is
gone, or a file of this very mount, for which the daemon would wait for itself. Only the caller waits; the process is
killed when its time is up, or when the caller is interrupted. Names are looked up where the daemon is, in its root
directory and mount namespace.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs.errors import SchemeError
from schemefs.fs.waiting import Waiters

if TYPE_CHECKING:
    from schemefs.fs.waiting import Waiting
    from schemefs.scheme import Caller

READER: Final = Path(__file__).with_name("read_as_caller.py")
TIMEOUT: Final = 5.0  # seconds for all files of an open
AT_ONCE: Final = 8  # processes; more have to wait
_slots = trio.CapacityLimiter(AT_ONCE)


class Copy:
    """A file's octets, in memory; `path` can be opened for as long as this object lives. Satisfies `FileCopy`."""

    def __init__(self, octets: bytes) -> None:
        self._descriptor = os.memfd_create("schemefs-copy", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self._descriptor}"
        os.write(self._descriptor, octets)

    def __del__(self) -> None:
        """Forget the octets."""
        os.close(self._descriptor)


async def read_for(caller: Caller, names: Sequence[str], waiting: Waiting, unique: int) -> Mapping[str, Copy]:
    """Return a copy of each file. ENOENT, EACCES…: as the caller would be told; EINTR: a signal came."""
    found: Mapping[str, Copy] | Exception | None = None
    waiters = Waiters()
    scope = trio.CancelScope()

    async def read() -> None:
        nonlocal found
        with scope:
            try:
                found = await _read(caller, names)
            except Exception as error:  # noqa: BLE001 - raised below, where the call is answered
                found = error
            waiters.wake()

    # No nursery of this call's own: to leave it takes turns of the event loop, and a signal that comes in these finds
    # nobody parked; the call would park for what it wants next with nobody left to interrupt it.
    trio.lowlevel.spawn_system_task(read, name=f"files for call {unique}")
    try:
        await waiting.until(lambda _now: found, waiters, unique, waiting.clock())
    finally:
        scope.cancel()
    assert found is not None
    if isinstance(found, Exception):
        raise found
    return found


async def _read(caller: Caller, names: Sequence[str]) -> Mapping[str, Copy]:
    ours = os.geteuid()
    if ours != 0 and caller.uid not in (0, ours):
        raise SchemeError(errno.EACCES, f"{names[0]} can't be read with your rights: this daemon does not run as root")
    rights = [] if caller.uid == ours or ours else [caller.uid, caller.gid, *_groups(caller)]
    with trio.move_on_after(TIMEOUT):  # the wait for a slot included
        async with _slots:
            return await _run([sys.executable, "-I", "-S", str(READER), ",".join(map(str, rights)), *names], names)
    raise SchemeError(errno.ETIMEDOUT, f"{', '.join(names)}: not read within {TIMEOUT:.0f} s")


async def _run(command: Sequence[str], names: Sequence[str]) -> Mapping[str, Copy]:
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        octets = b"".join([chunk async for chunk in process.stdout])
        complaint = b"".join([chunk async for chunk in process.stderr])
        if await process.wait():
            raise _failure(names, complaint)
        return _copies(names, octets)
    finally:
        if process.returncode is None:
            process.kill()
            # A file of a FUSE or NFS server that has died holds its reader even so, maybe for ever: it is reaped if it
            # ends, but neither the caller nor the daemon's end waits for that.
            trio.lowlevel.spawn_system_task(process.wait, name=f"reaping {process.pid}")
        for pipe in (process.stdout, process.stderr):
            await trio.aclose_forcefully(pipe)


def _failure(names: Sequence[str], complaint: bytes) -> SchemeError:
    """Return what the reader told. It tells no name: one may have a newline, and what looks like an errno after it."""
    told = re.fullmatch(r"(\d+) (\d+) (.*)\n", complaint.decode(errors="replace"))
    if told is None:  # it did not come so far as to say so
        last = "".join(complaint.decode(errors="replace").splitlines()[-1:])
        return SchemeError(errno.EIO, f"{', '.join(names)}: the reading process failed: {last}")
    number, index, sentence = told.groups()
    return SchemeError(int(number), f"{names[int(index)]} can't be read: {sentence}")


def _copies(names: Sequence[str], octets: bytes) -> Mapping[str, Copy]:
    copies = {}
    rest = octets
    for name in names:
        length, _, rest = rest.partition(b"\n")
        copies[name], rest = Copy(rest[: int(length)]), rest[int(length) :]
    return copies


def _groups(caller: Caller) -> list[int]:
    """Return the caller's supplementary groups; none where the process has gone, or is somebody else's by now."""
    fields: dict[str, list[int]] = {}
    with suppress(OSError):
        for line in Path(f"/proc/{caller.pid}/status").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name in ("Uid", "Groups"):
                fields[name] = [int(number) for number in numbers.split()]
    return fields.get("Groups", []) if caller.uid in fields.get("Uid", []) else []
