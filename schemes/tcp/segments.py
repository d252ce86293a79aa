"""How a segment leaves: header, options, window, checksum, and the network layer's answer (RFC 9293 §3.1, §3.8.6).

What text to send, and when, is decided in `output`. Segments without text are made here whole: ACK, SYN, RST,
keepalive probe, window update.
"""

from __future__ import annotations

import errno
import logging
from math import inf
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.log import TRACE
from schemefs.net.network_layer import TCP
from schemes.tcp import ecn, user_timeout
from schemes.tcp.control_block import ACK_DUE, NO_REPLY, WINDOW_SCALE
from schemes.tcp.options import ack_options, syn_options, user_timeout_option
from schemes.tcp.segment_events import log_departure, log_syn
from schemes.tcp.states import RECEIVING, SYN_RECEIVED, SYN_SENT
from schemes.tcp.wire import (
    ACK,
    CHECKSUM_OFFSET,
    CWR,
    ECE,
    HEADER_LENGTH,
    RST,
    SYN,
    URG,
    header,
    header_with_timestamps,
)

if TYPE_CHECKING:
    from schemefs.net.buffer import Chunks
    from schemefs.net.network_layer import Path
    from schemes.tcp.control_block import ControlBlock

log = logging.getLogger("schemefs.tcp")

LITTLE_WINDOW: Final = 1 << 15  # octets


def send_ack(tcb: ControlBlock, now: float) -> None:
    """Send an ACK without payload, with SACK blocks if text is out of order. Without room on the link it stays due."""
    tcb.reply = ACK_DUE
    send_segment(tcb, tcb.snd.acceptable_sequence(), ACK, (), 0, now)


def send_syn(tcb: ControlBlock, now: float) -> None:
    """Send the SYN of SYN-SENT, or the SYN-ACK of SYN-RECEIVED, with the options that the state allows."""
    rcv = tcb.rcv
    is_reply = tcb.state == SYN_RECEIVED
    wnd = tcb.syn_window
    timestamps = (tcb.timestamp(now), tcb.ts_recent) if tcb.timestamps_on or not is_reply else None
    octets = syn_options(
        min(tcb.path_mtu - tcb.ip_header_length - HEADER_LENGTH, 0xFFFF),
        WINDOW_SCALE if rcv.scale or not is_reply else None,
        timestamps,
        sack_permitted=tcb.sack_on or not is_reply,
        user_timeout=user_timeout.encode(tcb.advertised_timeout) if tcb.advertised_timeout else 0,
    )
    flags = SYN
    if is_reply:
        flags |= ACK if tcb.ecn_state is None else ACK | ECE
    elif ecn.asks(tcb):
        flags |= ECE | CWR
    tcb.snd.nxt = tcb.snd.iss + 1
    partial_sum = (tcb.pseudo_sum + HEADER_LENGTH + len(octets)) % 0xFFFF or 0xFFFF
    if tcb.sink is not None or log.isEnabledFor(TRACE):
        log_syn(tcb, flags, now)
    _hand_over(
        tcb,
        header(tcb.ports, tcb.snd.iss, rcv.nxt if is_reply else 0, flags, wnd, partial_sum, octets),
        (),
        0,
        now,
        tcb.path,
    )


def send_reset(tcb: ControlBlock, now: float) -> None:
    """Send the RST that ends a synchronized connection (§3.5.3): with SEQ=SND.NXT, the only one the peer accepts."""
    if tcb.state == SYN_SENT:
        return
    send_segment(tcb, tcb.snd.acceptable_sequence(), RST | ACK, (), 0, now)
    tcb.tcp.statistics.out_resets += 1


def send_keepalive(tcb: ControlBlock, now: float) -> None:
    """Send a segment with a sequence number already acknowledged, which the peer must answer (RFC 9293 §3.8.4)."""
    send_segment(tcb, tcb.snd.nxt - 1, ACK, (), 0, now)


def acknowledge_read(tcb: ControlBlock, now: float) -> None:
    """The user has read: send the window update, or the delayed ACK, if the peer may wait for it."""
    update_window(tcb, now)
    if (
        tcb.delayed_ack.deadline != inf
        and not tcb.receive_buffer.size
        and tcb.ack_on_read.is_due(tcb.rcv.acked, tcb.sent_at, now)
    ):
        send_ack(tcb, now)


