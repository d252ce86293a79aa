"""A network layer in memory, for the ICMP tests: datagrams go into a list, or straight to a peer's network layer."""

from __future__ import annotations

import errno
import random
from struct import pack

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.addresses import packed
from schemefs.net.network_layer import UDP, DeliveryError
from schemefs.net.offload import NO_OFFLOAD
from schemefs.net.reader_turns import ReaderTurns
from schemefs.scheme import Caller, SchemeContext
from schemefs.timers import Timers
from schemes.icmp import IcmpScheme, wire

ROOT = Caller(0)


def octets(address):
    return packed(address)


def datagram(source, destination, payload, *, protocol=1, hop_limit=64, fragment=0):
    """An IPv4 datagram; its header checksum is zero, because transports do not check it."""
    return (
        pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, fragment, hop_limit, protocol, 0)
        + source
        + destination
        + payload
    )


US, PEER = octets("10.0.2.15"), octets("10.0.2.2")


def echo_request(payload=b"payload", identifier=7, sequence=1):
    return wire.echo_header(wire.ECHO_REQUEST, identifier, sequence, payload) + payload


def error_message(icmp_type, code, quote, low_word=0):
    return wire.error_header(icmp_type, code, low_word, quote) + quote


def udp_datagram(source="10.0.2.15", destination="10.0.2.2", length=20, **fields):
    ports = (5000).to_bytes(2, "big") + (9).to_bytes(2, "big")
    return datagram(octets(source), octets(destination), ports.ljust(length, b"u"), protocol=UDP, **fields)


class MemoryPath:
    hop_limit = 64

    def __init__(self, network, source, destination):
        self.network, self.source, self.destination = network, source, destination
        self.mtu = self.gso_max = 1500

    def send(self, protocol, header, payload, now, *, checksum_offset=-1, gso_size=0, hop_limit=0, may_fragment=False):
        assert checksum_offset == -1
        if self.destination in self.network.unreachable:
            raise SchemeError(errno.ENETUNREACH, "no route any more")
        if not self.network.room:
            return False
        octets = datagram(
            self.source,
            self.destination,
            header + b"".join(payload),
            protocol=protocol,
            hop_limit=hop_limit or self.hop_limit,
            fragment=0 if may_fragment else 0x4000,
        )
        self.network.sent.append(octets)
        if self.destination in self.network.peers:
            self.network.peers[self.destination].receive(octets, now)
        return True


class MemoryNetwork:
    """A network layer with one address; `peers` maps addresses to the networks of peers."""

    def __init__(self, address="10.0.2.15", broadcast="10.0.2.255"):
        self.address = octets(address)
        self.broadcast = octets(broadcast)
        self.sent = []
        self.errors = []
        self.peers = {}
        self.unreachable = set()
        self.turns = ReaderTurns()
        self.room = True
        self.transports = {}
        self.reporter = None

    def path(self, destination, source=b"", interface=""):
        self.interface = interface
        if destination in self.unreachable:
            raise SchemeError(errno.ENETUNREACH, "no route")
        local = destination if destination[0] == 127 else self.address
        return MemoryPath(self, source or local, destination)

    def register_transport(self, protocol, transport):
        self.transports[protocol] = transport

    def register_error_reporter(self, reporter):
        self.reporter = reporter

    def deliver_error(self, error: DeliveryError, now):
        self.errors.append(error)
        if error.protocol in self.transports:
            self.transports[error.protocol].receive_error(error, now)

    def is_local(self, address):
        return address == self.address or address[0] == 127

    def is_broadcast(self, address):
        return address in (self.broadcast, b"\xff" * 4)

    def receive(self, octets, now, offload=NO_OFFLOAD):
        view = memoryview(bytes(20) + octets[20:])  # a transport does not parse the IP header
        protocol, source, destination = octets[9], octets[12:16], octets[16:20]
        transport = self.transports[protocol]
        return transport.receive_datagram(source, destination, view, 20, octets[1], octets[8], offload, now)


class Host:
    """An icmp scheme on a network in memory; `run_until` advances its clock."""

    def __init__(self, address="10.0.2.15", hosts=""):
        self.network = MemoryNetwork(address)
        self.timers = Timers()
        context = SchemeContext(
            timers=self.timers,
            random=random.Random(1),
            config=Config(),
            names=Names(hosts),
            logs=LogRings(lambda: 0.0),
            services={"ip": self.network},
        )
        self.scheme = IcmpScheme(context)
        self.engine = self.scheme.engine

    def open(self, path, now=0.0, caller=ROOT):
        return self.scheme.open(path, 0, caller, now)

    def text(self, path):
        return self.scheme.lookup(path, ROOT).read(ROOT, 0.0).decode()

    def counters(self):
        return dict(self.engine.statistics())

    def run_until(self, end):
        """Fire every timer until *end* at its deadline."""
        while (deadline := self.timers.next_deadline()) <= end:
            self.timers.on_deadline(deadline)

    def knows(self, other):
        self.network.peers[other.network.address] = other.network
        other.network.peers[self.network.address] = self.network
        return self


def lines(handle, now=0.0):
    """Return all unread lines, and whether the end of file follows."""
    text = b""
    while octets := handle.read(4096, now):
        text += bytes(octets)
    return text.decode().splitlines(), octets == b""
