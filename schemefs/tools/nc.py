"""`schemefs nc`: relays between standard input and output and a conversation, with the options of OpenBSD's nc(1).

stdio_relay.py moves the octets.

Status 0: success; 1: no connection, or it failed; 2: the option is one of another netcat.
"""

from __future__ import annotations

import math
import os
import select
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from schemefs.errors import StartError
from schemefs.net.addresses import packed, parse_number
from schemefs.tools.address_family import addresses, family_options
from schemefs.tools.exit_status import fail, fail_with, show
from schemefs.tools.find_mount import conversation_of, failure, mount_option
from schemefs.tools.model_options import Model, ModelTool, options_of
from schemefs.tools.seconds import seconds
from schemefs.tools.stdio_relay import CHUNK, DATAGRAM, Ends, StdioRelay

EXAMPLES = """
\b
Examples:
  schemefs nc 10.0.2.2 80
  echo hello | schemefs nc -N example.com 7
  schemefs nc -c example.com 443         TLS, the certificate verified
  schemefs nc -l 8080 >request           one connection
  schemefs nc -l -s 127.0.0.1 8080       on one local address
  schemefs nc -u -w 1 10.0.2.2 9
  until schemefs nc -z -w 1 10.0.2.2 22; do sleep 1; done
  schemefs nc -v -z 10.0.2.2 20-25       which of these ports accept a connection
"""


_OTHERS: Final = Model(
    options_of("nc", "-b -C -D -F -I -i -M -m -O -P -r -S -T -t -U -V -W -X -x -Z")
    | options_of(
        "ncat",
        "-e -g -G --exec --sh-exec --lua-exec --ssl --ssl-verify --ssl-cert --ssl-key --proxy --proxy-type "
        "--proxy-auth --broker --chat --allow --deny --max-conns --output --hex-dump --append-output --crlf "
        "--telnet --unixsock --sctp",
    )
)
"""Options of OpenBSD's nc and of ncat that do not concern the tree."""


def _time_after_stdin(text: str) -> float:
    """Return the seconds of -q; negative: no limit, as in the model."""
    value = seconds()(str(text).removeprefix("-"))
    return -1.0 if str(text).startswith("-") else value


