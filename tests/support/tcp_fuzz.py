"""What a fuzzer's octets mean to a TCP: a state to begin in, then segments, replays, time, ICMP errors and calls.

`run(octets)` does it all under virtual time and checks after every step what must be true whatever arrives:

* nothing raises, in a timer neither; a RST is never answered by a RST, and no segment by a storm;
* states follow each other as the machine of RFC 9293 §3.3.2 has them;
* SND and RCV variables are in order, and what is sent says so;
* a segment is used, or counted once under one reason;
* memory is bounded: queues by their windows, connections by the SYN queue and the backlog;
* at the end, closed and left alone, everything is gone: connections, TIME-WAITs, timers.

The octets are read by a grammar in which every octet means something, so a mutation is another story, not nonsense.
Coverage-guided by `tests/fuzz/fuzz_segments.py`, random in `test_tcp_fuzz.py`.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import Final

from schemefs.errors import SchemeError
from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import EventData
from schemefs.net.offload import CHECKED
from schemefs.scheme import Event
from schemes.tcp import options, states, wire
from schemes.tcp.connection import Connection
from schemes.tcp.listener import SYN_QUEUE
from schemes.tcp.reassembly import MAX_BLOCKS, MAX_PIECES
from schemes.tcp.sequence import WIRE
from tests.support.event_schema import check_event
from tests.support.tcp_states import STATES
from tests.support.tcp_trace import Trace, by_family

STEPS: Final = 60
STORM: Final = 64  # segments sent for one that has arrived, or one call

_NEXT: Final = {
    states.CLOSED: {states.SYN_SENT, states.SYN_RECEIVED},
    # from SYN-SENT to itself: the peer's next address is tried
    states.SYN_SENT: {states.ESTABLISHED, states.SYN_RECEIVED, states.CLOSED, states.SYN_SENT},
    states.SYN_RECEIVED: {states.ESTABLISHED, states.FIN_WAIT_1, states.CLOSED},
    states.ESTABLISHED: {states.FIN_WAIT_1, states.CLOSE_WAIT, states.CLOSED},
    states.FIN_WAIT_1: {states.FIN_WAIT_2, states.CLOSING, states.TIME_WAIT, states.CLOSED},
    states.FIN_WAIT_2: {states.TIME_WAIT, states.CLOSED},
    states.CLOSE_WAIT: {states.LAST_ACK, states.CLOSED},
    states.CLOSING: {states.TIME_WAIT, states.CLOSED},
    states.LAST_ACK: {states.CLOSED},
    states.TIME_WAIT: {states.CLOSED},
}
"""The state machine of §3.3.2, and CLOSED from everywhere: resets and time-outs."""

_FLAGS: Final = (
    wire.ACK, wire.ACK | wire.PSH, wire.ACK | wire.FIN, wire.SYN, wire.SYN | wire.ACK, wire.RST, wire.RST | wire.ACK,
    wire.ACK | wire.URG, wire.FIN, 0, wire.SYN | wire.FIN, wire.SYN | wire.RST, wire.ACK | wire.FIN | wire.PSH,
    wire.ACK | wire.ECE, wire.ACK | wire.CWR, 0x1FF,
)  # fmt: skip
_OFFSETS: Final = (0, 0, 0, 0, 1, -1, 2, 100, -100, 1000, -1000, 1460, 3000, 65535, 1 << 20, 1 << 31)
_SIZES: Final = (0, 0, 0, 0, 1, 1, 2, 100, 536, 999, 1000, 1001, 1448, 1460, 3000, 30000)
_WINDOWS: Final = (65535, 65535, 65535, 0, 0, 1, 2, 100, 500, 512, 1000, 1460, 4096, 8192, 32768, 40000)
_PAUSES: Final = (0, 0.001, 0.01, 0.04, 0.1, 0.2, 0.5, 1, 1, 2, 5, 30, 61, 200, 1000, 90000)


def segments_dropped(trace: Trace) -> int:
    """Return the sum of the reasons in `tcp/stats` that are about received segments."""
    rows = trace.tcp.stats().items()
    return sum(int(n) for name, n in rows if name.startswith("dropped_") and "_icmp_" not in name)


class Octets:
    """The story, read octet by octet; after its end, zeros."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    def one(self) -> int:
        self._at += 1
        return self._octets[self._at - 1] if self._at <= len(self._octets) else 0

    def some(self, count: int) -> bytes:
        self._at += count
        return self._octets[self._at - count : self._at].ljust(count, b"\0")

    def number(self) -> int:
        return int.from_bytes(self.some(4), "big")


