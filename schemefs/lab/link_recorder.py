"""`schemefs lab --capture FILE`: the captures of all links as one file, in which an interface is a link.

    router's network/IF/capture.pcapng ─┐
    …                                   ├─> the recorder, a process of the lab ─> FILE
    router's network/IF/capture.pcapng ─┘

Each block is written as soon as it is whole, by a write(2) of its own, so the file can be read however the lab ends.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from dpkt import pcapng

from schemefs.capture_reader import INTERFACE, PACKET, SECTION, STATISTICS
from schemefs.errors import StartError
from schemefs.lab import namespaces
from schemefs.lab.places import SCHEME

if TYPE_CHECKING:
    from schemefs.lab.topology import Topology

_CHUNK: Final = 1 << 20
_READS: Final = 64  # of one capture in a row
_OF_AN_INTERFACE: Final = (PACKET, STATISTICS)  # blocks with its number in octets 8 to 11, and the time after it


class LinkRecorder:
    """Opened before the lab is made, begun when the routers run, finished when the command has ended."""

    def __init__(self, topology: Topology, path: str, snap: int | None = None) -> None:
        """*snap*: the octets of each frame that are kept; None: all. StartError: the file can't be written."""
        self._name = "capture.pcapng" if snap is None else f"capture.pcapng,snap={snap}"
        self._links = {link.name: link.impaired for link in topology.links}
        self._path = path
        self._ended = -1  # the recorder closes its end, after a line about a failure
        self._going = -1  # closed: the recorder reads what is left, and ends
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StartError(f"--capture {path}: {error.strerror}") from None

    def begin(self) -> None:
        """Capture every link from now on. StartError: a capture can't be opened."""
        sources = {}
        try:
            for number, (name, end) in enumerate(self._links.items()):
                path = Path(SCHEME, end.owner, "network", end.name, self._name)
                sources[os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)] = (number, name)
        except OSError as error:
            raise StartError(f"--capture: {error.filename}: {error.strerror}") from None
        if stat.S_ISREG(os.fstat(self._file).st_mode):
            os.ftruncate(self._file, 0)  # a lab that fails before has left it as it was
        goes, self._going = os.pipe()
        self._ended, ended_of_recorder = os.pipe()
        if os.fork() == 0:
            os.close(self._going)
            self._record(sources, goes, ended_of_recorder)
        for descriptor in (*sources, goes, ended_of_recorder, self._file):
            os.close(descriptor)

    def finish(self) -> None:
        """Return when all is written that the links have carried until now. StartError: the file can't be written."""
        os.close(self._going)
        with open(self._ended, encoding="utf-8") as lines:
            failure = lines.read()
        if failure:
            raise StartError(f"--capture {self._path}: {failure}")

    def _record(self, sources: Mapping[int, tuple[int, str]], goes: int, ended: int) -> NoReturn:
        status = 1
        try:
            namespaces.end_with_parent(signal.SIGKILL)
            os.setsid()  # Ctrl-C is for the command
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            Merging(self._file, sources).run(goes)
            status = 0
        except OSError as error:
            with suppress(OSError):
                os.write(ended, (error.strerror or str(error)).encode())
        finally:
            sys.stderr.flush()
            os._exit(status)


class Merging:
    """Copies the blocks of captures into one file, which numbers and names their interfaces anew."""

    def __init__(self, file: int, sources: Mapping[int, tuple[int, str]]) -> None:
        """*sources*: descriptor of a capture -> number and name of its interface."""
        self._file = file
        self._sources = sources
        self._rest = dict.fromkeys(sources, b"")  # of each, a block that is not whole
        self._has_section = False

    def run(self, goes: int) -> None:
        """Copy until the descriptor *goes* ends, and what is there then. OSError: the file can't be written."""
        poller = select.poll()
        for descriptor in (*self._sources, goes):
            poller.register(descriptor, select.POLLIN)
        self._copy(self._sources)  # the interfaces, in their order
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if goes in ready:
                self._copy(self._sources)
                return
            for descriptor in self._copy(ready):
                poller.unregister(descriptor)

    def _copy(self, ready: Iterable[int]) -> list[int]:
        """Write the whole blocks that are there, packets by their times; return the captures that have ended."""
        packets: list[tuple[int, bytes]] = []
        ended = []
        for descriptor in ready:
            octets, is_at_end = _read(descriptor)
            if is_at_end:
                ended.append(descriptor)
            number, name = self._sources[descriptor]
            *blocks, self._rest[descriptor] = _split(self._rest[descriptor] + octets)
            for block in blocks:
                kind = int.from_bytes(block[:4], "little")
                if kind in _OF_AN_INTERFACE:
                    time = int.from_bytes(block[12:16], "little") << 32 | int.from_bytes(block[16:20], "little")
                    packets.append((time, block[:8] + number.to_bytes(4, "little") + block[12:]))
                elif kind == INTERFACE:
                    self._write(_renamed(block, name))
                elif kind != SECTION or not self._has_section:
                    self._has_section = True
                    self._write(block)
        for _, block in sorted(packets, key=itemgetter(0)):
            self._write(block)
        return ended

    def _write(self, block: bytes) -> None:
        left = memoryview(block)
        while left:
            left = left[os.write(self._file, left) :]


def _read(descriptor: int) -> tuple[bytes, bool]:
    """Return what a capture has now, and whether it has ended."""
    pieces = []
    with suppress(BlockingIOError):
        for _ in range(_READS):
            pieces.append(os.read(descriptor, _CHUNK))
            if not pieces[-1]:
                return b"".join(pieces), True
    return b"".join(pieces), False


def _split(octets: bytes) -> Iterator[bytes]:
    """Yield each block that is whole, then the rest."""
    at = 0
    while len(octets) >= at + 8 and len(octets) >= at + (length := int.from_bytes(octets[at + 4 : at + 8], "little")):
        yield octets[at : at + length]
        at += length
    yield octets[at:]


def _renamed(block: bytes, name: str) -> bytes:
    """Return the description of an interface with another name."""
    described = pcapng.InterfaceDescriptionBlockLE(block)
    for option in described.opts:
        if option.code == pcapng.PCAPNG_OPT_IF_NAME:
            option.data = name.encode()
    return bytes(described)
