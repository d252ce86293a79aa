"""struct tcp_info as `schemefs run` answers it."""

from __future__ import annotations

import struct

from schemefs.run.tcp_info import packed


def test_a_connection() -> None:
    status = {
        "state": "ESTABLISHED", "rto": 0.204, "rtt": 0.0005, "rttvar": 0.00025, "mss": 1448, "cwnd": 14480,
        "ssthresh": 0x7FFFFFFF, "in_flight": 1449, "lost": 0, "sacked": 0, "path_mtu": 1500, "rcv_wnd": 65535,
        "snd_scale": 7, "rcv_scale": 10, "timestamps": "yes", "sack": "yes", "ecn": "no", "unanswered": 0,
        "receive_capacity": 131072, "retransmissions": 3,
    }  # fmt: skip
    octets = packed(status)
    assert len(octets) == 104
    assert octets[:8] == bytes((1, 0, 0, 0, 0, 1 | 2 | 4, 0xA7, 0))
    words = struct.unpack("=24I", octets[8:])
    rto, _ato, snd_mss, _rcv_mss, unacked = words[:5]
    pmtu, _rcv_ssthresh, rtt, rttvar, ssthresh, cwnd, advmss = words[13:20]
    assert (rto, snd_mss, unacked) == (204_000, 1448, 2)
    assert (pmtu, rtt, rttvar, ssthresh, cwnd, advmss) == (1500, 500, 250, -(-0x7FFFFFFF // 1448), 10, 1448)
    assert words[-1] == 3  # tcpi_total_retrans


def test_a_socket_before_connect_and_a_listener() -> None:
    assert packed({"state": "UNCONNECTED", "owner": 0})[0] == 7
    assert packed({"state": "LISTEN", "backlog": 5})[0] == 10
