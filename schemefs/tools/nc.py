"""`schemefs nc`: relays between standard input and output and a conversation, with the options of OpenBSD's nc(1).

    stdin ── a thread ──> conversation      at the end of stdin: `shutdown write` to its ctl, so the peer sees a FIN
    stdout <── the main thread ── conversation

It ends when both directions have ended: a peer that has sent its FIN may still read the rest of stdin. If stdin is a
terminal, the peer's end suffices: a user does not expect that Ctrl-D is still needed.

Two threads, because an echoing peer must be read while it is written to: each direction blocks by itself.
Status 0: success; 1: no connection, or it failed.
"""

from __future__ import annotations

import errno
import math
import os
import select
import sys
import threading
import time
from pathlib import Path

import click

from schemefs.errors import StartError
from schemefs.net.addresses import parse_seconds
from schemefs.tools.exit_status import OUTPUT, Tool, fail, fail_with, show
from schemefs.tools.find_mount import conversation_of, failure, mount_option

CHUNK = 65536
DATAGRAM = 65507
LONGEST = 86400.0  # seconds of one poll(2), which counts milliseconds in an int
_ENDED = select.POLLRDHUP | select.POLLHUP

EXAMPLES = """
\b
Examples:
  schemefs nc 10.0.2.2 80
  echo hello | schemefs nc -w 2 example.com 7
  schemefs nc -c example.com 443         TLS, the certificate verified
  schemefs nc -l 8080 >request           one connection
  schemefs nc -l -s 127.0.0.1 8080       on one local address
  schemefs nc -u -w 1 10.0.2.2 9
  until schemefs nc -z -w 1 10.0.2.2 22; do sleep 1; done
"""


class StdioRelay:
    """Relays between standard input and output and one conversation.

    It ends after *wait* seconds without data in either direction; 0: no limit.
    """

    def __init__(self, tree: Path, path: str, descriptor: int, *, datagrams: bool, wait: float) -> None:
        """*path* is that of the conversation, for sentences."""
        self._tree = tree
        self._path = path
        self._descriptor = descriptor
        self._datagrams = datagrams
        self._wait = wait
        self._ctl = tree / conversation_of(descriptor) / "ctl"
        self._last = time.monotonic()  # when octets moved, in either direction
        self._broken: StartError | None = None  # why the conversation could not be written

    def run(self, *, writes: bool) -> None:
        """Relay until both directions have ended; without *writes* only to standard output.

        StartError, or OSError of a read: the conversation failed.
        """
        writes &= sys.stdin is not None  # None: closed by the parent process
        under_way = {self._descriptor}
        written = os.eventfd(0, os.EFD_CLOEXEC) if writes else -1  # readable once the thread has ended
        if writes:
            under_way.add(written)
            threading.Thread(target=self._write, args=(written,), daemon=True).start()
        while under_way and (ready := self._ready(under_way)):
            if written in ready:
                under_way.discard(written)
                if self._broken is not None and self._datagrams:
                    break  # nothing else ends a conversation of datagrams
            if self._descriptor in ready:
                octets = os.read(self._descriptor, CHUNK)
                self._last = time.monotonic()
                if octets:
                    _show(octets)
                elif not self._datagrams or ready[self._descriptor] & _ENDED:  # not an empty datagram
                    under_way.discard(self._descriptor)
                    if self._datagrams or (sys.stdin is not None and sys.stdin.isatty()):
                        break
        if self._broken is not None:
            raise self._broken

    def _ready(self, descriptors: set[int]) -> dict[int, int]:
        """Return poll's events of the readable ones of *descriptors*; none: the time of `-w` is over."""
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN | select.POLLRDHUP)
        while True:
            left = self._last + self._wait - time.monotonic() if self._wait else None
            if left is not None and left <= 0:
                return {}
            ready = poller.poll(None if left is None else math.ceil(min(left, LONGEST) * 1000))
            if ready:
                return dict(ready)

    def _write(self, ended: int) -> None:
        try:
            while octets := os.read(sys.stdin.fileno(), DATAGRAM if self._datagrams else CHUNK):
                self._last = time.monotonic()
                _write_all(self._descriptor, octets)
                self._last = time.monotonic()
            if not self._datagrams:
                self._shut()
        except OSError as error:
            self._broken = failure(self._tree, self._path, error)  # here: `err` is about the thread that asks
        finally:
            os.eventfd_write(ended, 1)

    def _shut(self) -> None:
        """Send the FIN. That the conversation has ended already is no failure: everything was written."""
        try:
            self._ctl.write_text("shutdown write\n")
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EPIPE, errno.ENOENT):
                raise