class Story:
    """One run."""

    def __init__(self, octets: bytes, family: int) -> None:
        self.octets = Octets(octets)
        choice = self.octets.one()
        iss, irs = (0, 0) if choice < 128 else (WIRE - 2000, WIRE - 2000)
        with by_family(family):
            self.trace: Trace = STATES[choice % len(STATES)](iss, irs)
        self.arrived: list[bytes] = []
        self.watched: dict[int, Connection] = {}
        self._take_sent()
        self._watch()

    # Steps

    def run(self) -> None:
        """Do what the octets say, then let everything end."""
        steps = (self._segment, self._segment, self._segment, self._segment, self._replay, self._raw, self._wait,
                 self._wait, self._user, self._user, self._icmp, self._link)  # fmt: skip
        for _ in range(STEPS):
            if not self.octets:
                break
            step = steps[self.octets.one() % len(steps)]
            step()
            self._check()
        self._end()

    def _segment(self) -> None:
        """A segment that the peer, or an attacker with some knowledge, could send."""
        take = self.octets.one
        c = self._connection()
        seqs = [0, 1] if c is None else [c.rcv.nxt, c.rcv.edge, c.rcv.irs, c.rcv.acked]
        acks = [0, 1] if c is None else [c.snd.una, c.snd.nxt, c.snd.iss, c.snd.iss + 1]
        where, how, extra, size = take(), take(), take(), _SIZES[take() % 16]
        seq = seqs[where % len(seqs)] + _OFFSETS[where >> 4]
        ack = acks[how % len(acks)] + _OFFSETS[how >> 4]
        flags = _FLAGS[extra & 15]
        if extra >= 240:
            seq, ack, flags = self.octets.number(), self.octets.number(), take() | (take() & 1) << 8
        self._arrives(self._header(seq, ack, flags, extra, c) + bytes(size))

    def _header(self, seq: int, ack: int, flags: int, extra: int, c: Connection | None) -> bytes:
        take = self.octets.one
        kind = extra >> 4 & 7
        stamp = None
        if kind & 1:
            recent = c.ts_recent if c is not None else 1
            echo = c.timestamp(self.trace.now) if c is not None else 0
            stamp = ((recent + _OFFSETS[take() & 15]) & WIRE, (echo - (take() & 127)) & WIRE)
        blocks = []
        if kind & 2 and c is not None:
            for _ in range(take() & 3):
                left = c.snd.una + take() * 500
                blocks.append((left, left + take() * 100))
        option_octets = options.ack_options(stamp, blocks)
        if flags & wire.SYN:
            scale = take() & 15
            option_octets = options.syn_options(take() << 5, scale, stamp, sack_permitted=bool(kind & 2))
        elif kind == 4:
            option_octets = self.octets.some(take() % 11 * 4)
        return wire.header(
            self.trace.ports, seq, ack, flags, _WINDOWS[take() & 15], take() << 8 | take(), option_octets
        )

    def _replay(self) -> None:
        """One that has come before, perhaps with an octet changed: but for that, what a network does of itself."""
        if self.arrived:
            octets = bytearray(self.arrived[self.octets.one() % len(self.arrived)])
            change = self.octets.one()
            if change & 1 and octets:
                octets[self.octets.one() % min(len(octets), 60)] ^= change
            self._arrives(bytes(octets))

    def _raw(self) -> None:
        """Octets without any sense, from the right ports."""
        ports = b"".join(port.to_bytes(2, "big") for port in self.trace.ports)
        self._arrives(ports + self.octets.some(self.octets.one() % 64))

    def _wait(self) -> None:
        self._until(self.trace.now + _PAUSES[self.octets.one() & 15])

    def _user(self) -> None:
        """A call on the connection, or accept."""
        c, now, what = self._connection(), self.trace.now, self.octets.one()
        listener = getattr(self.trace, "listener", None)
        if listener is not None and what & 1:
            listener.accept(now)
        if c is None or c.listener is not None:
            return
        calls: tuple[Callable[[], object], ...] = (
            lambda: c.write(memoryview(bytes(_SIZES[self.octets.one() & 15])), now),
            lambda: c.read(_SIZES[self.octets.one() & 15], now),
            lambda: c.read(1 << 20, now),
            lambda: c.shutdown(read=False, write=True, now=now),
            lambda: c.shutdown(read=True, write=False, now=now),
            lambda: c.discard_input(discard=True, now=now),
            lambda: c.close(now),
            lambda: c.close_lingering(now),
            lambda: c.abort(now),
            lambda: self._set(c),
            lambda: c.opening(now),
            lambda: c.synced(now),
        )
        with contextlib.suppress(SchemeError):
            if not c.closed:
                calls[(what >> 1) % len(calls)]()

    def _set(self, c: Connection) -> None:
        """Change a setting."""
        name, value = (
            ("nodelay", "1"), ("keepalive", "1"), ("keepalive_interval", "2"), ("user_timeout", "5"), ("linger", "3"),
            ("linger", "0"), ("congestion", "newreno"), ("urgent", "1"), ("advertise_timeout", "300"), ("nodelay", "0"),
        )[self.octets.one() % 10]  # fmt: skip
        put = c.settings[name].set
        assert put is not None
        with contextlib.suppress(SchemeError):  # no effect in this state
            put(value)

    def _icmp(self) -> None:
        code, number = self.octets.one() & 7, (errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EMSGSIZE)
        c = self._connection()
        seq = 0 if c is None else c.snd.una - c.snd.iss + (self.octets.one() & 3)
        if code == 4:
            mtus = (1500, 576, 296, 68) if self.trace.family == 4 else (1500, 1400, 1281, 1280)
            self.trace.network.mtu = mtus[self.octets.one() & 3]
        reason = tuple(ErrorReason)[code]
        self.trace.icmp(number[code % 3], hard=bool(code & 1), seq=seq, reason=reason)

    def _link(self) -> None:
        """The link fills up, or has room again."""
        network = self.trace.network
        network.room = (0, 1, 5, 1 << 30)[self.octets.one() & 3]
        if network.room:
            self.trace.tcp.transmit_space(self.trace.now)

    # What all of them do

    def _arrives(self, octets: bytes) -> None:
        self.arrived.append(octets)
        trace = self.trace
        self._take_sent()
        traffic_class = len(octets) & 3  # ECN's field, without an octet of its own in the story
        datagram = memoryview(trace.header + octets)
        offload = CHECKED._replace(gso_size=1000) if len(octets) > 2000 else CHECKED
        came, counted = trace.tcp.statistics.in_segments, segments_dropped(trace)
        assert trace.tcp.receive_datagram(
            trace.peer, trace.us, datagram, len(trace.header), traffic_class, 64, offload, trace.now
        )
        trace.timers.on_deadline(trace.now)
        came = trace.tcp.statistics.in_segments - came
        assert segments_dropped(trace) - counted in (0, came), "a reason is missing, or there are two"
        flags = self._take_sent()
        assert len(flags) <= STORM, len(flags)
        if len(octets) >= 20 and octets[13] & wire.RST:
            assert not any(each & wire.RST for each in flags), "a RST for a RST"
        assert len(trace.tcp.connections) <= SYN_QUEUE + len(self.watched)

    def _take_sent(self) -> list[int]:
        """Return the flags of what was sent since the last look."""
        sent = self.trace.network.sent
        flags = [octets[13] for octets, _ in sent]
        sent.clear()
        return flags

    def _until(self, end: float) -> None:
        """Let time pass, and bound what happens in it: back-off and probes, never a storm."""
        trace, fired = self.trace, 0
        while trace.timers.next_deadline() <= end:
            trace.now = max(trace.now, trace.timers.next_deadline())
            trace.timers.on_deadline(trace.now)
            fired += 1
            assert len(self._take_sent()) <= STORM
            assert fired < 100_000, "timers without end"
        trace.now = end

    def _connection(self) -> Connection | None:
        return next(iter(self.trace.tcp.connections.values()), None)

    def _watch(self) -> None:
        for c in self.trace.tcp.connections.values():
            if id(c) not in self.watched:
                self.watched[id(c)] = c
                c.record_to(self._note)

    @staticmethod
    def _note(_now: float | None, text: str, name: str, data: EventData) -> None:
        check_event(text, name, data)
        before, arrow, after = text.partition(" -> ")
        if arrow and before in _NEXT and after.isupper():
            assert after in _NEXT[before], text

    # What must be true

    def _check(self) -> None:
        self._watch()
        assert not self.trace.timers.failed, "a timer raised"
        for c in self.trace.tcp.connections.values():
            self._check_connection(c)

    def _check_connection(self, c: Connection) -> None:
        snd, rcv = c.snd, c.rcv
        assert c.state in _NEXT
        assert c.state not in (states.CLOSED, states.TIME_WAIT)
        assert snd.iss <= snd.una <= snd.nxt <= c.send_buffer.end + 1
        assert rcv.nxt <= rcv.edge
        assert rcv.offered <= rcv.edge
        assert c.send_buffer.start <= max(snd.una, snd.iss + 1)
        assert 0 <= c.recovery.pipe <= snd.nxt - snd.una + c.mss
        assert c.congestion.cwnd >= 1
        window = 0xFFFF << rcv.scale
        assert c.receive_buffer.size <= c.receive_buffer.capacity + (1 << rcv.scale)
        assert c.reassembly.size <= window
        assert len(c.reassembly._blocks) <= MAX_BLOCKS
        assert c.reassembly._pieces <= MAX_PIECES + MAX_BLOCKS
        assert c.rtt.rto <= 60
        assert c.fevent(Event.ALL) | Event.ALL == Event.ALL
        c.status(self.trace.now)
        if (snd.nxt > snd.una or c.send_buffer.end > snd.nxt) and c.state in states.SENDING and not c.blocked:
            assert c.retransmission.armed, "octets in flight without a timer"

    def _end(self) -> None:
        """All users close: what is left ends when its time is over."""
        trace = self.trace
        trace.network.room = 1 << 30
        trace.tcp.transmit_space(trace.now)
        listener = getattr(trace, "listener", None)
        if listener is not None:
            listener.close(trace.now)
        for c in tuple(trace.tcp.connections.values()):
            c.keepalive = 0.0
            c.close_lingering(trace.now)
        self._check()
        # A window that the peer keeps closed is probed for as long as it answers; here it does not.
        self._until(trace.now + 3600)
        self._check()
        assert not trace.tcp.connections, [c.state for c in trace.tcp.connections.values()]
        assert not len(trace.tcp.time_waits)
        assert not trace.timers.pending, "a timer is left"


def run(octets: bytes, family: int = 0) -> None:
    """Live through the story that *octets* tell; *family* 0: the last octet chooses IPv4 or IPv6."""
    Story(octets, family or (4, 6)[octets[-1] & 1 if octets else 0]).run()