def update_window(tcb: ControlBlock, now: float) -> None:
    """Send the larger window at once if the peer may send little and could send twice as much; else with the next ACK.

    So a reader that drains a closed window opens it at once, and a stream does not get an ACK for each read.
    """
    rcv = tcb.rcv
    wnd, capacity = rcv.wnd, tcb.receive_buffer.capacity
    if (wnd >= LITTLE_WINDOW and wnd >= capacity // 8) or tcb.state not in RECEIVING:
        return
    edge = rcv.edge_for(_free(tcb), rcv.mss, capacity)
    if edge > rcv.offered and wnd * 2 <= edge - rcv.nxt:
        send_ack(tcb, now)


def send_segment(
    tcb: ControlBlock, seq: int, flags: int, chunks: Chunks, size: int, now: float, path: Path | None = None
) -> bool:
    """Build the header, hand the segment over and note that it carried the ACK; False: the link had no room."""
    rcv = tcb.rcv
    if tcb.ecn_state is not None and tcb.ecn_state.echoes and not flags & RST:
        flags |= ECE
    sack: list[tuple[int, int]] = []
    wnd = rcv.advertise(rcv.edge_for(_free(tcb), rcv.mss, tcb.receive_buffer.capacity))
    if tcb.timestamps_on and (size or not (tcb.reassembly.size or tcb.dsack or tcb.timeout_due)):
        partial_sum = (tcb.pseudo_sum + tcb.header_length + size) % 0xFFFF or 0xFFFF
        octets = header_with_timestamps(
            tcb.ports, seq, rcv.nxt, flags, wnd, partial_sum, tcb.timestamp(now), tcb.ts_recent
        )
    else:
        timestamps = (tcb.timestamp(now), tcb.ts_recent) if tcb.timestamps_on else None
        timeout_option = b""
        if tcb.timeout_due and not size:
            timeout_option = user_timeout_option(user_timeout.encode(tcb.advertised_timeout))
        room = min(tcb.path_mtu - tcb.ip_header_length - HEADER_LENGTH, 40) - len(timeout_option)
        if not size:
            sack = _sack_blocks(tcb)
        options = timeout_option + ack_options(timestamps, sack, room)
        partial_sum = (tcb.pseudo_sum + HEADER_LENGTH + len(options) + size) % 0xFFFF or 0xFFFF
        octets = header(tcb.ports, seq, rcv.nxt, flags, wnd, partial_sum, options)
    if flags & URG:
        # The pointer has 16 bits: the segments after this one mark the rest.
        octets = octets[:18] + min(tcb.snd.up - seq, 0xFFFF).to_bytes(2, "big") + octets[20:]
    if not _hand_over(tcb, octets, chunks, size, now, path or tcb.path):
        return False
    tcb.reply = NO_REPLY
    if not size:
        tcb.timeout_due = False
    if size and rcv.acked != rcv.nxt:
        tcb.quick_acks = 0
    rcv.acked = rcv.nxt
    if tcb.delayed_ack.deadline != inf:
        tcb.delayed_ack.clear()
    if tcb.sink is not None or log.isEnabledFor(TRACE):
        log_departure(tcb, seq, flags, size, sack, now)
    return True


def _free(tcb: ControlBlock) -> int:
    buffer = tcb.receive_buffer
    if tcb.discarding or tcb.read_shut:
        return buffer.capacity
    free = buffer.free
    if free > 0:
        return free
    if buffer.size < buffer.capacity:  # the user holds too much in other buffers
        tcb.tcp.await_relief(tcb)
    return 0


def _sack_blocks(tcb: ControlBlock) -> list[tuple[int, int]]:
    """Return the blocks to report: a duplicate first (RFC 2883 §4), then those of the reassembly queue."""
    if not tcb.sack_on:
        return []
    blocks = tcb.reassembly.sack_blocks() if tcb.reassembly.size else []
    if tcb.dsack is not None:
        blocks.insert(0, tcb.dsack)
        tcb.dsack = None
    return blocks


def _hand_over(tcb: ControlBlock, octets: bytes, chunks: Chunks, size: int, now: float, path: Path) -> bool:
    """Give a segment to the network layer; False: it has no room, and the owner transmits again when it has."""
    try:
        sent = path.send(
            TCP,
            octets,
            chunks,
            now,
            checksum_offset=CHECKSUM_OFFSET,
            gso_size=tcb.mss if size > tcb.mss else 0,
            hop_limit=tcb.hop_limit,
        )
    except SchemeError as error:
        # The route is gone, or the MTU is smaller now. The segment counts as sent and lost: the retransmission timer
        # sends it again, with the new MSS or route, or ends the connection with this reason.
        log.debug("%s: %s", tcb.remote, error)
        if error.errno == errno.EMSGSIZE:
            tcb.measure_path()
        else:
            tcb.unsendable = error
        sent = True
    if not sent:
        tcb.blocked = True
        tcb.tcp.wait_for_space(tcb)
        return False
    tcb.segments_out += 1
    tcb.tcp.statistics.out_segments += -(-size // tcb.mss) or 1
    return True
