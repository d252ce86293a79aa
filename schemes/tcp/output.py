"""Segments out: what to send now, in what size, with which header (RFC 9293 §3.8, §3.7.4, §3.8.6.2.1).

`transmit` is the one place that sends text and FIN. It is called after anything changed that could allow more: a
write, an ACK, a timer, room on the link. It makes super-segments: slices of the send queue of up to 64 KiB, cut to the
MSS only by a link that can't do it.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.network_layer import TCP
from schemes.tcp import ecn, stall_reason, user_timeout
from schemes.tcp.options import ack_options, syn_options, user_timeout_option
from schemes.tcp.recovery import OPEN
from schemes.tcp.states import RECEIVING, SENDING, SYN_RECEIVED, SYN_SENT
from schemes.tcp.wire import (
    ACK,
    CHECKSUM_OFFSET,
    CWR,
    ECE,
    FIN,
    HEADER_LENGTH,
    PSH,
    RST,
    SYN,
    URG,
    flags_text,
    header,
    header_with_timestamps,
)

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.network_layer import Path
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

MAX_SYN_WINDOW: Final = 0xFFFF  # SEG.WND of a SYN is never scaled (RFC 7323 §2.2)
LITTLE_WINDOW: Final = 1 << 15  # octets


def transmit(connection: ControlBlock, now: float) -> None:
    """Send what the windows allow: what was lost first, then what is new (RFC 6675 §5 (C))."""
    c = connection
    if c.blocked or c.state not in SENDING:
        return
    if c.path.mtu != c.path_mtu:
        c.measure_path()
    snd = c.snd
    if snd.una == snd.nxt and now - c.sent_at > c.rtt.rto:
        c.congestion.idle()
    before = c.segments_out
    while _send_lost(c, now):
        pass
    while _send_new(c, now):
        pass
    if not c.retransmission.armed and (snd.nxt > snd.una or c.out.end > snd.nxt or c.fin_queued):
        # In flight: RFC 6298 (5.1). Unsent and nothing in flight: the window is closed, so probe (§3.8.6.1).
        c.retransmission.set(now + c.rtt.rto)
    if c.segments_out != before:
        c.sent_at = now
    wakes_at = c.recovery.wakes_at
    if wakes_at != c.loss_timer.deadline:
        c.loss_timer.set(min(wakes_at, c.retransmission.deadline))
    if c.sink is not None:
        stall_reason.tell(c, now)


def _send_lost(c: ControlBlock, now: float) -> bool:
    """Send the first hole, or part of it, again; False: there is none, or no room."""
    recovery, snd = c.recovery, c.snd
    hole = recovery.next_hole()
    if hole is None:
        return False
    seq, length = hole
    room = c.congestion.cwnd - recovery.pipe
    if room < min(c.mss, length):
        if not recovery.retransmit_one_now:
            return False
        room = c.mss
    length = min(length, room, c.max_payload, snd.una + snd.wnd - seq)
    if length <= 0:  # the window shrank to before the hole: the retransmission timer will probe
        return False
    if c.mss < length < hole[1]:
        length -= length % c.mss
    sent = _send_range(c, seq, length, now)
    if sent:
        recovery.retransmitted(seq, seq + sent, now)
        c.rtt.retransmitted(now)
        if seq == snd.una:
            # It has as long as the first time (RFC 6298 (5.1)); what finds it lost once more is RACK, not the time-out.
            c.retransmission.set(now + c.rtt.rto)
        c.retransmissions += 1
        c.tcp.statistics.retransmitted_segments += -(-sent // c.mss)
    return bool(sent)


def _send_new(c: ControlBlock, now: float) -> bool:
    """Send octets for the first time, and the FIN after the last; False: nothing may be sent (any more)."""
    snd, out = c.snd, c.out
    nxt = snd.nxt
    available = out.end - nxt
    if available <= 0 and (c.fin_sent or not c.fin_queued):
        c.is_limited = False
        return False
    usable = snd.una + snd.wnd - nxt
    room = c.congestion.cwnd - c.recovery.pipe
    length = min(available, usable, room, c.max_payload)
    c.is_limited = room < c.mss and available > 0
    if length < available:
        length = _worth_sending(c, length, usable)
        if not length:
            return False
    elif available and available % c.mss and not _tail_may_go(c):
        length -= available % c.mss
        if not length:
            return False
    fin = c.fin_queued and length == available and usable > length
    if not length and not fin:
        return False
    if fin:
        c.fin_sent = True
    sent = _send_range(c, nxt, length + fin, now)
    if fin and sent <= length:
        c.fin_sent = False
    if sent:
        snd.nxt = nxt + sent
        c.recovery.sent(nxt, snd.nxt, now, c.rtt.srtt)
        if sent % c.mss:
            c.small_end = snd.nxt
        if c.recovery.phase is OPEN:  # else its ACK would also wait for a hole to be filled
            c.rtt.start(snd.nxt, now)
    return bool(sent)


def _worth_sending(c: ControlBlock, length: int, usable: int) -> int:
    """Return how much of *length* to send while more is queued: whole segments (SWS avoidance, §3.8.6.2.1)."""
    if length >= c.mss:
        return length - length % c.mss
    snd = c.snd
    # Rule (3): half the largest window is worth it, for peers whose whole buffer is smaller than a segment.
    if 0 < length == usable and length * 2 >= snd.max_wnd and (c.nodelay or snd.una == snd.nxt):
        return length
    return 0


def _tail_may_go(c: ControlBlock) -> bool:
    """Nagle (§3.7.4), as Minshall refined it: a short segment waits only while another short one is in flight."""
    return c.nodelay or c.fin_queued or c.small_end <= c.snd.una


def _send_range(c: ControlBlock, seq: int, length: int, now: float, *, is_probe: bool = False) -> int:
    """Send `[seq, seq + length)`, whose last may be the FIN; return how much went: less if it was too chopped."""
    end = c.out.end
    flags = ACK
    marking = c.notification if seq == c.snd.nxt and seq < end and not is_probe else None  # RFC 3168 §6.1.5, §6.1.6
    if marking is not None and marking.is_due:
        flags |= CWR
        length = min(length, c.mss)  # for one segment, not for each that a super-segment is cut into
    if c.snd.up > seq:
        flags |= URG
        length = min(length, c.mss)  # cutting a super-segment does not move the urgent pointer
    size = min(length, end - seq)
    chunks: Chunks = ()
    if size > 0:
        chunks, taken = c.out.slices(seq, size)
        if taken < size:
            length = size = taken
    if seq + size == end and size:
        flags |= PSH
    if seq + length > end:
        flags |= FIN
    if not _send(c, seq, flags, chunks, size, now, c.path if marking is None else marking.path):
        return 0
    if marking is not None and flags & CWR:
        marking.is_due = False
    return length


def send_ack(connection: ControlBlock, now: float) -> None:
    """Send an ACK without payload, with SACK blocks when something arrived out of order."""
    c = connection
    c.ack_now = True  # until it is sent: if the link has no room, it is owed
    _send(c, c.snd.acceptable_sequence(), ACK, (), 0, now)


def send_probe(connection: ControlBlock, now: float) -> None:
    """Send one octet into a closed window (§3.8.6.1), or the FIN when only that is left."""
    c, snd = connection, connection.snd
    if c.out.end <= snd.una:
        if not c.fin_queued:
            return
        c.fin_sent = True
    if _send_range(c, snd.una, 1, now, is_probe=True):
        if snd.nxt == snd.una:
            snd.nxt += 1
            c.recovery.sent(snd.una, snd.nxt, now, c.rtt.srtt)
        else:
            c.recovery.retransmitted(snd.una, snd.una + 1, now)
        c.rtt.retransmitted(now)


def send_tail_probe(connection: ControlBlock, now: float) -> None:
    """Send one segment past the congestion window, new if possible, to be told what has arrived (RFC 8985 §7.3)."""
    c, snd = connection, connection.snd
    nxt = snd.nxt
    size = min(c.mss, c.out.end - nxt, snd.una + snd.wnd - nxt)
    if size > 0:
        sent = _send_range(c, nxt, size, now)
        if sent:
            snd.nxt = nxt + sent
            c.recovery.sent(nxt, snd.nxt, now, c.rtt.srtt)
    else:
        start = max(snd.una, nxt - c.mss)
        sent = _send_range(c, start, nxt - start, now)
        if sent:
            c.recovery.retransmitted(start, start + sent, now)
            c.rtt.retransmitted(now)
            c.retransmissions += 1
            c.tcp.statistics.retransmitted_segments += 1
    if sent:
        c.recovery.probed(snd.nxt, is_retransmission=size <= 0)
        c.sent_at = now
        c.retransmission.set(now + c.rtt.rto)


def send_keepalive(connection: ControlBlock, now: float) -> None:
    """Send a segment that is one octet too old, which the peer has to answer (RFC 9293 §3.8.4)."""
    _send(connection, connection.snd.nxt - 1, ACK, (), 0, now)


def update_window(connection: ControlBlock, now: float) -> None:
    """The user has made room: tell the peer at once when it matters to it, else with the next ACK.

    It matters when what it may still send is little, and would be at least twice as much; so a reader that drains a
    closed window is felt at once, and a stream is not doubled by updates.
    """
    c, rcv = connection, connection.rcv
    wnd, capacity = rcv.wnd, c.inbox.capacity
    if (wnd >= LITTLE_WINDOW and wnd >= capacity // 8) or c.state not in RECEIVING:
        return
    edge = rcv.edge_for(_free(c), rcv.mss, capacity)
    if edge > rcv.offered and wnd * 2 <= edge - rcv.nxt:
        send_ack(c, now)


def syn_window(connection: ControlBlock) -> int:
    """SEG.WND of a SYN."""
    return min(connection.inbox.capacity, MAX_SYN_WINDOW)


def send_syn(connection: ControlBlock, now: float) -> None:
    """Send the SYN of SYN-SENT, or the SYN-ACK of SYN-RECEIVED, with the options that the state allows."""
    c, rcv = connection, connection.rcv
    is_reply = c.state == SYN_RECEIVED
    wnd = syn_window(c)
    timestamps = (c.timestamp(now), c.ts_recent) if c.timestamps_on or not is_reply else None
    octets = syn_options(
        min(c.path_mtu - c.ip_header_length - HEADER_LENGTH, 0xFFFF),
        c.window_scale if rcv.scale or not is_reply else None,
        timestamps,
        sack_permitted=c.sack_on or not is_reply,
        user_timeout=user_timeout.encode(c.advertised_timeout) if c.advertised_timeout else 0,
    )
    flags = SYN
    if is_reply:
        flags |= ACK if c.notification is None else ACK | ECE
    elif ecn.asks(c):
        flags |= ECE | CWR
    c.snd.nxt = c.snd.iss + 1
    partial_sum = (c.pseudo_sum + HEADER_LENGTH + len(octets)) % 0xFFFF or 0xFFFF
    _tell(c, f"{flags_text(flags)} out to {c.remote} (try {c.syn_retries + 1})", now)
    _hand_over(
        c, header(c.ports, c.snd.iss, rcv.nxt if is_reply else 0, flags, wnd, partial_sum, octets), (), 0, now, c.path
    )


def send_reset(connection: ControlBlock, now: float) -> None:
    """Send the RST that ends a synchronized connection (§3.5.3: SEQ=SND.NXT); the peer takes no other number."""
    c = connection
    if c.state == SYN_SENT:
        return
    _send(c, c.snd.acceptable_sequence(), RST | ACK, (), 0, now)
    c.tcp.statistics.out_resets += 1


def _free(c: ControlBlock) -> int:
    return c.inbox.capacity if c.discarding or c.read_shut else max(c.inbox.free, 0)


def _send(
    c: ControlBlock, seq: int, flags: int, chunks: Chunks, size: int, now: float, path: Path | None = None
) -> bool:
    """Build the header, hand the segment over and note that it carried our ACK; False: the link had no room."""
    rcv = c.rcv
    if c.notification is not None and c.notification.echoes and not flags & RST:
        flags |= ECE
    wnd = rcv.advertise(rcv.edge_for(_free(c), rcv.mss, c.inbox.capacity))
    if c.timestamps_on and (size or not (c.reassembly.size or c.dsack or c.timeout_due)):
        partial_sum = (c.pseudo_sum + c.header_length + size) % 0xFFFF or 0xFFFF
        octets = header_with_timestamps(c.ports, seq, rcv.nxt, flags, wnd, partial_sum, c.timestamp(now), c.ts_recent)
    else:
        timestamps = (c.timestamp(now), c.ts_recent) if c.timestamps_on else None
        told = b""
        if c.timeout_due and not size:
            told = user_timeout_option(user_timeout.encode(c.advertised_timeout))
        room = min(c.path_mtu - c.ip_header_length - HEADER_LENGTH, 40) - len(told)
        options = told + ack_options(timestamps, () if size else _sack_blocks(c), room)
        partial_sum = (c.pseudo_sum + HEADER_LENGTH + len(options) + size) % 0xFFFF or 0xFFFF
        octets = header(c.ports, seq, rcv.nxt, flags, wnd, partial_sum, options)
    if flags & URG:
        # 0xFFFF: as far as it can say; the segments after this one say the rest.
        octets = octets[:18] + min(c.snd.up - seq, 0xFFFF).to_bytes(2, "big") + octets[20:]
    if not _hand_over(c, octets, chunks, size, now, path or c.path):
        return False
    c.ack_now = False
    if not size:
        c.timeout_due = False
    if size and rcv.acked != rcv.nxt:
        c.quick_acks = 0
    rcv.acked = rcv.nxt
    c.delayed_ack.clear()
    if c.sink is not None or log.isEnabledFor(TRACE):
        again = f", again ({c.recovery.phase})" if size and seq < c.snd.nxt else ""
        ends = f"seq {seq - c.snd.iss}, {size} octets{again}, ack {rcv.nxt - rcv.irs}, window {rcv.wnd}"
        _tell(c, f"{flags_text(flags)} out to {c.remote}: {ends}", now)
    return True


def _tell(c: ControlBlock, text: str, now: float) -> None:
    log.log(TRACE, "%s", text)
    if c.sink is not None:
        c.sink(now, text)


def _sack_blocks(c: ControlBlock) -> list[tuple[int, int]]:
    """Return what to report: a duplicate first (RFC 2883 §4), then the blocks of the reassembly queue."""
    if not c.sack_on:
        return []
    blocks = c.reassembly.sack_blocks() if c.reassembly.size else []
    if c.dsack is not None:
        blocks.insert(0, c.dsack)
        c.dsack = None
    return blocks


def _hand_over(c: ControlBlock, octets: bytes, chunks: Chunks, size: int, now: float, path: Path) -> bool:
    """Give a segment to the network layer; False: it has no room now, and Tcp will call again when it has."""
    try:
        sent = path.send(
            TCP,
            octets,
            chunks,
            now,
            checksum_offset=CHECKSUM_OFFSET,
            gso_size=c.mss if size > c.mss else 0,
            hop_limit=c.hop_limit,
        )
    except SchemeError as error:
        # No route any more, or an MTU that fell under our feet. The segment counts as sent and lost: the
        # retransmission timer comes back to it, by then with the new MSS or the route, or gives up with the reason.
        log.debug("%s: %s", c.remote, error)
        if error.errno == errno.EMSGSIZE:
            c.measure_path()
        else:
            c.unsendable = error
        sent = True
    if not sent:
        c.blocked = True
        c.tcp.wait_for_space(c)
        return False
    c.segments_out += 1
    c.tcp.statistics.out_segments += -(-size // c.mss) or 1
    return True
