"""The program passt as a child: started with one end of a socket pair, and ended with it.

passt(1) translates the addresses of its guest, so the guest's are ours to choose: they are told to passt, and no lease
is waited for. It answers an ARP request for any other address, which shows that it works.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from drivers.stream.framing import LENGTH
from drivers.stream.rendezvous import driver_error, enlarge, prepare
from schemefs.driver import DriverError

READY_WITHIN: Final = 5.0  # seconds; passt answers in 0.1
END_WITHIN: Final = 0.2  # its socket is closed then; the daemon waits, so not for long
_NOISE: Final = "Failed to send"  # …bytes to syslog: a machine without syslog has nothing else to say
_ARP_REQUEST: Final = bytes.fromhex("0001080006040001")  # RFC 826: Ethernet, IPv4, a request


def obstacle() -> str:
    """Return why the default driver is not passt; empty: it can be started."""
    return "" if shutil.which("passt") else "passt is not installed (apt-get install passt gives the host's network)"


class Passt:
    """One run of passt, whose guest has *address*. Questions to *nameserver* go to the host's resolver."""

    def __init__(self, program: str, address: IPv4Interface, nameserver: IPv4Address | None, mtu: int) -> None:
        """Start it. DriverError: it can't be started, or has ended already."""
        ours, theirs = socket.socketpair()
        prepare(ours)
        enlarge(theirs)
        # Octets of the frames that it can send before it loses some: as many as the kernel counts, with its own records
        self.room = theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        # it stays blocking: passt finishes a frame that the socket took a part of by waiting
        self.socket = ours
        self._address = address
        self.written, stderr = os.pipe()
        for end in (self.written, stderr):
            os.set_blocking(end, False)  # passt must not wait for a reader of its lines: those beyond the pipe are lost
        arguments = [program, "--foreground", "--stderr", "--fd", str(theirs.fileno()), "--no-map-gw"]
        arguments += ["--mtu", str(mtu), "--address", str(address.ip), "--netmask", str(address.network.prefixlen)]
        if nameserver is not None:
            arguments += ["--dns-forward", str(nameserver)]
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C at the mount in the foreground must not end it before us
            )
        except OSError as error:
            ours.close()
            os.close(self.written)
            raise _refusal(program, error) from error
        finally:
            theirs.close()
            os.close(stderr)
        self._unfinished = b""  # of a line that passt is writing

    def lines(self) -> list[str]:
        """Return the lines that passt has written since the last call."""
        octets = self._unfinished
        try:
            while part := os.read(self.written, 1 << 16):
                octets += part
        except BlockingIOError:
            pass
        *whole, self._unfinished = octets.split(b"\n")
        texts = [line.decode(errors="backslashreplace").strip() for line in whole]
        return [text for text in texts if text and not text.startswith(_NOISE)]

    def wait_until_ready(self, mac: bytes) -> None:
        """Ask for a neighbor's hardware address, and wait until an answer can be read.

        DriverError: none comes, and passt is ended.
        """
        self.ask(mac)
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            selector.select(READY_WITHIN)
        self.check_answer()

    def ask(self, mac: bytes) -> None:
        """Send an ARP request, as the guest's address at *mac*."""
        address = self._address
        target = next(host for host in address.network if host != address.ip)
        question = b"\xff" * 6 + mac + b"\x08\x06" + _ARP_REQUEST + mac + address.ip.packed + bytes(6) + target.packed
        with suppress(OSError):  # it has ended: `check_answer` says so
            self.socket.sendall(LENGTH.pack(len(question)) + question)

    def check_answer(self) -> None:
        """Raise DriverError, and end passt, unless an answer can be read now."""
        try:
            has_answer = bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            has_answer = False
        if not has_answer:
            raise DriverError(f"passt can't give a network ({self.end()}); --driver loopback needs none")

    def end(self) -> str:
        """End it. Return how it has ended: the last line that it has written, if it has failed."""
        self.socket.close()
        try:
            self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._unfinished += b"\n"
        said = self.lines()
        os.close(self.written)
        code = self._process.returncode
        if code > 0 and said:
            return said[-1]
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it has ended with status {code}"


def _refusal(program: str, error: OSError) -> DriverError:
    if isinstance(error, FileNotFoundError):
        return DriverError(f"{program} is not installed: apt-get install passt, or mount with --driver loopback")
    return driver_error(error, f"{program} can't be started")