def _show(octets: bytes) -> None:
    """Write to standard output. A failure ends the program, with `-k` too: no other peer could be served."""
    try:
        _write_all(sys.stdout.fileno(), octets)
    except OSError as error:
        fail(1, f"{OUTPUT}: {error.strerror}")


def _write_all(descriptor: int, octets: bytes) -> None:
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("words", metavar="HOST PORT | -l PORT", nargs=-1, required=True)
@click.option("-l", "listen", is_flag=True, help="Wait for a peer on PORT.")
@click.option("-k", "keep", is_flag=True, help="With -l: accept one peer after another; stdin is not read.")
@click.option("-u", "udp", is_flag=True, help="UDP: each read of stdin is a datagram; with -l, the first sender.")
@click.option(
    "-s", "source", metavar="ADDRESS", default="", help="Local address: to connect from, or with -l to listen on."
)
@click.option("-c", "tls", is_flag=True, help="TLS; the certificate must be valid for HOST.")
@click.option("-z", "probe", is_flag=True, help="Only test whether HOST accepts a connection: status 0 or 1.")
@click.option(
    "-w",
    "wait",
    type=parse_seconds,
    metavar="SECONDS",
    default="0",
    help="Time limit to connect, and without data in either direction.",
)
@mount_option
def command(
    tree: Path,
    words: tuple[str, ...],
    *,
    listen: bool,
    keep: bool,
    udp: bool,
    source: str,
    tls: bool,
    probe: bool,
    wait: float,
) -> None:
    """Connect standard input and output with a peer.

    The peer is HOST:PORT, or with -l the first one that connects to PORT.
    """
    if len(words) != (1 if listen else 2):
        fail(1, "nc needs HOST PORT to connect, or -l PORT to listen")
    if tls and (listen or udp):
        fail(1, "-c only connects; a TLS server is schemefs serve tls/:PORT,cert=FILE -- COMMAND")
    scheme = "udp" if udp else "tls" if tls else "tcp"
    if listen:
        local = f"{_host(source)}:{words[0]}" + (",listen" if udp or source else "")
        _serve(tree, f"{scheme}/{local}", keep=keep, udp=udp, wait=wait)
        return
    path = f"{scheme}/{_host(words[0])}:{words[1]}" + (f",timeout={wait:.6f}" if wait and not udp else "")
    path += f",from={_host(source)}:0" if source else ""
    try:
        descriptor = os.open(tree / path, os.O_RDWR)
    except OSError as error:
        fail_with(1, tree, path, error)
    if not probe:
        _join(tree, path, descriptor, udp=udp, writes=True, wait=wait)


def _host(text: str) -> str:
    """Return a host as an address has it: an IPv6 address in brackets."""
    return f"[{text}]" if ":" in text else text


def _serve(tree: Path, path: str, *, keep: bool, udp: bool, wait: float) -> None:
    try:
        listener = os.open(tree / path, os.O_RDONLY)
    except OSError as error:
        fail_with(1, tree, path, error)
    while True:
        descriptor = _accepted(tree, path, listener)
        if not keep:
            os.close(listener)  # further peers are refused
            _join(tree, path, descriptor, udp=udp, writes=True, wait=wait)
            return
        try:
            _join(tree, path, descriptor, udp=udp, writes=False, wait=wait)
        except StartError as error:  # of this peer only
            show(f"schemefs: {error}", error=True)


def _accepted(tree: Path, path: str, listener: int) -> int:
    """Return the descriptor of the next connection's `data`."""
    while line := os.read(listener, CHUNK).decode():
        name = f"{path.partition('/')[0]}/{line.split()[0]}"
        try:
            return os.open(tree / name / "data", os.O_RDWR)
        except OSError as error:  # the connection ended before this open
            show(f"schemefs: {failure(tree, name, error)}", error=True)
    return fail(1, f"{path}: the listener has ended")


def _join(tree: Path, path: str, descriptor: int, *, udp: bool, writes: bool, wait: float) -> None:
    try:
        StdioRelay(tree, path, descriptor, datagrams=udp, wait=wait).run(writes=writes)
    except OSError as error:
        raise failure(tree, path, error) from None
    finally:
        os.close(descriptor)