@click.command(cls=ModelTool, model=_OTHERS, epilog=EXAMPLES)
@click.argument("words", metavar="HOST PORT | -l [HOST] PORT", nargs=-1)
@click.option("-l", "listen", is_flag=True, help="Wait for a peer on PORT.")
@click.option("-k", "keep", is_flag=True, help="With -l: accept one peer after another; stdin is not read.")
@click.option("-u", "udp", is_flag=True, help="UDP: each read of stdin is a datagram; with -l, the first sender.")
@click.option(
    "-s", "source", metavar="ADDRESS", default="", help="Local address: to connect from, or with -l to listen on."
)
@click.option("-p", "port", metavar="PORT", default="", help="Local port: to connect from, or with -l to listen on.")
@click.option("-n", "numeric", is_flag=True, help="HOST must be an address: no name is looked up.")
@click.option("-c", "tls", is_flag=True, help="TLS; the certificate must be valid for HOST.")
@click.option(
    "-z", "probe", is_flag=True, help="Only test whether HOST accepts a connection; PORT may be a range, 20-25."
)
@click.option("-v", "verbose", is_flag=True, help="Say on standard error with which peer there is a connection.")
@click.option("-d", "unread", is_flag=True, help="Do not read stdin.")
@click.option("-N", "shuts", is_flag=True, help="Send a FIN at the end of stdin: the peer reads end of file.")
@click.option(
    "-q",
    "quit_after",
    type=_time_after_stdin,
    default=-1.0,
    metavar="SECONDS",
    help="With -N: end so long after the end of stdin.",
)
@click.option(
    "-w",
    "wait",
    type=seconds(),
    metavar="SECONDS",
    default=0.0,
    help="Time limit to connect, and without data in either direction.",
)
@family_options
@mount_option
def command(
    tree: Path,
    words: tuple[str, ...],
    family: int | None,
    *,
    listen: bool,
    keep: bool,
    udp: bool,
    source: str,
    port: str,
    numeric: bool,
    tls: bool,
    probe: bool,
    verbose: bool,
    unread: bool,
    shuts: bool,
    quit_after: float,
    wait: float,
) -> None:
    """Connect standard input and output with a peer.

    The peer is HOST:PORT, or with -l the first one that connects to PORT.
    """
    if tls and (listen or udp):
        fail(1, "-c only connects; a TLS server is schemefs serve tls/:PORT,cert=FILE -- COMMAND")
    ends = Ends(wait or math.inf, math.inf if quit_after < 0 else quit_after, shuts or quit_after >= 0)
    scheme = "udp" if udp else "tls" if tls else "tcp"
    if listen:
        local = _listened(tree, words, source, port, family)
        local += ",listen" if udp or not local.startswith(":") else ""
        Listener(tree, f"{scheme}/{local}", ends, is_verbose=verbose).serve(keep=keep, writes=not unread)
        return
    if len(words) != 2:
        fail(1, "nc needs HOST PORT to connect, or -l PORT to listen")
    host = words[0]
    if numeric and packed(host) is None:
        fail(1, f"{host!r} is not an address; -n looks up no names")
    options = f",timeout={wait:.6f}" if wait and not udp else ""
    options += f",from={_host(source)}:{port or 0}" if source or port else ""
    options += f",sni={host}" if tls and family and packed(host) is None else ""
    peer = Peer(tree, scheme, host, tuple(addresses(tree, host, family, status=1)), options, numeric)
    ports = _ports(words[1], are_probed=probe)
    if probe:
        accepted = [peer.probe(number, is_verbose=verbose, is_only=len(ports) == 1) for number in ports]
        sys.exit(os.EX_OK if any(accepted) else 1)
    path, descriptor = peer.connect(ports[0])
    if verbose:
        show(peer.connected(descriptor), error=True)
    _join(tree, path, descriptor, writes=not unread, ends=ends)


def _listened(tree: Path, words: tuple[str, ...], source: str, port: str, family: int | None) -> str:
    """Return the local address of `-l [HOST] PORT`, `-l -p PORT`, `-s ADDRESS`."""
    given = [*words, port] if port else list(words)
    if not 1 <= len(given) <= 2 or (source and len(given) == 2):
        fail(1, "nc needs HOST PORT to connect, or -l PORT to listen")
    host = source or (given[0] if len(given) == 2 else "")
    return f"{_host(addresses(tree, host, family, status=1)[0] if host else '')}:{given[-1]}"


def _ports(text: str, *, are_probed: bool) -> list[str]:
    """Return the ports of `22`, `ssh` or `20-25`."""
    low, dash, high = text.partition("-")
    if not dash or not (low.isdecimal() and high.isdecimal()):
        return [text]
    if not are_probed:
        fail(1, f"{text!r} is a range of ports, which only -z takes")
    try:
        first, last = sorted((parse_number(low, 1, 65535), parse_number(high, 1, 65535)))
    except ValueError as error:
        fail(1, str(error))
    return list(map(str, range(first, last + 1)))


