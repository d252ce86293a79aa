"""TCP as a packet trace: what one connection sends for what it receives, at literal times.

    tcp = established(mss=1000)
    tcp.write(bytes(2500), now=0.0)
    tcp.sends("1:2001(2000) ack 1 gso 1000")     every field named must be so; what isn't named may be anything
    tcp.receives(". ack 2001", now=0.1)

Numbers are relative: each side's SYN is 0. Flags as tcpdump writes them (S F R P .); without, any. The network below is
a real, if small, NetworkLayer: it keeps what it is given.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from schemefs.net.buffer import Chunks, joined
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import DeliveryError, Sink, Transport
from schemefs.net.offload import CHECKED
from schemefs.net.recent_drops import DroppedFrame
from schemefs.timers import Timers
from schemes.tcp import options, wire
from schemes.tcp.connection import Connection
from schemes.tcp.listener import Listener
from schemes.tcp.sequence import WIRE
from schemes.tcp.tcp import Tcp

US = packed("10.0.2.15") or b""
PEER = packed("10.0.2.2") or b""
ENDS = {4: (US, PEER), 6: (packed("fd00::15") or b"", packed("fd00::2") or b"")}
OUR_PORT, PEER_PORT = 40000, 80

_FLAGS = {"S": wire.SYN, "F": wire.FIN, "R": wire.RST, "P": wire.PSH, ".": wire.ACK, "E": wire.ECE, "W": wire.CWR}


class MemoryPath:
    """A way to the peer that ends in a list."""

    def __init__(self, network: MemoryNetwork, source: bytes, destination: bytes) -> None:
        self.network = network
        self.source = source
        self.destination = destination
        self.traffic_class = 0
        self.hop_limit = 64
        self.sink: Sink | None = None

    @property
    def mtu(self) -> int:
        return self.network.mtu

    @property
    def is_locked(self) -> bool:
        return self.network.is_locked

    @property
    def gso_max(self) -> int:
        return max(self.network.gso_max, self.network.mtu)

    @property
    def largest_window(self) -> int:
        return self.network.largest_window

    def send(
        self,
        protocol: int,
        header: bytes,
        payload: Chunks,
        now: float,
        *,
        checksum_offset: int = -1,
        gso_size: int = 0,
        hop_limit: int = 0,
        may_fragment: bool = False,
    ) -> bool:
        assert protocol == 6 and checksum_offset == 16 and not may_fragment
        if self.network.failure is not None:
            raise self.network.failure
        if not self.network.room:
            return False
        self.network.room -= 1
        octets = b"".join((header, *payload))
        partial = pseudo_header_sum(self.source, self.destination, 6, len(octets))
        assert int.from_bytes(header[16:18], "big") == partial
        assert len(payload) <= 64
        self.network.sent.append((octets, gso_size))
        self.network.traffic_classes.append(self.traffic_class)
        return True

    def turn_to(self, destination: bytes) -> bool:
        self.destination = destination
        return True

    def check(self) -> None:
        if self.network.failure is not None:
            raise self.network.failure

    def waited(self, now: float) -> float:
        waited, self.network.waited = self.network.waited, 0.0
        return waited

    def dropped(self, ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        return self.network.dropped

    def suspect(self, now: float) -> None:
        self.network.suspected.append(now)


class MemoryNetwork:
    """Keeps what is sent; `room` segments, then it refuses."""

    def __init__(self, us: bytes = US) -> None:
        self.us = us
        self.mtu = 1500
        self.gso_max = 65535
        self.largest_window = 0
        self.is_locked = False
        self.room = 1 << 30
        self.failure: SchemeError | None = None
        self.sent: list[tuple[bytes, int]] = []
        self.routes = None
        self.traffic_classes: list[int] = []  # of what was sent, ever
        self.waited = 0.0  # seconds for the next hop, since the last question
        self.dropped: list[DroppedFrame] = []
        self.suspected: list[float] = []  # when a transport said that nothing comes back
        self.interfaces: dict[str, object] = {}

    def path(self, destination: bytes, source: bytes = b"") -> MemoryPath:
        if self.failure is not None:
            raise self.failure
        return MemoryPath(self, source or self.us, destination)

    def register_transport(self, protocol: int, transport: Transport) -> None:
        assert protocol == 6

    def is_local(self, address: bytes) -> bool:
        return address == self.us

    def is_broadcast(self, address: bytes) -> bool:
        return address[-1] == 255


@contextmanager
def by_family(family: int) -> Iterator[None]:
    """Have the traces that are made in this context use IPv4 or IPv6."""
    before, Trace.family = Trace.family, family
    try:
        yield
    finally:
        Trace.family = before


@dataclass
class Shown:
    """A segment as a trace line."""

    flags: int = 0
    seq: int | None = None
    size: int | None = None
    ack: int | None = None
    win: int | None = None
    gso: int | None = None
    mss: int | None = None
    wscale: int | None = None
    ts: tuple[int, int] | None = None
    sack_ok: bool | None = None
    sack: tuple[tuple[int, int], ...] | None = None
    has_flags: bool = False
    payload: bytes = field(default=b"", repr=False)

    def text(self) -> str:
        letters = "".join(letter for letter, bit in _FLAGS.items() if self.flags & bit)
        seq, size = self.seq or 0, self.size or 0
        parts = [letters, f"{seq}:{seq + size}({size})"]
        parts += [f"ack {self.ack}"] if self.flags & wire.ACK else []
        parts += [f"{name} {value}" for name, value in (("win", self.win), ("gso", self.gso)) if value is not None]
        parts += [
            f"{name} {value}" for name, value in (("mss", self.mss), ("wscale", self.wscale)) if value is not None
        ]
        parts += [f"ts {self.ts[0]}:{self.ts[1]}"] if self.ts else []
        parts += ["sackOK"] if self.sack_ok else []
        parts += ["sack " + ",".join(f"{left}:{right}" for left, right in self.sack)] if self.sack else []
        return " ".join(parts)


def parse(text: str) -> Shown:
    """Read a trace line."""
    shown = Shown()
    words = text.split()
    if words and re.fullmatch(r"[SFRPEW.]+", words[0]):
        shown.has_flags = True
        for letter in words.pop(0):
            shown.flags |= _FLAGS[letter]
    while words:
        word = words.pop(0)
        if match := re.fullmatch(r"(-?\d+):(-?\d+)\((\d+)\)", word):
            shown.seq, shown.size = int(match[1]), int(match[3])
            assert int(match[2]) == shown.seq + shown.size, text
        elif word == "sackOK":
            shown.sack_ok = True
        elif word == "nosack":
            shown.sack = ()
        elif word == "sack":
            shown.sack = tuple((int(a), int(b)) for a, b in re.findall(r"(\d+):(\d+)", words.pop(0)))
        elif word == "ts":
            left, right = words.pop(0).split(":")
            shown.ts = (int(left), int(right))
        else:
            assert word in ("ack", "win", "gso", "mss", "wscale"), text
            setattr(shown, word, int(words.pop(0)))
    if shown.ack is not None:
        shown.flags |= wire.ACK
    return shown


class Trace:
    """One connection (or listener) under test and its peer, which is the test."""

    family = 4  # or 6
    first_number = 0  # ISS and IRS where none is given: conftest.py runs every trace once more across the wrap

    def __init__(self, *, iss: int | None = None, irs: int | None = None) -> None:
        self.timers = Timers()
        self.family = self.family
        self.us, self.peer = ENDS[self.family]
        self.header = bytes(20 if self.family == 4 else 40)  # in front of a segment that arrives
        self.network = MemoryNetwork(self.us)
        self.tcp = Tcp(self.network, self.timers, random.Random(1))  # type: ignore[arg-type]
        self.tcp.numbers = self  # type: ignore[assignment] # the numbers of the trace
        self.tcp._ephemeral = self  # type: ignore[assignment]
        self.iss = self.first_number if iss is None else iss
        self.irs = self.first_number if irs is None else irs
        self.now = 0.0
        self.connection: Connection
        self.listener: Listener
        self.changes = 0
        self.ports = (PEER_PORT, OUR_PORT)

    # What Tcp asks of its numbers and ports

    def choose(self, _ends: bytes, _now: float) -> tuple[int, int]:
        return self.iss & WIRE, 0

    def allocate(self, *_arguments: object) -> int:
        return OUR_PORT

    # The user

    def connect(self, now: float = 0.0, **attributes: float) -> Connection:
        self.now = now
        self.connection = self.tcp.connect(self.peer, PEER_PORT, now)
        for name, value in attributes.items():
            setattr(self.connection, name, value)
        self.connection.on_changed = self._changed
        self.tcp.begin(self.connection, now)
        return self.connection

    def listen(self, backlog: int = 8) -> Listener:
        self.listener = self.tcp.listen(bytes(len(self.us)), OUR_PORT)
        self.listener.backlog = backlog
        return self.listener

    def _changed(self) -> None:
        self.changes += 1

    def write(self, data: bytes, now: float | None = None) -> int | None:
        return self.connection.write(memoryview(data), self._at(now))

    def read(self, size: int = 1 << 20, now: float | None = None) -> bytes | None:
        data = self.connection.read(size, self._at(now))
        return data if data is None else joined(data)

    def fails(self, now: float | None = None) -> tuple[int, str]:
        """Return the errno and sentence that reading raises."""
        try:
            self.connection.read(1, self._at(now))
        except SchemeError as error:
            return error.errno, error.sentence
        raise AssertionError("it doesn't fail")

    # Time

    def _at(self, now: float | None) -> float:
        if now is not None:
            self.until(now)
            self.now = now
        return self.now

    def until(self, now: float) -> None:
        """Let time pass: every timer up to *now* fires at its own time."""
        while self.timers.next_deadline() <= now:
            self.now = max(self.now, self.timers.next_deadline())
            self.timers.on_deadline(self.now)
        self.now = now

    # The peer

    def octets(self, text: str, payload: bytes | None = None) -> bytes:
        """Return the segment that *text* describes, from the peer to us."""
        shown = parse(text)
        size = shown.size or 0
        if payload is None:
            payload = bytes((shown.seq or 0) + i & 0xFF for i in range(size))
        extra = b""
        if shown.mss is not None or shown.flags & wire.SYN:
            extra = options.syn_options(shown.mss or 1460, shown.wscale, shown.ts, sack_permitted=bool(shown.sack_ok))
        elif shown.ts or shown.sack:
            blocks = [(left + self.iss, right + self.iss) for left, right in shown.sack or ()]
            extra = options.ack_options(shown.ts, blocks)
        seq = (shown.seq if shown.seq is not None else self.peer_seq) + self.irs
        ack = (shown.ack or 0) + self.iss if shown.flags & wire.ACK else 0
        win = 65535 if shown.win is None else shown.win
        return wire.header(self.ports, seq, ack, shown.flags, win, 0, extra) + payload

    peer_seq = 1  # SEG.SEQ of what the peer sends without saying: the end of all it has sent
    follows = True

    def receives(
        self, text: str, now: float | None = None, *, payload: bytes | None = None, gso: int = 0, tos: int = 0
    ) -> None:
        """The peer's segment arrives, alone in its burst."""
        self.burst(text, now=now, payload=payload, gso=gso, tos=tos)

    def burst(
        self, *texts: str, now: float | None = None, payload: bytes | None = None, gso: int = 0, tos: int = 0
    ) -> None:
        """Several segments arrive at once; *tos*: the traffic class in their IP headers."""
        now = self._at(now)
        for text in texts:
            shown = parse(text)
            if shown.seq is not None and self.follows:
                self.peer_seq = max(self.peer_seq, shown.seq + (shown.size or 0) + bool(shown.flags & wire.SYN))
                self.peer_seq += bool(shown.flags & wire.FIN)
            octets = self.header + self.octets(text, payload)
            offload = CHECKED._replace(gso_size=gso)
            assert self.tcp.receive_datagram(
                self.peer, self.us, memoryview(octets), len(self.header), tos, 64, offload, now
            )
        self.timers.on_deadline(now)

    def icmp(
        self,
        errno: int,
        *,
        hard: bool,
        seq: int = 0,
        now: float | None = None,
        sentence: str = "no",
        reason: ErrorReason = ErrorReason.OTHER,
    ) -> None:
        """An ICMP error about a segment of ours arrives."""
        quoted = wire.HEADER.pack(OUR_PORT, PEER_PORT, seq + self.iss & WIRE, 0, 0x5000, 0, 0, 0)[:8]
        error = DeliveryError(errno, hard, sentence, 6, self.us, self.peer, quoted, reporter=self.peer, reason=reason)
        self.tcp.receive_error(error, self._at(now))

    # What we send

    def taken(self) -> Iterable[Shown]:
        """Return what was sent since the last look."""
        sent = [self._shown(octets, gso) for octets, gso in self.network.sent]
        self.network.sent.clear()
        return sent

    def _shown(self, octets: bytes, gso: int) -> Shown:
        segment_view = memoryview(octets)
        _, _, seq, ack, word, win, _, urgent = wire.HEADER.unpack_from(octets)
        end = word >> 12 << 2
        segment = wire.Segment(seq, ack, word & 0x1FF, win, segment_view[end:], 0)
        wire.parse_options(segment, segment_view, 20, end)
        assert not urgent
        return Shown(
            segment.flags,
            _near(seq - self.iss),
            segment.size,
            _near(ack - self.irs) if segment.flags & wire.ACK else None,
            win,
            gso,
            segment.mss or None,
            segment.scale if segment.scale >= 0 else None,
            (segment.timestamp, segment.echo) if segment.timestamp >= 0 else None,
            segment.sack_permitted,
            tuple((_near(left - self.irs), _near(right - self.irs)) for left, right in segment.sack),
            True,
            bytes(segment.payload),
        )

    def sends(self, *expected: str) -> None:
        """Everything sent since the last look is exactly *expected*, in order, in the fields that are named."""
        sent = list(self.taken())
        lines = "\n  ".join(["sent:", *(one.text() for one in sent)])
        assert len(sent) == len(expected), f"expected {expected}, {lines}"
        for one, text in zip(sent, expected, strict=True):
            want = parse(text)
            for name in ("seq", "size", "ack", "win", "gso", "mss", "wscale", "ts", "sack_ok", "sack"):
                value = getattr(want, name)
                assert value is None or value == getattr(one, name), f"{name}: expected {text!r}, {lines}"
            psh = 0 if want.flags & wire.PSH else wire.PSH
            if want.has_flags:
                assert one.flags & ~psh == want.flags, f"flags: expected {text!r}, {lines}"

    def sends_nothing(self) -> None:
        self.sends()

    @property
    def state(self) -> str:
        return self.connection.state


