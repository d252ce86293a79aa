"""The Linux side of the benchmark: a source, a sink and an echo of octets, as fast as Python lets the kernel be.

peer.py source PORT OCTETS [PEM]   every connection gets that many octets, then the end
peer.py sink PORT [PEM]            every connection is read to its end
peer.py echo PORT [PEM]            every octet comes back

With a PEM file (a certificate and its key) the connections are TLS.
"""

from __future__ import annotations

import socket
import ssl
import sys
from typing import Final

BLOCK: Final = 1 << 20


def listen(port: int) -> socket.socket:
    """Listen for both families. The congestion control is pinned: BBR paces a Python receiver down; defaults differ."""
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    listener.bind(("", port))
    listener.listen(16)
    return listener


def source(connection: socket.socket, octets: int) -> None:
    """Send zeros."""
    block = memoryview(bytes(BLOCK))
    while octets:
        octets -= connection.send(block[: min(octets, BLOCK)])


def sink(connection: socket.socket) -> None:
    """Read to the end."""
    block = bytearray(BLOCK)
    while connection.recv_into(block):
        pass


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while octets := connection.recv(BLOCK):
        connection.sendall(octets)


def wrapped(connection: socket.socket, pem: str) -> socket.socket:
    """Begin TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context.wrap_socket(connection, server_side=True)


def main() -> None:
    """Serve for ever, one connection at a time."""
    what, port, *rest = sys.argv[1:]
    octets = int(rest.pop(0)) if what == "source" else 0
    listener = listen(int(port))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with wrapped(connection, rest[0]) if rest else connection as stream:
            if what == "source":
                source(stream, octets)
            elif what == "echo":
                echo(stream)
            else:
                sink(stream)
            if isinstance(stream, ssl.SSLSocket):
                stream.unwrap()


if __name__ == "__main__":
    main()
