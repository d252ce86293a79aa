"""The text of `icmp/ping/HOST` or `icmp/trace/HOST`, line by line while it is written: for ping and traceroute.

A failure, of the open or of a read, ends the program with the scheme's own sentence and status 2, as ping(8) has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import fail_with

_CHUNK: Final = 65536
_STOP: Final = b"stop\n"


class IcmpText:
    """One open text. Its probes begin at once, and end with it."""

    def __init__(self, tree: Path, path: str, flags: int = os.O_RDONLY) -> None:
        self._tree = tree
        self._path = path
        try:
            self._descriptor = os.open(tree / path, flags)
        except OSError as error:
            fail_with(2, tree, path, error)

    def lines(self) -> Iterator[str]:
        """Yield each line, without its newline, as soon as it is complete."""
        rest = b""
        while octets := self._read():
            *lines, rest = (rest + octets).split(b"\n")
            for line in lines:
                yield line.decode()
        os.close(self._descriptor)

    def stop(self) -> None:
        """End the probes of a ping: its statistics so far follow. *flags* had O_RDWR."""
        with suppress(OSError):  # the text has ended meanwhile
            os.write(self._descriptor, _STOP)

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError as error:
            fail_with(2, self._tree, self._path, error)