def _near(number: int) -> int:
    """Return a 32-bit difference as a small signed number."""
    return (number + 0x80000000 & WIRE) - 0x80000000


def established(
    *,
    mss: int = 1460,
    cwnd: int | None = None,
    win: int = 65535,
    options_text: str = "",
    iss: int | None = None,
    irs: int | None = None,
    rtt: float = 0.0,
    **attributes: float,
) -> Trace:
    """Return a connection just opened by us, at time *rtt*, the handshake forgotten. Without options but MSS."""
    tcp = Trace(iss=iss, irs=irs)
    tcp.connect(**attributes)
    tcp.receives(f"S. 0:0(0) ack 1 mss {mss} win {win} {options_text}", now=rtt)
    list(tcp.taken())
    tcp.connection.quick_acks = 0
    tcp.connection.congestion.cwnd = cwnd if cwnd is not None else 1 << 20
    assert tcp.state == "ESTABLISHED"
    return tcp


def accepted(
    *, options_text: str = "", mss: int = 1460, win: int = 65535, iss: int | None = None, irs: int | None = None
) -> Trace:
    """Return a connection just accepted from a listener, at time 0, the handshake forgotten."""
    tcp = Trace(iss=iss, irs=irs)
    tcp.listen()
    tcp.receives(f"S 0:0(0) mss {mss} win {win} {options_text}")
    stamp = re.search(r"ts \d+:\d+", options_text)
    tcp.receives(f". 1:1(0) ack 1 win {win} {stamp[0] if stamp else ''}")
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    tcp.connection = connection
    connection.quick_acks = 0
    connection.on_changed = tcp._changed
    list(tcp.taken())
    return tcp


__all__ = ["OUR_PORT", "PEER", "PEER_PORT", "US", "Trace", "accepted", "by_family", "established"]
