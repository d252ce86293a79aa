"""Counters of the whole protocol: RFC 4022's names where it has one, and every drop by its reason."""

from __future__ import annotations

from schemes.tcp.rtt import MAX_RTO, MIN_RTO


class Statistics:
    """Plain integers; whoever counts does `statistics.name += 1`."""

    __slots__ = (
        "active_opens",
        "attempt_fails",
        "challenge_acks",
        "dropped_ack_too_far",
        "dropped_bad_checksum",
        "dropped_bad_header_length",
        "dropped_broadcast",
        "dropped_handshake_timed_out",
        "dropped_icmp_out_of_window",
        "dropped_listen_overflow",
        "dropped_no_ack",
        "dropped_no_connection",
        "dropped_no_route",
        "dropped_no_timestamp",
        "dropped_old_timestamp",
        "dropped_out_of_window",
        "dropped_reassembly_full",
        "dropped_short_header",
        "dropped_syn_queue_full",
        "established_resets",
        "in_segments",
        "out_of_order_segments",
        "out_resets",
        "out_segments",
        "passive_opens",
        "retransmitted_segments",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    active_opens: int
    attempt_fails: int
    challenge_acks: int
    dropped_ack_too_far: int
    dropped_bad_checksum: int
    dropped_bad_header_length: int
    dropped_broadcast: int
    dropped_handshake_timed_out: int
    dropped_icmp_out_of_window: int
    dropped_listen_overflow: int
    dropped_no_ack: int
    dropped_no_connection: int
    dropped_no_route: int
    dropped_no_timestamp: int
    dropped_old_timestamp: int
    dropped_out_of_window: int
    dropped_reassembly_full: int
    dropped_short_header: int
    dropped_syn_queue_full: int
    established_resets: int
    in_segments: int
    out_of_order_segments: int
    out_resets: int
    out_segments: int
    passive_opens: int
    retransmitted_segments: int

    def rows(self, current_established: int) -> dict[str, int | str]:
        """Return what `tcp/stats` shows, in order: RFC 4022's scalars first."""
        rows: dict[str, int | str] = {
            "tcpRtoAlgorithm": "vanj",  # RFC 6298 is Van Jacobson's
            "tcpRtoMin": int(MIN_RTO * 1000),
            "tcpRtoMax": int(MAX_RTO * 1000),
            "tcpMaxConn": -1,
            "tcpActiveOpens": self.active_opens,
            "tcpPassiveOpens": self.passive_opens,
            "tcpAttemptFails": self.attempt_fails,
            "tcpEstabResets": self.established_resets,
            "tcpCurrEstab": current_established,
            "tcpInSegs": self.in_segments,
            "tcpOutSegs": self.out_segments,
            "tcpRetransSegs": self.retransmitted_segments,
            "tcpInErrs": self.dropped_bad_checksum + self.dropped_bad_header_length + self.dropped_short_header,
            "tcpOutRsts": self.out_resets,
        }
        rows |= {name: getattr(self, name) for name in ("out_of_order_segments", "challenge_acks")}
        rows |= {name: getattr(self, name) for name in self.__slots__ if name.startswith("dropped_")}
        return rows
