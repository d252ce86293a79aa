"""Sockets that the snippets of run_snippets.py begin with."""

from __future__ import annotations

import ctypes
import errno
import socket

LOCAL = "127.0.0.1"
libc = ctypes.CDLL(None, use_errno=True)


def server(**options) -> socket.socket:
    return socket.create_server((LOCAL, 0), **options)


def pair() -> tuple[socket.socket, socket.socket]:
    with server() as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def failure(call, *arguments) -> str:
    try:
        return repr(call(*arguments))
    except OSError as error:
        return errno.errorcode[error.errno]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def datagrams() -> tuple[socket.socket, socket.socket]:
    one, two = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for made in (one, two):
        made.bind((LOCAL, 0))
        made.settimeout(5)
    return one, two
