"""`schemefs nc`: relays between standard input and output and a conversation, with the options of OpenBSD's nc(1).

stdio_relay.py moves the octets.

Status 0: success; 1: no connection, or it failed; 2: the option is one of another netcat.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Final

import click

from schemefs.errors import StartError
from schemefs.net.addresses import packed, parse_host
from schemefs.tools.address_family import addresses, family_options, reached
from schemefs.tools.conversation_name import conversation_of
from schemefs.tools.exit_status import fail, fail_with, show
from schemefs.tools.find_mount import failure, mount_option
from schemefs.tools.json_output import json_option
from schemefs.tools.model_options import Model, ModelTool, options_of
from schemefs.tools.nc_peer import Peer, in_brackets, remote_of, split_end
from schemefs.tools.nc_probe import parse_ports, probe_ports
from schemefs.tools.seconds import seconds
from schemefs.tools.stdio_relay import CHUNK, Ends, StdioRelay
from schemefs.tools.tree_completion import own_addresses

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
  schemefs nc -v -z 10.0.2.2 20-25 http  which of these ports accept a connection
  schemefs nc -z --json 10.0.2.2 1-1024 | jq 'select(.accepts) | .port'
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

_SHORTEST: Final = 0.001  # seconds of a connect, which 0 would not limit


def _time_after_stdin(text: str) -> float:
    """Return the seconds of -q; negative: no limit, as in the model."""
    value = seconds()(str(text).removeprefix("-"))
    return -1.0 if str(text).startswith("-") else value


@click.command(cls=ModelTool, model=_OTHERS, epilog=EXAMPLES)
@click.argument("words", metavar="HOST PORT… | -l [HOST] PORT", nargs=-1)
@click.option("-l", "listen", is_flag=True, help="Wait for a peer on PORT.")
@click.option("-k", "keep", is_flag=True, help="With -l: accept one peer after another; stdin is not read.")
@click.option("-u", "udp", is_flag=True, help="UDP: each read of stdin is a datagram; with -l, the first sender.")
@click.option(
    "-s",
    "source",
    metavar="ADDRESS",
    default="",
    help="Local address: to connect from, or with -l to listen on.",
    shell_complete=own_addresses,
)
@click.option("-p", "port", metavar="PORT", default="", help="Local port: to connect from, or with -l to listen on.")
@click.option("-n", "numeric", is_flag=True, help="HOST must be an address: no name is looked up.")
@click.option("-c", "tls", is_flag=True, help="TLS; the certificate must be valid for HOST.")
@click.option(
    "-z", "probe", is_flag=True, help="Only test which PORTs of HOST accept a connection; one may be a range, 20-25."
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
    help="Time limit to connect, and without data in either direction; 0: end once nothing is ready to be moved.",
)
@json_option
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
    wait: float | None,
    as_json: bool,
) -> None:
    """Connect standard input and output with a peer.

    The peer is HOST:PORT, or with -l the first one that connects to PORT.
    """
    _check(listen=listen, keep=keep, udp=udp, tls=tls, probe=probe, as_json=as_json)
    ends = Ends(
        math.inf if wait is None else wait, math.inf if quit_after < 0 else quit_after, shuts or quit_after >= 0
    )
    scheme = "udp" if udp else "tls" if tls else "tcp"
    if listen:
        local = _listened(tree, words, source, port, family)
        local += ",listen" if udp and ",listen" not in local else ""
        Listener(tree, f"{scheme}/{local}", ends, is_verbose=verbose).serve(keep=keep, writes=not unread)
        return
    host, ports = _destination(words, probe=probe, numeric=numeric)
    options = f",timeout={max(wait, _SHORTEST):.6f}" if wait is not None and not udp else ""
    options += f",from={in_brackets(source)}:{port or 0}" if source or port else ""
    options += f",sni={host}" if tls and family and packed(host) is None else ""
    peer = Peer(tree, scheme, host, tuple(addresses(tree, host, family, status=1)), options, numeric)
    if probe:
        sys.exit(not probe_ports(peer, ports, is_verbose=verbose, as_json=as_json))
    if len(ports) != 1:
        fail(1, f"{words[1]!r} is a range of ports, which only -z takes")
    path, descriptor = peer.connect(ports[0])
    if verbose:
        show(peer.sentence(*peer.remote(descriptor)), error=True)
    _join(tree, path, descriptor, writes=not unread, ends=ends)


def _check(*, listen: bool, keep: bool, udp: bool, tls: bool, probe: bool, as_json: bool) -> None:
    """End with a sentence if two options do not go together."""
    if tls and (listen or udp):
        fail(1, "-c only connects; a TLS server is schemefs serve tls/:PORT,cert=FILE -- COMMAND")
    if probe and listen:
        fail(1, "-z connects, so it does not go with -l")
    if keep and not listen:
        fail(1, "-k accepts one peer after another, so it needs -l")
    if as_json and not probe:
        fail(1, "--json is for -z: otherwise what nc prints are the octets of the peer")


def _destination(words: tuple[str, ...], *, probe: bool, numeric: bool) -> tuple[str, list[str]]:
    """Return the host and the ports of `HOST PORT…`; only with *probe* there may be several."""
    if len(words) < 2 or (len(words) > 2 and not probe):
        fail(1, "nc needs HOST PORT to connect, or -l PORT to listen")
    try:
        host = parse_host(words[0])
        ports = parse_ports(words[1:])
    except ValueError as error:
        fail(1, str(error))
    if numeric and packed(host) is None:
        fail(1, f"{host!r} is not an address; -n looks up no names")
    return host, ports


def _listened(tree: Path, words: tuple[str, ...], source: str, port: str, family: int | None) -> str:
    """Return the local address of `-l [HOST] PORT`, `-l -p PORT`, `-s ADDRESS`, with options."""
    given = [*words, port] if port else list(words)
    if not 1 <= len(given) <= 2 or (source and len(given) == 2):
        fail(1, "nc needs HOST PORT to connect, or -l PORT to listen")
    host = source or (given[0] if len(given) == 2 else "")
    if not host or host != reached(host):  # 0.0.0.0 stands for IPv4, :: for both families, as on Linux
        family = 4 if "." in host else family
        return f":{given[-1]}{f',family={family}' if family else ''}"
    return f"{in_brackets(addresses(tree, host, family, status=1)[0])}:{given[-1]},listen"


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
        self._say(f"Listening on {' '.join(split_end(local))}")
        while True:
            descriptor = self._accepted()
            self._say(f"Connection received on {' '.join(remote_of(self._tree, descriptor))}")
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
