"""`schemefs socks ADDRESS`: a SOCKS5 proxy on the host whose connections are those of the mount."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from schemefs.net.addresses import parse_address_path
from schemefs.tools.exit_status import Tool, fail
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option
from schemefs.tools.served_lines import ServedLines, verbose_option

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEFAULT_LIMIT: Final = 128
BACKLOG: Final = 128

EXAMPLES = """
\b
Examples:
  schemefs socks ~/socks &
  curl --proxy socks5h://localhost$HOME/socks http://example.com/
  schemefs socks 127.0.0.1:1080 &        open to every user of this machine
  curl --socks5-hostname 127.0.0.1:1080 http://example.com/
"""


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("address")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="Number of clients at a time."
)
@verbose_option
@json_option
@mount_option
def command(tree: Path, address: str, limit: int, *, verbose: bool, as_json: bool) -> None:
    """Serve SOCKS5 (CONNECT) on ADDRESS; the connections are made by the mount, which also looks names up.

    ADDRESS is a path with a '/', for a UNIX socket that only you can use, or a loopback address and a port of the host,
    such as 127.0.0.1:1080. There is no authentication: every user of the machine can use a port.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a client that goes is no end of the proxy
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until the server takes them: the socket is removed at the end
    with _listening(address) as listener:
        import trio  # noqa: PLC0415 - `--help` and a bad address need no event loop

        from schemefs.tools.socks_server import SocksServer  # noqa: PLC0415

        lines = ServedLines(verbose, as_json)
        lines.listening(address, f"SOCKS5 on {address}, by {tree}")
        server = SocksServer(tree, listener, limit, ENDING, lines)
        trio.run(server.serve)
    if server.fault:
        fail(1, server.fault)


@contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    """Listen on *address*; the path of a UNIX socket is removed at the end. Exit 2: it can't be had."""
    path = address if "/" in address else ""
    listener = socket.socket(socket.AF_UNIX) if path else socket.socket(_family(address))
    with listener:
        try:
            if path:
                _bind_to_path(listener, path)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                host, _, port = address.rpartition(":")
                listener.bind((host.strip("[]"), int(port)))
            listener.listen(BACKLOG)
        except OSError as error:
            fail(2, f"{address} can't be listened on: {os.strerror(error.errno or 0)}")
        identity = os.stat(path) if path else None
        try:
            yield listener
        finally:
            if identity is not None and _is_still(path, identity):
                os.unlink(path)


def _family(address: str) -> socket.AddressFamily:
    """Return the family of a loopback address with a port. Exit 2: it is something else."""
    try:
        parsed = parse_address_path(address)
        host = ip_address(parsed.host_port.host)
        if host.is_loopback and not parsed.options:
            return socket.AF_INET if host.version == 4 else socket.AF_INET6
    except ValueError:
        pass
    return fail(2, f"{address!r} is no place to listen: a path with a '/', or a loopback address, 127.0.0.1:1080")


def _bind_to_path(listener: socket.socket, path: str) -> None:
    """Bind, for this user alone. A socket that an ended program has left is replaced."""
    mask = os.umask(0o177)
    try:
        try:
            listener.bind(path)
        except OSError:
            if not _is_left_behind(path):
                raise
            os.unlink(path)
            listener.bind(path)
    finally:
        os.umask(mask)


def _is_left_behind(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _is_still(path: str, identity: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), identity)
    except OSError:
        return False
