"""Files of the machine that an option names (`cert=`, `ca=`): read for who opens, with that one's rights, not ours.

    open tls/:8443,cert=…  ──> FilesWanted ──> a process with the caller's uid, gid and groups reads them
                                                 └── their copies, in memory ──> the open again, with Caller.files

A process of its own, so that nothing a name can lead to holds the daemon up: not a FIFO, a network file system that is
gone, or a file of this very mount, for which the daemon would wait for itself. Only the caller waits; the process is
killed when its time is up, or when the caller is interrupted.
"""

from __future__ import annotations

import errno
import os
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

READER: Final = Path(__file__).with_name("foreign_reader.py")
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
    found: Mapping[str, Copy] | SchemeError | None = None
    waiters = Waiters()

    async def read() -> None:
        nonlocal found
        try:
            found = await _read(caller, names)
        except SchemeError as error:
            found = error
        waiters.wake()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, name=f"files for call {unique}")
        try:
            await waiting.until(lambda _now: found, waiters, unique, waiting.clock())
        except SchemeError as error:  # a signal, or the mount ends; raised in here it would come out in a group
            found = error
        nursery.cancel_scope.cancel()
    assert found is not None
    if isinstance(found, SchemeError):
        raise found
    return found


async def _read(caller: Caller, names: Sequence[str]) -> Mapping[str, Copy]:
    ours = os.geteuid()
    if ours != 0 and caller.uid not in (0, ours):
        raise SchemeError(errno.EACCES, f"{names[0]} can't be read with your rights: this daemon does not run as root")
    rights = [] if caller.uid == ours or ours else [caller.uid, caller.gid, *_groups(caller)]
    command = [sys.executable, "-I", "-S", str(READER), ",".join(map(str, rights)), *names]
    async with _slots:
        with trio.move_on_after(TIMEOUT):
            done = await trio.run_process(
                command, capture_stdout=True, capture_stderr=True, check=False, env={}, deliver_cancel=_kill
            )
            return _copies(names, done)
    raise SchemeError(errno.ETIMEDOUT, f"{', '.join(names)}: not read within {TIMEOUT:.0f} s")


async def _kill(process: trio.Process) -> None:
    process.kill()


def _copies(names: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> Mapping[str, Copy]:
    if done.returncode:
        last = done.stderr.decode(errors="replace").splitlines()[-1:]
        number, _, sentence = "".join(last).partition(" ")
        if not number.isdecimal():  # it did not come so far as to say so
            raise SchemeError(errno.EIO, f"{', '.join(names)}: the reading process failed: {number} {sentence}")
        raise SchemeError(int(number), sentence)
    copies = {}
    rest = done.stdout
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
