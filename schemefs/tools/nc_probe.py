"""`schemefs nc -z`: which ports of a host accept a connection, as lines of OpenBSD's nc or as JSON."""

from __future__ import annotations

import os
import re
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemefs.errors import StartError
from schemefs.net.addresses import parse_number
from schemefs.tools.exit_status import show
from schemefs.tools.find_mount import failure
from schemefs.tools.json_output import meaning, show_json_line
from schemefs.tools.stdio_relay import DATAGRAM

if TYPE_CHECKING:
    from schemefs.tools.nc_peer import Peer

_RANGE: Final = re.compile(r"(\d+)-(\d+)", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9_+.-]*", re.ASCII | re.IGNORECASE)
_UDP_WAIT: Final = 1000  # milliseconds for an ICMP error


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of one port."""

    host: str = field(metadata=meaning("as given"))
    address: str | None = field(metadata=meaning("that accepts; null: none does"))
    port: int | None = field(metadata=meaning("null: its name is that of no service"))
    protocol: str = field(metadata=meaning("`tcp` or `udp`; of `-c` too it is `tcp`"))
    accepts: bool = field(metadata=meaning("of udp: no error has come within a second"))
    reason: str = field(metadata=meaning("why it does not; empty: it does"))


def parse_ports(words: Sequence[str]) -> list[str]:
    """Return the ports of `22 ssh 20-25`, in that order. ValueError: one is neither a port nor a range."""
    ports: list[str] = []
    for word in words:
        if found := _RANGE.fullmatch(word):
            first, last = sorted(parse_number(text, 1, 65535) for text in found.groups())
            ports += map(str, range(first, last + 1))
        elif _SERVICE.fullmatch(word):
            ports.append(str(parse_number(word, 1, 65535)) if word.isdecimal() else word)
        else:
            message = f"{word!r} is not a port: a number, the name of a service, or with -z a range, 20-25"
            raise ValueError(message)
    return ports


def probe_ports(peer: Peer, ports: Sequence[str], *, is_verbose: bool, as_json: bool) -> bool:
    """Print which of *ports* accept; return whether one does. Without -v only one port alone has its reason shown."""
    is_any = False
    for port in ports:
        probe = _probe(peer, port)
        is_any |= probe.accepts
        if as_json:
            show_json_line(probe)
        elif probe.accepts and is_verbose:
            show(peer.sentence(probe.address or "", str(probe.port)), error=True)
        elif not probe.accepts and (is_verbose or len(ports) == 1):
            show(f"schemefs: {probe.reason}", error=True)
    return is_any


def _probe(peer: Peer, port: str) -> Probe:
    """Connect. By UDP an ICMP error within a second means that the port is closed."""
    path = peer.path_to(peer.host, port)
    try:
        path, descriptor = peer.connect(port)
        try:
            if peer.protocol == "udp":
                _send_a_datagram(descriptor)
            address, number = peer.remote(descriptor)
        finally:
            os.close(descriptor)
    except StartError as error:
        return Probe(peer.host, None, _number(port, peer.protocol), peer.protocol, accepts=False, reason=str(error))
    except OSError as error:
        reason = str(failure(peer.tree, path, error))
        return Probe(peer.host, None, _number(port, peer.protocol), peer.protocol, accepts=False, reason=reason)
    return Probe(peer.host, address, int(number), peer.protocol, accepts=True, reason="")


def _send_a_datagram(descriptor: int) -> None:
    """OSError: an ICMP error arrives."""
    os.write(descriptor, b"X")
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if poller.poll(_UDP_WAIT):
        os.read(descriptor, DATAGRAM)


def _number(port: str, protocol: str) -> int | None:
    try:
        return int(port) if port.isdecimal() else socket.getservbyname(port, protocol)
    except OSError:
        return None
