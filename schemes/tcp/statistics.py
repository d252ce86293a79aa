"""Counters of all of TCP, shown with the names of RFC 4022; each drop and each abort is counted by its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.net.drop_samples import DropSamples
from schemes.tcp.rtt import MAX_RTO, MIN_RTO

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer


class Statistics:
    """Plain integer attributes. Callers add to them directly; `drop` also names the reason for a sample."""

    def __init__(self) -> None:
        self.active_opens = 0
        self.passive_opens = 0
        self.attempt_fails = 0
        self.established_resets = 0
        self.in_segments = 0  # segments on the wire, not super-segments; the next two as well
        self.out_segments = 0
        self.retransmitted_segments = 0
        self.out_resets = 0
        self.out_of_order_segments = 0
        self.trimmed_segments = 0  # used in part: the rest was not within the window
        self.challenge_acks = 0
        self.syn_cookies_sent = 0  # SYN-ACKs; received: connections that were opened by an ACK of one
        self.syn_cookies_received = 0
        self.time_wait_overflows = 0  # TIME-WAIT entries that were removed early because the table was full
        self.path_black_holes = 0  # connections whose large segments were lost, and perhaps no others (RFC 8899)
        self.path_probes = 0  # segments that probed for a larger path MTU
        self.excessive_retransmissions = 0  # connections that reached R1 of RFC 9293 §3.8.3

        self._init_drops()
        self._init_aborts()
        self.samples = DropSamples()
        self.latest = ""  # the reason for which the current segment was dropped

    def _init_drops(self) -> None:
        """Of received segments: with the used ones they are all that came. `refusal` has the reasons in words."""
        self.dropped_ack_too_far = 0
        self.dropped_bad_checksum = 0
        self.dropped_bad_cookie = 0
        self.dropped_bad_header_length = 0
        self.dropped_beyond_window = 0
        self.dropped_broadcast = 0
        self.dropped_duplicate_text = 0
        self.dropped_full_link = 0  # SYNs whose cookie found no room on the link
        self.dropped_icmp_no_connection = 0  # ICMP errors, not segments; the next one as well
        self.dropped_icmp_out_of_window = 0
        self.dropped_fin_after_fin = 0
        self.dropped_inexact_reset = 0
        self.dropped_listen_overflow = 0
        self.dropped_no_ack = 0
        self.dropped_no_connection = 0
        self.dropped_no_memory = 0
        self.dropped_no_route = 0
        self.dropped_no_syn = 0
        self.dropped_old_timestamp = 0
        self.dropped_out_of_window = 0
        self.dropped_reassembly_full = 0
        self.dropped_repeated_syn = 0
        self.dropped_short_header = 0
        self.dropped_text_after_close = 0
        self.dropped_text_after_fin = 0
        self.dropped_unexpected_syn = 0

    def _init_aborts(self) -> None:
        self.aborted_by_user = 0  # `hangup`, or an interrupted open
        self.aborted_connect_timeout = 0
        self.aborted_handshake_timed_out = 0
        self.aborted_icmp_error = 0
        self.aborted_keepalive = 0
        self.aborted_linger_timeout = 0
        self.aborted_listener_closed = 0
        self.aborted_refused = 0
        self.aborted_reset_by_peer = 0
        self.aborted_syn_queue_full = 0
        self.aborted_text_after_close = 0
        self.aborted_unread_at_close = 0
        self.aborted_unsendable = 0
        self.aborted_user_timeout = 0

    def drop(self, reason: str) -> None:
        """Count the current segment as dropped for *reason*; the caller calls `keep_sample` later."""
        name = f"dropped_{reason}"
        setattr(self, name, getattr(self, name) + 1)
        self.latest = reason

    def keep_sample(self, datagram: Buffer, segments: int = 1) -> None:
        """Keep *datagram* as the sample of the latest reason. A super-segment counts as the *segments* on the wire."""
        if segments > 1:
            name = f"dropped_{self.latest}"
            setattr(self, name, getattr(self, name) + segments - 1)
        self.samples.keep(self.latest, datagram)
        self.latest = ""

    def abort(self, reason: str) -> None:
        """Count a connection that ends without two FINs, by *reason*."""
        name = f"aborted_{reason}"
        setattr(self, name, getattr(self, name) + 1)

    def rows(self, current_established: int, time_wait: int) -> dict[str, int | str]:
        """Return the rows of `tcp/stats` in order: RFC 4022's scalars first.

        tcpOutSegs does not count retransmissions. The HC counters are the 64-bit ones; here no counter wraps.
        """
        out_segments = self.out_segments - self.retransmitted_segments
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
            "tcpOutSegs": out_segments,
            "tcpRetransSegs": self.retransmitted_segments,
            "tcpInErrs": self.dropped_bad_checksum + self.dropped_bad_header_length + self.dropped_short_header,
            "tcpOutRsts": self.out_resets,
            "tcpHCInSegs": self.in_segments,
            "tcpHCOutSegs": out_segments,
            "time_wait": time_wait,
        }
        rows |= {
            name: getattr(self, name)
            for name in (
                "time_wait_overflows",
                "out_of_order_segments",
                "trimmed_segments",
                "challenge_acks",
                "syn_cookies_sent",
                "syn_cookies_received",
                "path_black_holes",
                "path_probes",
                "excessive_retransmissions",
            )
        }
        for prefix in ("dropped_", "aborted_"):
            rows |= {name: getattr(self, name) for name in dir(self) if name.startswith(prefix)}
        return rows
