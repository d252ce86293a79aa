"""`schemefs serve ADDRESS -- COMMAND`: run a command for every connection, in the way of tcpserver.

The command reads the connection on standard input and writes it on standard output; they are the conversation's `rx`
and `tx`, so a command that answers before it has read all never has its answer cut off by a reset.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from schemefs.errors import StartError
from schemefs.net.addresses import parse_address_path
from schemefs.tools.exit_status import Tool
from schemefs.tools.find_mount import VARIABLE, conversation_of, failure, mount_option

DEFAULT_LIMIT: Final = 40  # tcpserver's own
SILENCE: Final = 30  # seconds after which a sender of datagrams is taken to have said all: nothing tells its end
LINE: Final = 256  # octets that `N REMOTE LOCAL` fits in

EXAMPLES = """
\b
Examples:
  schemefs serve :7 -- cat                               echo
  schemefs serve :8080 -- sh -c 'read x; echo "hello $REMOTE"'
  schemefs serve :8023 --limit 2 -- bash -i              two at a time; others wait in the backlog
  schemefs serve udp/:9,listen -- cat                    a conversation for every sender
"""


class Server:
    """A listener and the children that serve its connections."""

    def __init__(self, tree: Path, path: str, command: Sequence[str], limit: int) -> None:
        """Listen. StartError: why that can't be."""
        self._tree = tree
        self._scheme = path.partition("/")[0]
        self._command = command
        self._limit = limit
        self._children: dict[int, subprocess.Popen[bytes]] = {}  # by pidfd
        try:
            self._listener = os.open(tree / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise failure(tree, path, error) from None
        if not self._show("status").startswith("state=LISTEN\n"):
            raise StartError(f"{path} hears datagrams, whoever sends them: {path},listen has connections")

    @property
    def local(self) -> str:
        """Where it listens."""
        return self._show("local").strip()

    def _show(self, name: str) -> str:
        return (self._tree / conversation_of(self._listener) / name).read_text()

    def serve(self) -> None:
        """Serve until the mount ends, which is a StartError."""
        while True:
            # At the limit nothing is accepted: who connects waits in the backlog, and then the peer's kernel waits.
            listens = [self._listener] if len(self._children) < self._limit else []
            poll = select.poll()  # select(2) has no descriptor beyond 1023
            for descriptor in (*self._children, *listens):
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll():
                if descriptor == self._listener:
                    self._accept()
                else:
                    self._children.pop(descriptor).wait()
                    os.close(descriptor)

    def _accept(self) -> None:
        try:
            line = os.read(self._listener, LINE).decode()
        except BlockingIOError:  # another reader of this listener was faster
            return
        except OSError as error:
            raise StartError(f"the listener has ended: {error.strerror}") from None
        if not line:
            raise StartError("the listener has ended")
        number, remote, local = line.split()
        name = f"{self._scheme}/{number}"
        directory = self._tree / name
        try:
            with open(directory / "rx", "rb", buffering=0) as rx, open(directory / "tx", "wb", buffering=0) as tx:
                self._start(rx.fileno(), tx.fileno(), {"REMOTE": remote, "LOCAL": local, "CONVERSATION": name})
        except OSError as error:  # the peer was gone before we came, or no process can be made just now
            click.echo(f"schemefs: {name} with {remote}: {error.strerror}", err=True)

    def _start(self, rx: int, tx: int, environment: dict[str, str]) -> None:
        variables = os.environ | {VARIABLE: str(self._tree)} | environment
        child = subprocess.Popen(self._command, stdin=rx, stdout=tx, env=variables)
        self._children[os.pidfd_open(child.pid)] = child


def _path(address: str) -> str:
    """Return the path of a listener: `tcp/:8080` of `:8080`."""
    scheme, _, text = address.rpartition("/")
    try:
        parsed = parse_address_path(text)
    except ValueError as error:
        raise StartError(str(error)) from None
    if parsed.endpoint.host:
        raise StartError(f"{text!r} is somebody to connect to: to listen, give :PORT")
    if "accept" in parsed.options:
        raise StartError("'accept' is for a file that is one connection; here there is a command for each")
    if "listen" in parsed.options and "read_timeout" not in parsed.options:
        text += f",read_timeout={SILENCE}"
    return f"{scheme or 'tcp'}/{text}"


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("address")
@click.argument("program", metavar="-- COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="Children at a time.")
@mount_option
def command(tree: Path, address: str, program: Sequence[str], limit: int) -> None:
    """Run COMMAND for every connection to ADDRESS, such as :8080 or :8080,nodelay.

    The connection is its standard input and output. In its environment: REMOTE and LOCAL (HOST:PORT), CONVERSATION (the
    connection's directory in the tree, such as tcp/7) and SCHEME (the tree).

    Of datagrams nothing tells the end: after 30 s of silence from its sender, COMMAND's read fails (EAGAIN), so that it
    ends and makes room for another. Other seconds: udp/:9,listen,read_timeout=5; 0 waits for ever.
    """
    if shutil.which(program[0]) is None:
        raise StartError(f"there is no program {program[0]!r}")
    server = Server(tree, _path(address), program, limit)
    click.echo(f"listening on {server.local}")
    server.serve()
