"""The Linux side of a measurement, as fast as Python lets the kernel be: peer.py KIND PORT WORKERS [ARGUMENT]

source OCTETS [PEM]   each connection gets that many octets, then the end; with a certificate and its key it is TLS
sink [PEM]            each connection is read to its end
echo                  each octet comes back
hold                  connections are taken and kept
lines COUNT           each connection gets lines
late_lines COUNT      each connection sends lines, and then gets how late they were read
datagrams             datagrams are dropped for want of memory: each is counted as received, and no process runs
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from streams import BLOCK, read_lines, write_lines


def listen(port: int) -> socket.socket:
    """Listen for both families. The congestion control is pinned: BBR paces a Python receiver down; defaults differ."""
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    listener.bind(("", port))
    listener.listen(128)
    return listener


def source(connection: socket.socket, octets: str, pem: str = "") -> None:
    block, left = memoryview(bytes(BLOCK)), int(octets)
    with secured(connection, pem) as stream:
        while left:
            left -= stream.send(block[: min(left, BLOCK)])
        ended(stream)


def sink(connection: socket.socket, pem: str = "") -> None:
    block = bytearray(BLOCK)
    with secured(connection, pem) as stream:
        while stream.recv_into(block):
            pass
        ended(stream)


def secured(connection: socket.socket, pem: str) -> socket.socket:
    """Begin TLS, if there is a certificate."""
    if not pem:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context.wrap_socket(connection, server_side=True)


def ended(stream: socket.socket) -> None:
    """End TLS as its standard says."""
    if isinstance(stream, ssl.SSLSocket):
        stream.unwrap()


def echo(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while octets := connection.recv(BLOCK):
        connection.sendall(octets)


def lines(connection: socket.socket, count: str) -> None:
    write_lines(connection.fileno(), int(count))
    connection.recv(1)


def late_lines(connection: socket.socket, count: str) -> None:
    connection.sendall(json.dumps(read_lines(connection.fileno(), int(count))).encode())


def hold(connection: socket.socket) -> None:
    connection.detach()


KINDS: Final[dict[str, Callable[..., None]]] = {
    "source": source,
    "sink": sink,
    "echo": echo,
    "hold": hold,
    "lines": lines,
    "late_lines": late_lines,
}


def main() -> None:
    """Serve until killed, one connection at a time in each worker."""
    kind, port, workers, *arguments = sys.argv[1:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if kind == "datagrams":
        full = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        full.bind(("", int(port)))
        print("ready", flush=True)
        signal.pause()
    listener = listen(int(port))
    for _ in range(int(workers) - 1):
        if not os.fork():
            break
    else:
        print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError, ssl.SSLError):  # a client may end early
            KINDS[kind](connection, *arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is the bench's to report
    main()