@dataclass(frozen=True, slots=True)
class Peer:
    """The host to connect to."""

    tree: Path
    scheme: str
    host: str  # as given
    addresses: tuple[str, ...]  # what to open for it, one after another
    options: str
    is_numeric: bool = False  # services have no names

    def connect(self, port: str) -> tuple[str, int]:
        """Return the path that connects, and its descriptor. StartError: none does; the reason is the last one's."""
        failed = StartError(f"{self.host} has no address")
        for address in self.addresses:
            path = f"{self.scheme}/{_host(address)}:{port}"
            try:
                return path, os.open(self.tree / f"{path}{self.options}", os.O_RDWR)
            except OSError as error:
                failed = failure(self.tree, path, error)
        raise failed

    def connected(self, descriptor: int) -> str:
        """Return OpenBSD's sentence about a connection."""
        address, number = _ends(_remote(self.tree, descriptor))
        host = self.host if self.host == address else f"{self.host} ({address})"
        protocol = "udp" if self.scheme == "udp" else "tcp"
        service = "*"
        if not self.is_numeric:
            with suppress(OSError):
                service = socket.getservbyport(int(number), protocol)
        return f"Connection to {host} {number} port [{protocol}/{service}] succeeded!"

    def probe(self, port: str, *, is_verbose: bool, is_only: bool) -> bool:
        """Return whether it accepts a connection; of UDP, whether a datagram meets no closed port."""
        path = f"{self.scheme}/{_host(self.host)}:{port}"
        try:
            path, descriptor = self.connect(port)
            try:
                if self.scheme == "udp":
                    _probe_by_datagram(descriptor)
                if is_verbose:
                    show(self.connected(descriptor), error=True)
            finally:
                os.close(descriptor)
        except (StartError, OSError) as error:
            if is_verbose or is_only:
                reason = error if isinstance(error, StartError) else failure(self.tree, path, error)
                show(f"schemefs: {reason}", error=True)
            return False
        return True


def _probe_by_datagram(descriptor: int) -> None:
    """OSError: an ICMP error arrives within a second."""
    os.write(descriptor, b"X")
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if poller.poll(1000):
        os.read(descriptor, DATAGRAM)


def _remote(tree: Path, descriptor: int) -> str:
    return (tree / conversation_of(descriptor) / "remote").read_text().strip()


def _ends(text: str) -> tuple[str, str]:
    """Return address and port of `ADDRESS:PORT`."""
    address, _, port = text.rpartition(":")
    return address.strip("[]"), port


def _host(text: str) -> str:
    """Return a host as an address has it: an IPv6 address in brackets."""
    return f"[{text}]" if ":" in text else text


class Listener:
    """Relays with the first peer of a listener, or with one after another."""

    def __init__(self, tree: Path, path: str, ends: Ends, *, is_verbose: bool) -> None:
        self._tree = tree
        self._path = path
        self._ends = ends
        self._is_verbose = is_verbose
        try:
            self._descriptor = os.open(tree / path, os.O_RDONLY)
        except OSError as error:
            fail_with(1, tree, path, error)

    def serve(self, *, keep: bool, writes: bool) -> None:
        """Relay with the first peer, or with *keep* with every peer; their failures then end no more than theirs."""
        local = (self._tree / conversation_of(self._descriptor) / "local").read_text().strip()
        self._say(f"Listening on {' '.join(_ends(local))}")
        while True:
            descriptor = self._accepted()
            self._say(f"Connection received on {' '.join(_ends(_remote(self._tree, descriptor)))}")
            if not keep:
                os.close(self._descriptor)  # further peers are refused
                _join(self._tree, self._path, descriptor, writes=writes, ends=self._ends)
                return
            try:
                _join(self._tree, self._path, descriptor, writes=False, ends=self._ends)
            except StartError as error:  # of this peer only
                show(f"schemefs: {error}", error=True)

    def _accepted(self) -> int:
        """Return the descriptor of the next connection's `data`."""
        while line := os.read(self._descriptor, CHUNK).decode():
            name = f"{self._path.partition('/')[0]}/{line.split()[0]}"
            try:
                return os.open(self._tree / name / "data", os.O_RDWR)
            except OSError as error:  # the connection ended before this open
                show(f"schemefs: {failure(self._tree, name, error)}", error=True)
        return fail(1, f"{self._path}: the listener has ended")

    def _say(self, sentence: str) -> None:
        if self._is_verbose:
            show(sentence, error=True)


def _join(tree: Path, path: str, descriptor: int, *, writes: bool, ends: Ends) -> None:
    try:
        StdioRelay(tree, path, descriptor, datagrams=path.startswith("udp/"), ends=ends).run(writes=writes)
    except OSError as error:
        raise failure(tree, path, error) from None
    finally:
        os.close(descriptor)
