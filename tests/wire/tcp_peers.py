"""Servers for the Linux side of a test: `python tcp_peers.py ROLE PORT [FILE]`, ready when a line is printed.

source   sends FILE to each peer that connects, then ends the connection
sink     reads to the end and prints the octets' SHA-256 and count, then closes
echo     sends back what it reads, until the end; prints what it read as sink does
"""

from __future__ import annotations

import hashlib
import socket
import sys

BLOCK = 1 << 18


def echo(connection: socket.socket) -> str:
    """Send back everything; the other side may be slow to read, so both directions go on at once."""
    digest, count = hashlib.sha256(), 0
    while data := connection.recv(BLOCK):
        digest.update(data)
        count += len(data)
        connection.sendall(data)
    return f"{digest.hexdigest()} {count}"


def sink(connection: socket.socket) -> str:
    """Read everything."""
    digest, count = hashlib.sha256(), 0
    while data := connection.recv(BLOCK):
        digest.update(data)
        count += len(data)
    return f"{digest.hexdigest()} {count}"


def source(connection: socket.socket, path: str) -> str:
    """Send a file."""
    with open(path, "rb") as file:
        connection.sendfile(file)
    return "sent"


def main() -> None:
    """Serve one connection after the other."""
    role, port, *rest = sys.argv[1:]
    listener = socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            result = source(connection, rest[0]) if role == "source" else {"sink": sink, "echo": echo}[role](connection)
        print(result, flush=True)


if __name__ == "__main__":
    main()
