"""`schemefs nc`: standard input and output joined to a conversation, with the manners of nc(1).

    stdin ── a thread ──> conversation      at the end of stdin: `shutdown write` to its ctl, so the peer sees a FIN
    stdout <── the main thread ── conversation      until the peer closes, or nobody reads stdout any more

Two threads, because a peer that echoes is only read from while it is written to: each direction blocks by itself.
Status 0: all went well; 1: no connection, or it broke.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import click

from schemefs.errors import StartError
from schemefs.tools.ending import end, end_by
from schemefs.tools.tree import conversation_of, mount_option

CHUNK = 65536
DATAGRAM = 65507

EXAMPLES = """
\b
Examples:
  schemefs nc 10.0.2.2 80
  echo hello | schemefs nc -w 2 example.com 7
  schemefs nc -l 8080 >request           one connection, then the end
  schemefs nc -u -w 1 10.0.2.2 9
"""


class Joined:
    """One conversation joined to standard input and output."""

    def __init__(self, tree: Path, descriptor: int, *, datagrams: bool) -> None:
        self._descriptor = descriptor
        self._datagrams = datagrams
        self._ctl = tree / conversation_of(descriptor) / "ctl"
        self._broken: OSError | None = None  # why what stdin said could not be written

    def run(self, *, writes: bool) -> None:
        """Carry octets, both ways if it *writes*, until the peer closes. OSError: it broke."""
        if writes:
            threading.Thread(target=self._write, daemon=True).start()
        while (octets := self._read()) is not None:
            if not octets and not self._datagrams:
                break
            try:
                _write_all(sys.stdout.fileno(), octets)
            except BrokenPipeError:
                return
        if self._broken is not None:
            raise self._broken

    def _read(self) -> bytes | None:
        """Return what comes; b"": the end, or an empty datagram; None: `-w` seconds of silence, as the file counts."""
        try:
            return os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return None

    def _write(self) -> None:
        try:
            while octets := os.read(sys.stdin.fileno(), DATAGRAM if self._datagrams else CHUNK):
                _write_all(self._descriptor, octets)
            if not self._datagrams:
                self._ctl.write_text("shutdown write\n")
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EPIPE, errno.ENOENT):  # the peer has ended it: reading tells
                self._broken = error


def _write_all(descriptor: int, octets: bytes) -> None:
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@click.command(epilog=EXAMPLES)
@click.argument("words", metavar="HOST PORT | -l PORT", nargs=-1, required=True)
@click.option("-l", "listen", is_flag=True, help="Wait for a peer on PORT.")
@click.option("-k", "keep", is_flag=True, help="With -l: one peer after another; stdin is not read.")
@click.option("-u", "udp", is_flag=True, help="UDP: each read of stdin is a datagram; with -l, the first sender.")
@click.option("-w", "wait", type=click.FloatRange(min=0), default=0.0, help="Seconds to connect, and of silence.")
@mount_option
def command(tree: Path, words: tuple[str, ...], *, listen: bool, keep: bool, udp: bool, wait: float) -> None:
    """Connect standard input and output with HOST:PORT, or with whoever connects to PORT."""
    if len(words) != (1 if listen else 2):
        end(1, "whom to connect to? HOST PORT; to listen: -l PORT")
    limits = f",read_timeout={wait:.6f}" if wait else ""
    scheme = "udp" if udp else "tcp"
    if listen:
        _serve(tree, f"{scheme}/:{words[0]}" + (",listen" if udp else ""), keep=keep, udp=udp, wait=wait)
        return
    host = f"[{words[0]}]" if ":" in words[0] else words[0]
    path = f"{scheme}/{host}:{words[1]}{limits}" + (f",timeout={wait:.6f}" if wait and not udp else "")
    try:
        descriptor = os.open(tree / path, os.O_RDWR)
    except OSError as error:
        end_by(1, tree, path, error)
    _join(tree, path, descriptor, udp=udp, writes=True)


def _serve(tree: Path, path: str, *, keep: bool, udp: bool, wait: float) -> None:
    try:
        listener = os.open(tree / path, os.O_RDONLY)
    except OSError as error:
        end_by(1, tree, path, error)
    while True:
        number = os.read(listener, CHUNK).decode().split()[0]
        directory = tree / path.partition("/")[0] / number
        if wait:
            (directory / "settings/read_timeout").write_text(f"{wait:.6f}\n")
        descriptor = os.open(directory / "data", os.O_RDWR)
        if not keep:
            os.close(listener)  # the connection is held: nobody else gets in
            _join(tree, path, descriptor, udp=udp, writes=True)
            return
        try:
            _join(tree, path, descriptor, udp=udp, writes=False)
        except StartError as error:  # of this peer; the next may do better
            click.echo(f"schemefs: {error}", err=True)


def _join(tree: Path, path: str, descriptor: int, *, udp: bool, writes: bool) -> None:
    try:
        Joined(tree, descriptor, datagrams=udp).run(writes=writes)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
