"""TCP_INFO: the first 104 octets of struct tcp_info (linux/tcp.h), from `status.json` of a connection.

Linux counts in microseconds, and windows in segments. What `status` does not show is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

_INFO: Final = struct.Struct("=8B24I")
# Linux's numbers (net/tcp_states.h); UNCONNECTED is a socket before connect.
STATES: Final[Mapping[str, int]] = {
    "ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECEIVED": 3, "FIN_WAIT_1": 4, "FIN_WAIT_2": 5, "TIME_WAIT": 6, "CLOSED": 7,
    "CLOSE_WAIT": 8, "LAST_ACK": 9, "LISTEN": 10, "CLOSING": 11, "UNCONNECTED": 7, "RESOLVING": 2, "CONNECTING": 2,
}  # fmt: skip
TIMESTAMPS, SACK, WINDOW_SCALE, ECN = 1, 2, 4, 8  # TCPI_OPT_…
CA_OPEN, CA_RECOVERY, CA_LOSS = 0, 3, 4  # enum tcp_ca_state


def packed(status: Mapping[str, str | int | float]) -> bytes:
    """Return the structure."""

    def number(name: str) -> int:
        return int(float(status.get(name) or 0))

    def microseconds(name: str) -> int:
        return int(float(status.get(name) or 0) * 1e6)

    mss = number("mss") or 536  # RFC 9293 §3.7.1: without a connection
    flags = {"timestamps": TIMESTAMPS, "sack": SACK, "ecn": ECN}
    options = sum(flag for name, flag in flags.items() if status.get(name) == "yes")
    scales = number("snd_scale") | number("rcv_scale") << 4
    if scales:
        options |= WINDOW_SCALE
    recovering = CA_LOSS if number("unanswered") else CA_RECOVERY if number("lost") else CA_OPEN
    return _INFO.pack(
        STATES.get(str(status.get("state")), STATES["CLOSED"]),
        recovering, min(number("unanswered"), 255), 0, min(number("unanswered"), 255), options, scales, 0,
        microseconds("rto"), 40_000, mss, mss,  # rto, ato, snd_mss, rcv_mss
        _segments(number("in_flight"), mss), _segments(number("sacked"), mss), _segments(number("lost"), mss), 0, 0,
        0, 0, 0, 0,  # times since the last segments
        number("path_mtu"), number("rcv_wnd"), microseconds("rtt"), microseconds("rttvar"),
        _segments(number("ssthresh"), mss), _segments(number("cwnd"), mss), mss, 3,  # advmss, reordering
        0, number("receive_capacity"), number("retransmissions"),  # rcv_rtt, rcv_space, total_retrans
    )  # fmt: skip


def _segments(octets: int, mss: int) -> int:
    return -(-octets // mss)
