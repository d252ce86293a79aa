"""A segment that is refused leaves the connection as it was: every field of it is compared, in every state.

What may change: counters, the budget of challenge ACKs, and what the sending of the ACK that RFC 9293 demands changes.
In SYN-SENT the RST to a half-open peer is followed by another SYN.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemefs.net.offload import CHECKED
from schemefs.timers import Timer
from schemes.tcp import options, states, wire
from schemes.tcp.arrival import TS_RECENT_LIFE
from schemes.tcp.control_block import ControlBlock
from schemes.tcp.sequence import WIRE, unwrap
from schemes.tcp.time_wait import TimeWait
from tests.support.examples import examples
from tests.support.tcp_states import OPTIONS, STATES
from tests.support.tcp_trace import PEER, US, MemoryPath, Trace, accepted, established

Fields = dict[str, Any]

COUNTED: Final = frozenset(
    {".segments_in", ".segments_out", ".listener.overflows", ".replies", ".replies._began_at", ".replies._sent"}
)
ANSWERED: Final = frozenset(
    {".rcv.acked", ".rcv.offered", ".rcv.edge", ".delayed_ack", ".dsack", ".reply", ".timeout_due", ".answered_at"}
)
"""What an ACK changes that leaves: last ACK sent, advertised window, timer of the delayed ACK, what it reports."""


def held(iss: int = 0, irs: int = 0) -> Trace:
    """Text out of order, text that is not acknowledged yet, and octets in flight."""
    tcp = accepted(iss=iss, irs=irs, mss=1000, options_text=OPTIONS)
    tcp.connection.advertised_timeout = 300.0
    tcp.receives("P. 1:101(100) ack 1 ts 5:0", now=1.0)
    tcp.receives("P. 501:601(100) ack 1 ts 6:0", now=1.1)
    tcp.write(bytes(5000))
    tcp.receives("P. 101:111(10) ack 1001 ts 7:0", now=1.2)
    return tcp


def full(iss: int = 0, irs: int = 0) -> Trace:
    """Our window is closed."""
    tcp = established(iss=iss, irs=irs, options_text=OPTIONS)
    tcp.connection.receive_buffer.capacity = 4000
    tcp.receives("P. 1:4001(4000) ack 1 ts 5:0", now=1.0)
    tcp.until(1.1)
    return tcp


def waiting_with_timestamps(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, options_text=OPTIONS)
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    tcp.receives("F. 1:1(0) ack 2 ts 9:0", now=1.0)
    return tcp


def closing_with_timestamps(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, options_text=OPTIONS)
    tcp.connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 1 ts 9:0", now=1.0)
    return tcp


SYN_AGAIN: Final = frozenset(
    {".syn_retries", ".retransmission", ".retransmissions", ".rtt.timed_at", ".rtt.retransmitted_at"}
)
"""What the SYN changes that follows our RST to a half-open peer."""

PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate)  # a failure is short as it is, and shrinking is slow

MAKERS: Final = [*STATES, held, full, waiting_with_timestamps, closing_with_timestamps]


def fields_of(value: Any, name: str = "", seen: frozenset[int] = frozenset()) -> Fields:
    """Return every field of *value*, and of what belongs to it, by its path."""
    if isinstance(value, Timer):
        return {name: value.deadline}
    if isinstance(value, MemoryPath):
        return {name: (value.source, value.destination, value.traffic_class)}
    if isinstance(value, list | tuple | deque | set):
        fields = {f"{name}.length": len(value)}
        for at, one in enumerate(value):
            fields |= fields_of(one, f"{name}[{at}]", seen)
        return fields
    if value is None or callable(value) or isinstance(value, int | float | str | bytes | memoryview | bytearray):
        return {name: bytes(value) if isinstance(value, memoryview | bytearray) else value}
    if id(value) in seen:
        return {}
    names = [slot for base in type(value).__mro__ for slot in getattr(base, "__slots__", ())]
    names += list(getattr(value, "__dict__", ()))
    seen |= {id(value)}
    fields = {}
    for each in names:
        if each not in ("tcp", "sink", "connection"):
            fields |= fields_of(getattr(value, each), f"{name}.{each}", seen)
    return fields


class Arriving:
    """A segment, with numbers as they are unwrapped."""

    def __init__(self, draw: Any, tcp: Trace, entry: ControlBlock | TimeWait | None) -> None:
        if isinstance(entry, ControlBlock):
            rcv, snd = entry.rcv, entry.snd
            lefts, acks = (rcv.nxt, rcv.edge, rcv.irs, rcv.acked), (snd.una, snd.nxt, snd.iss, snd.una - snd.max_wnd)
            recent, stamp = entry.ts_recent, entry.timestamp(tcp.now)
        elif entry is not None:
            lefts, acks = (entry.rcv_nxt, entry.rcv_nxt + entry.wnd), (entry.snd_nxt, entry.oldest_ack)
            recent, stamp = entry.ts_recent, 0
        else:
            lefts, acks, recent, stamp = (0,), (0,), 0, 0
        near = st.sampled_from((0, 0, 0, 1, -1, 2, 10, -10, 100, -5000, 70_000, 0x30000000, -0x30000000))
        self.seq = draw(st.sampled_from(lefts)) + draw(near)
        self.ack = draw(st.sampled_from(acks)) + draw(near)
        self.flags = draw(
            st.sampled_from((wire.ACK, wire.ACK, wire.ACK | wire.PSH, wire.ACK | wire.FIN, wire.ACK | wire.URG, 0))
            | st.sampled_from((wire.SYN, wire.RST, wire.SYN | wire.ACK, wire.RST | wire.ACK, wire.FIN, wire.PSH))
            | st.integers(0, 0xFF)
        )
        self.size = draw(st.sampled_from((0, 0, 1, 10, 100, 1000, 5000)))
        self.timestamp = draw(st.none() | near.map(lambda offset: recent + offset & WIRE))
        self.is_marked = draw(st.booleans())
        shown = (self.timestamp, stamp & WIRE) if self.timestamp is not None else None
        left = draw(st.integers(0, 5000)) + acks[0]
        blocks = [(left, left + draw(st.integers(1, 2000)))] if draw(st.booleans()) else []
        extra = b"\x1c\x04\x01\x00" if draw(st.booleans()) and not blocks else b""
        if self.flags & wire.SYN:
            extra += options.syn_options(1200, 3, shown, sack_permitted=True)
        else:
            extra += options.ack_options(shown, blocks)
        urgent = draw(st.integers(0, 100))
        header = wire.header(tcp.ports, self.seq, self.ack, self.flags, draw(st.integers(0, 65535)), 0, extra)
        self.octets = bytes(20) + header[:18] + urgent.to_bytes(2, "big") + header[20:] + bytes(self.size)

    @property
    def length(self) -> int:
        return self.size + bool(self.flags & wire.FIN) + bool(self.flags & wire.SYN)

    def is_in_window(self, nxt: int, edge: int) -> bool:
        seq = unwrap(self.seq & WIRE, nxt)
        return seq <= edge and (seq + self.length > nxt if self.length else seq >= nxt)


def refusal(tcb: ControlBlock, segment: Arriving, now: float) -> str:
    """Return why RFC 9293 §3.10.7.3 and §3.10.7.4, RFC 5961 and RFC 7323 §5.3 refuse *segment*; empty: they do not."""
    snd, rcv, flags = tcb.snd, tcb.rcv, segment.flags
    seq, ack = unwrap(segment.seq & WIRE, rcv.nxt), unwrap(segment.ack & WIRE, snd.una)
    if tcb.state == states.SYN_SENT:
        if flags & wire.ACK and not snd.iss < ack <= snd.nxt:
            return "ack_too_far"
        if flags & wire.RST:
            return "" if flags & wire.ACK else "no_ack"
        return "" if flags & wire.SYN else "no_syn"
    if flags & wire.RST:
        if not segment.is_in_window(rcv.nxt, rcv.edge):
            return "out_of_window"
        return "" if seq == rcv.nxt else "inexact_reset"
    if flags & wire.SYN:
        if tcb.state != states.SYN_RECEIVED or seq != rcv.irs or (flags & wire.ACK and ack != snd.nxt):
            return "unexpected_syn"
        if not flags & wire.ACK:
            return ""  # the SYN-ACK goes again
    if tcb.timestamps_on and segment.timestamp is not None:
        if (segment.timestamp - tcb.ts_recent) & 0x80000000 and now - tcb.ts_recent_at < TS_RECENT_LIFE:
            return "old_timestamp"
    if not segment.is_in_window(rcv.nxt, rcv.edge) and not flags & wire.SYN:
        return "out_of_window"
    if not flags & wire.ACK:
        return "no_ack"
    if tcb.state == states.SYN_RECEIVED:
        return "" if snd.una < ack <= snd.nxt else "ack_too_far"
    return "" if max(snd.una - snd.max_wnd, snd.iss + 1) <= ack <= snd.nxt else "ack_too_far"


def refusal_in_time_wait(old: TimeWait, segment: Arriving) -> str:
    """The same for TIME-WAIT, in which nothing but an ACK, an exact RST and the FIN again is expected."""
    flags = segment.flags
    is_in_window = segment.is_in_window(old.rcv_nxt, old.rcv_nxt + old.wnd)
    seq, ack = unwrap(segment.seq & WIRE, old.rcv_nxt), unwrap(segment.ack & WIRE, old.snd_nxt)
    is_ack_sent = old.oldest_ack <= ack <= old.snd_nxt
    if flags & wire.RST:
        return "out_of_window" if not is_in_window else "" if seq == old.rcv_nxt else "inexact_reset"
    if flags & wire.SYN:
        return "unexpected_syn"
    if old.timestamps_on and segment.timestamp is not None:
        if (segment.timestamp - old.ts_recent) & 0x80000000:
            return "old_timestamp"
    if not is_in_window:
        is_fin_again = flags & wire.FIN and flags & wire.ACK and seq + segment.length == old.rcv_nxt and is_ack_sent
        return "" if is_fin_again else "out_of_window"
    if not flags & wire.ACK:
        return "no_ack"
    return "" if is_ack_sent else "ack_too_far"


def dropped(tcp: Trace) -> Fields:
    """Return the reasons that were counted so far."""
    statistics = tcp.tcp.statistics
    return {name[8:]: getattr(statistics, name) for name in dir(statistics) if name.startswith("dropped_")}


def receive(tcp: Trace, segment: Arriving) -> dict[str, int]:
    """Let *segment* arrive; return the reasons that it was counted under."""
    before = dropped(tcp)
    tcp.network.sent.clear()
    datagram = memoryview(segment.octets)
    tcp.tcp.receive_datagram(PEER, US, datagram, 20, 3 * segment.is_marked, 64, CHECKED, tcp.now)
    tcp.timers.on_deadline(tcp.now)
    return {reason: number - before[reason] for reason, number in dropped(tcp).items() if number != before[reason]}


def entry_of(tcp: Trace) -> ControlBlock | TimeWait | None:
    return next(iter((*tcp.tcp.connections.values(), *tcp.tcp.time_waits._waiting.values())), None)


numbers_of_both = st.sampled_from(((0, 0), (WIRE - 2000, WIRE - 2000)))
pauses = st.sampled_from((0.001, 0.03, 0.5))


@settings(max_examples=examples(250), deadline=None, phases=PHASES)
@given(make=st.sampled_from(MAKERS), numbers=numbers_of_both, pause=pauses, data=st.data())
def test_a_refused_segment_changes_nothing(make: Any, numbers: tuple[int, int], pause: float, data: Any) -> None:
    tcp = make(*numbers)
    tcp.until(tcp.now + pause)
    entry = entry_of(tcp)
    for _ in range(3):
        segment = Arriving(data.draw, tcp, entry)
        if isinstance(entry, ControlBlock):
            reason = refusal(entry, segment, tcp.now)
        elif isinstance(entry, TimeWait) and not segment.flags & wire.SYN:
            reason = refusal_in_time_wait(entry, segment)
        else:
            return
        before = fields_of(entry)
        counted = receive(tcp, segment)
        if not reason:
            return
        assert counted == {reason: 1}
        after = fields_of(entry)
        changed = {name for name in before if name not in after or before[name] != after[name]}
        changed |= {name for name in after if name not in before}
        flags = {octets[13] & (wire.SYN | wire.RST) for octets, _ in tcp.network.sent}
        allowed = COUNTED | (ANSWERED if 0 in flags else set()) | (SYN_AGAIN if wire.SYN in flags else set())
        assert changed <= allowed, {name: (before.get(name), after.get(name)) for name in changed}


def taken(tcb: ControlBlock) -> tuple[Any, ...]:
    """Return what changes when text or a FIN of an acceptable segment is used."""
    return tcb.rcv.nxt, tcb.rcv.fin_at, tcb.reassembly.size


@settings(max_examples=examples(250), deadline=None, phases=PHASES)
@given(make=st.sampled_from(MAKERS), numbers=numbers_of_both, pause=pauses, data=st.data())
def test_segments_in_are_used_or_counted_by_one_reason(
    make: Any, numbers: tuple[int, int], pause: float, data: Any
) -> None:
    """Segments in = used + the sum of the reasons; what is used is judged here by the RFCs and by its effect."""
    tcp = make(*numbers)
    tcp.until(tcp.now + pause)
    began, reasons_began, used = tcp.tcp.statistics.in_segments, sum(dropped(tcp).values()), 0
    for _ in range(6):
        entry = entry_of(tcp)
        segment = Arriving(data.draw, tcp, entry)
        if entry is None:
            is_used = segment.flags & (wire.SYN | wire.ACK | wire.RST) == wire.SYN and bool(tcp.tcp.listeners)
            receive(tcp, segment)
        elif isinstance(entry, TimeWait):
            is_used = not refusal_in_time_wait(entry, segment) and (
                bool(segment.flags & wire.RST) or not segment.length
            )
            receive(tcp, segment)
            is_used |= entry_of(tcp) is not entry  # a new SYN
        else:
            is_used = not refusal(entry, segment, tcp.now)
            before, state = taken(entry), entry.state
            counted = receive(tcp, segment)
            has_ended = entry.state == states.CLOSED and "text_after_close" not in counted  # by RST or the last ACK
            is_syn = state == states.SYN_SENT or segment.flags & (wire.SYN | wire.ACK) == wire.SYN
            if is_used and segment.length and not has_ended and not is_syn:
                fin = unwrap(segment.seq & WIRE, entry.rcv.nxt) + segment.size
                is_fin_noted = segment.flags & wire.FIN and fin == entry.rcv.fin_at > entry.rcv.nxt
                is_used = taken(entry) != before or bool(is_fin_noted)
        used += is_used
        came = tcp.tcp.statistics.in_segments - began
        assert came == used + sum(dropped(tcp).values()) - reasons_began, (is_used, dropped(tcp))
        tcp.until(tcp.now + pause)
