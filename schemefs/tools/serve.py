"""`schemefs serve ADDRESS -- COMMAND`: runs a command for every connection, as tcpserver does.

The connection is the command's standard input and output. They are the conversation's `rx` and `tx`, so a command that
answers before it has read everything does not lose its answer to a reset.
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
from schemefs.tools.conversation_name import conversation_of
from schemefs.tools.exit_status import Tool, show
from schemefs.tools.find_mount import VARIABLE, failure, mount_option
from schemefs.tools.json_output import json_option
from schemefs.tools.served_lines import Connection, End, ServedLines, verbose_option

DEFAULT_LIMIT: Final = 40  # tcpserver's own
MAX_SILENCE: Final = 30  # seconds without a datagram that count as the end of a sender: UDP has no other end
LINE: Final = 256  # octets; `N REMOTE LOCAL` fits

EXAMPLES = """
\b
Examples:
  schemefs serve :7 -- cat                               echo
  schemefs serve :8080 -- sh -c 'read x; echo "hello $REMOTE"'
  schemefs serve :8023 --limit 2 -- bash -i              two at a time; others wait in the backlog
  schemefs serve 127.0.0.1:8080 -- cat                   on one local address
  schemefs serve tls/:8443,cert=/etc/ssl/host.pem -- cat
  schemefs serve udp/:9,listen -- cat                    a conversation for every sender
  schemefs serve -v :7 -- cat                            a line for each connection and each end
"""


class Server:
    """A listener and the children that serve its connections."""

    def __init__(self, tree: Path, path: str, command: Sequence[str], limit: int, lines: ServedLines) -> None:
        """Listen. StartError: it failed."""
        self._tree = tree
        self._path = path
        self._scheme = path.partition("/")[0]
        self._command = command
        self._limit = limit
        self._lines = lines
        self._children: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}  # by pidfd; with the conversation
        try:
            self._listener = os.open(tree / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise failure(tree, path, error) from None
        if not self._show("status").startswith("state=LISTEN\n"):
            raise StartError(f"{path} is one conversation for all senders: {path},listen has one for each")

    @property
    def local(self) -> str:
        """The address that it listens on."""
        return self._show("local").strip()

    def _show(self, name: str) -> str:
        return (self._tree / conversation_of(self._listener) / name).read_text()

    def serve(self) -> None:
        """Serve until the mount ends: StartError."""
        while True:
            # At the limit no connection is accepted: it waits in the backlog, and beyond that its SYN is repeated.
            listens = [self._listener] if len(self._children) < self._limit else []
            poll = select.poll()  # select(2) has no descriptor beyond 1023
            for descriptor in (*self._children, *listens):
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll():
                if descriptor == self._listener:
                    self._accept()
                else:
                    name, child = self._children.pop(descriptor)
                    os.close(descriptor)
                    self._lines.end(End(name, child.wait()))

    def _accept(self) -> None:
        try:
            line = os.read(self._listener, LINE).decode()
        except BlockingIOError:  # another reader of this listener was faster
            return
        except OSError as error:
            raise StartError(f"the listener has ended: {failure(self._tree, self._path, error)}") from None
        if not line:
            raise StartError("the listener has ended")
        number, remote, local = line.split()
        name = f"{self._scheme}/{number}"
        directory = self._tree / name
        try:
            with open(directory / "rx", "rb", buffering=0) as rx, open(directory / "tx", "wb", buffering=0) as tx:
                self._start(rx.fileno(), tx.fileno(), remote, local, name)
        except OSError as error:  # the connection ended before this open, or no process can be started now
            show(f"schemefs: with {remote}: {failure(self._tree, name, error)}", error=True)

    def _start(self, rx: int, tx: int, remote: str, local: str, name: str) -> None:
        variables = {VARIABLE: str(self._tree), "REMOTE": remote, "LOCAL": local, "CONVERSATION": name}
        child = subprocess.Popen(self._command, stdin=rx, stdout=tx, env=os.environ | variables)
        self._children[os.pidfd_open(child.pid)] = name, child
        self._lines.connection(Connection(name, remote, local, child.pid), "from")


def _path(address: str) -> str:
    """Return the path of a listener: `tcp/:8080` for `:8080`, `tcp/127.0.0.1:8080,listen` for `127.0.0.1:8080`."""
    place, comma, options = address.partition(",")
    scheme, _, text = place.rpartition("/")
    scheme = scheme or "tcp"
    text += comma + options.replace("/", "%2F")  # a name in the tree has no '/': cert=/etc/ssl/host.pem
    try:
        parsed = parse_address_path(text)
    except ValueError as error:
        raise StartError(str(error)) from None
    if "accept" in parsed.options:
        raise StartError("'accept' does not apply here: every connection is accepted for a command")
    if scheme == "udp" and "listen" not in parsed.options:
        raise StartError(f"udp/{text} is one conversation for all senders: udp/{text},listen has one for each")
    if scheme == "udp" and "read_timeout" not in parsed.options:
        text += f",read_timeout={MAX_SILENCE}"
    if parsed.host_port.host and "listen" not in parsed.options:
        text += ",listen"
    return f"{scheme}/{text}"


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("address")
@click.argument("program", metavar="-- COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="Number of commands at a time."
)
@verbose_option
@json_option
@mount_option
def command(tree: Path, address: str, program: Sequence[str], limit: int, *, verbose: bool, as_json: bool) -> None:
    """Run COMMAND for every connection to ADDRESS.

    ADDRESS is :PORT, or HOST:PORT of one local address, with options, such as :8080,nodelay. The connection is
    COMMAND's standard input and output. Its environment has REMOTE and LOCAL (HOST:PORT), CONVERSATION (the
    connection's directory in the tree, such as tcp/7) and SCHEME (the tree).

    Datagrams have no end. After 30 s without one from its sender, COMMAND's read fails with EAGAIN, so that COMMAND
    ends and another can start. Another limit: udp/:9,listen,read_timeout=5; 0: none.
    """
    if shutil.which(program[0]) is None:
        raise StartError(f"there is no program {program[0]!r}")
    lines = ServedLines(verbose, as_json)
    server = Server(tree, _path(address), program, limit, lines)
    lines.listening(server.local, f"listening on {server.local}")
    server.serve()
