"""A Python on the Linux side of a TAP that does what it is told, line by line: scenarios read from top to bottom.

    peer = Puppet(network, family)
    peer("c = socket.create_connection((US, 80))")
    assert peer("c.recv(100)") == b"hello"

`US` and `PEER` are the addresses of the family, `FAMILY` is the constant of the module socket, `listen(port)` is a
server socket of the peer. Expressions are answered with their value (what `ast.literal_eval` can read), statements with
None; what is raised there is raised here. `reset(c)` closes a socket with RST; `segments()` are the TCP segments on the
TAP since `watch()`, `inject` sends one made by hand.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from schemefs.testing.network import TapNetwork
    from tests.support.families import Family

PROGRAM: Final = r'''
import dpkt, os, select, socket, struct, sys, threading, time

US, PEER = sys.argv[1:]
FAMILY = socket.AF_INET6 if ":" in US else socket.AF_INET

def listen(port):
    return socket.create_server((PEER, port), family=FAMILY)

def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

def watch():
    global tap
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("schemefs0", 0))

def readable(connection):
    return select.select([connection], [], [], 0)[0]

def segments():
    """(from us?, ports, flags, seq, ack, window) of each."""
    found = []
    while select.select([tap], [], [], 0)[0]:
        ip = dpkt.ethernet.Ethernet(tap.recv(70000)).data
        if isinstance(ip, (dpkt.ip.IP, dpkt.ip6.IP6)) and isinstance(ip.data, dpkt.tcp.TCP):
            tcp = ip.data
            found.append((ip.src == packed(US), tcp.sport, tcp.dport, tcp.flags, tcp.seq, tcp.ack, tcp.win))
    return found

def inject(sport, dport, flags, seq, ack=0):
    tcp = dpkt.tcp.TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, win=65535)
    ends = {"src": packed(PEER), "dst": packed(US), "data": tcp}
    if FAMILY == socket.AF_INET:
        ip = dpkt.ip.IP(p=6, **ends)
        ip.len = len(ip)
    else:
        ip = dpkt.ip6.IP6(nxt=6, hlim=64, plen=len(tcp), **ends)
    with socket.socket(FAMILY, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(bytes(ip), (US, 0))

def packed(address):
    return socket.inet_pton(FAMILY, address)

for line in sys.stdin:
    line = eval(line)
    try:
        try:
            code = compile(line, "puppet", "eval")
        except SyntaxError:
            exec(line)
            answer = ("done", None)
        else:
            answer = ("done", eval(code))
    except Exception as error:
        answer = ("raised", repr(error))
    print(repr(answer), flush=True)
'''


class PuppetFailed(Exception):
    """What was raised on the peer, as text."""


class Puppet:
    """One Python on the peer. It ends with the network."""

    def __init__(self, network: TapNetwork, family: Family) -> None:
        self.family = family
        self._process = network.start_peer(
            [sys.executable, "-u", "-c", PROGRAM, family.ours, family.peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self, line: str) -> Any:
        """Have *line* done and return its value."""
        self.begin(line)
        return self.outcome()

    def begin(self, line: str) -> None:
        """Have *line* done without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line!r}\n")
        self._process.stdin.flush()

    def outcome(self) -> Any:
        """Wait for what `begin` began."""
        assert self._process.stdout is not None
        verdict, value = ast.literal_eval(self._process.stdout.readline())
        if verdict == "raised":
            raise PuppetFailed(value)
        return value
