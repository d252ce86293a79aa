"""System calls on a mount, each in a process of its own: it may block and be signalled without blocking the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from schemefs.testing.observing import PATIENCE, sleeps_in, stats, wait_until

# Python turns SIGINT into an exception and a traceback, whose time would be added to that of the call.
PROGRAM: Final = """
import os, select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
call, target, data = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
def poll(file):
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return poller.poll()[0][1]
def write(file):
    if data: return os.write(file, data)
    while True: os.write(file, bytes(1 << 20))
result = {
    'read': lambda: os.read(int(target), 65536),
    'write': lambda: write(int(target)),
    'poll': lambda: poll(int(target)),
    'open': lambda: os.open(target, os.O_RDWR),
}[call]()
os.write(1, result if isinstance(result, bytes) else b'%d' % result)
"""

WALKER: Final = """
import json, os, stat, sys
found = {}
def look(path):
    try: names = sorted(os.listdir(path))
    except FileNotFoundError: names, found[path] = [], 2
    for name in names:
        child = path + '/' + name
        found[child] = 0
        try: status = os.lstat(child)
        except OSError as error:
            found[child] = error.errno
            continue
        if stat.S_ISDIR(status.st_mode): look(child)
        elif sys.argv[2] == 'read' and stat.S_ISREG(status.st_mode) and status.st_blksize < 1 << 20:
            try: open(child, 'rb').read()
            except OSError as error: found[child] = error.errno
look(sys.argv[1])
print(json.dumps(found))
"""


class Blocked:
    """A process in one call on a mount: `read`, `write`, `poll` of an inherited descriptor, or `open` of a path.

    As a context it is entered once the daemon has parked the call, and kills the process at its end.
    """

    def __init__(self, mount: Path, call: str, target: int | Path, data: bytes = b"") -> None:
        self._mount = mount
        self._call = call
        self._counter = "polled" if call == "poll" else "parked"
        # Each parked call is counted; of several polls of one file, the kernel sends one.
        self._enough = 1 if call == "poll" else stats(mount / "stats")["parked"] + 1
        self._process = _start(call, target, data)

    @staticmethod
    def finishes(mount: Path, call: str, target: int, data: bytes) -> None:
        """Make a call that must not block. AssertionError: it blocks."""
        process = _start(call, target, data)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"a {call} hangs on {mount}") from None

    def __enter__(self) -> Self:
        wait_until(self._sleeps, f"the {self._call} is not parked in the daemon")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _sleeps(self) -> bool:
        if self._process.poll() is not None:
            message = f"the {self._call} ended instead of blocking: {self._process.communicate()[1].decode()}"
            raise AssertionError(message)
        known = stats(self._mount / "stats")[self._counter] >= self._enough
        return known and sleeps_in(self._process.pid, self._call)

    def result(self) -> bytes:
        """Wait for the call to return, and return its result: octets, or a number in decimal."""
        out, err = self._process.communicate(timeout=PATIENCE)
        if self._process.returncode:
            raise AssertionError(err.decode())
        return out

    def end(self, number: signal.Signals) -> float:
        """Send a signal and return the seconds until it has ended the process."""
        began = time.monotonic()
        self._process.send_signal(number)
        status = self._process.wait(PATIENCE)
        took = time.monotonic() - began
        if status != -number:
            raise AssertionError(f"{number.name} ended the {self._call} with status {status}")
        return took


def seconds_to_end(mount: Path, call: str, target: int | Path, number: signal.Signals) -> float:
    """Block in a call, end it with a signal, and return the seconds between."""
    with Blocked(mount, call, target) as process:
        return process.end(number)


def walk(tree: Path, *, read: bool = False) -> dict[str, int]:
    """Return every path below *tree*, with 0, or the errno of its stat; with *read*, of reading it, if it is a text."""
    command = [sys.executable, "-S", "-c", WALKER, str(tree), "read" if read else ""]
    done = subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return {path: int(number) for path, number in json.loads(done.stdout).items()}


def _start(call: str, target: int | Path, data: bytes) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM, call, str(target), data.hex()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[target] if isinstance(target, int) else [],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
