"""The UNIX socket at which two ends meet: one listens, the other connects."""

from __future__ import annotations

import errno
import os
import socket
import stat

from schemefs.driver import DriverError
from schemefs.errors import out_of_descriptors

OCTETS = 4 << 20  # asked of the kernel for each direction; net.core.wmem_max and rmem_max bound what it gives


def connect(path: str) -> socket.socket:
    """Return a non-blocking socket that is connected to *path*. OSError: no program listens there, among others."""
    peer = _new()
    try:
        peer.connect(path)
    except OSError:
        peer.close()
        raise
    return peer


def listen(path: str) -> socket.socket:
    """Return a non-blocking listening socket at *path*. A socket that an ended program left there is replaced.

    DriverError: the path can't be had.
    """
    listener = _new()
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_left_behind(path)
            listener.bind(path)
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise driver_error(error, f"the socket {path} can't be used") from error
    return listener


def accepted(listener: socket.socket) -> socket.socket:
    """Return the next connection, non-blocking. BlockingIOError: there is none."""
    peer, _ = listener.accept()
    prepare(peer)
    return peer


def identity(path: str) -> tuple[int, int]:
    """Return what tells the file at *path* from a later one: device and inode. OSError: there is none."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def prepare(peer: socket.socket) -> None:
    """Make *peer* non-blocking, with room for some frames of the largest size."""
    peer.setblocking(False)
    enlarge(peer)


def enlarge(peer: socket.socket) -> None:
    """Ask for room for some frames of the largest size. What a UNIX socket holds is bounded by its sender's buffer."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        peer.setsockopt(socket.SOL_SOCKET, option, OCTETS)


def refusal(path: str, error: OSError) -> DriverError:
    """Return the error for the user after a failed `connect`."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return DriverError(f"no program listens at {path}: start the other end first, or give --listen")
    return driver_error(error, f"the socket {path} can't be used")


def driver_error(error: OSError, sentence: str) -> DriverError:
    """Return the error for the user: that no file descriptor is left, or *sentence* with the reason."""
    out = out_of_descriptors(error)
    return DriverError(out.sentence if out is not None else f"{sentence}: {os.strerror(error.errno or 0)}")


def _new() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    prepare(made)
    return made


def _remove_left_behind(path: str) -> None:
    """Remove the socket of a program that has ended. OSError (EADDRINUSE): it is in use, or is no socket."""
    if stat.S_ISSOCK(os.stat(path).st_mode):
        try:
            connect(path).close()
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
