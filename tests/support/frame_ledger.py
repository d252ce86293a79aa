"""What became of every received frame, from the `stats` of the schemes: used once, or dropped for one reason.

    received frames + copies = uses + drops + fragments that wait

A copy is for another reader of the same datagram, or another datagram of a super-segment. A fragment that was joined to
others is a use; the whole datagram is one frame from there on. An ICMP error that icmp passes on is dropped by the
layer that finds nothing of its own in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemes.ip.counters import OUTGOING, USES

Rows = Mapping[str, int]


class Ledger(NamedTuple):
    """Sums over all schemes."""

    used: int
    dropped: int
    waiting: int  # fragments
    copies: int

    @property
    def frames(self) -> int:
        """How many frames these sums account for."""
        return self.used + self.dropped + self.waiting - self.copies


def ledger(ip: Rows, icmp: Rows, udp: Rows, tcp: Rows) -> Ledger:
    """Add up the rows of `ip/stats`, `icmp/stats`, `udp/stats` and `tcp/stats`."""
    drops = {name: _drops(rows) for name, rows in {"ip": ip, "icmp": icmp, "udp": udp, "tcp": tcp}.items()}
    for reason in OUTGOING:
        drops["ip"].pop(f"dropped_{reason}", None)
    tcp_errors = sum(drops["tcp"].pop(reason) for reason in tuple(drops["tcp"]) if "_icmp" in reason)
    errors = tcp_errors + sum(
        drops[name].get(f"dropped_{reason}", 0)
        for name, reason in (
            ("ip", "unexpected_error"),
            ("ip", "unmatched_error"),
            ("ip", "small_path_mtu"),
            ("icmp", "unmatched_error"),
            ("udp", "unmatched_error"),
        )
    )
    segments = sum(drops["tcp"].values())
    used = (
        sum(ip[name] for name in USES if name != "raw_copies")
        + icmp.get("used_requests", 0)
        + icmp.get("used_replies", 0)
        + icmp.get("passed_errors", 0)
        - errors
        + udp["InDatagrams"]
        + tcp["tcpInSegs"]
        - segments
    )
    dropped = sum(sum(each.values()) for each in drops.values()) + tcp_errors
    return Ledger(used, dropped, ip["held_fragments"], ip["raw_copies"] + udp["copies"])


def rows(text: str) -> dict[str, int]:
    """Return the rows of a `stats` file that are numbers."""
    pairs = (line.partition("=")[::2] for line in text.splitlines())
    return {name: int(value) for name, value in pairs if value.isdecimal()}


def _drops(shown: Rows) -> dict[str, int]:
    return {name: count for name, count in shown.items() if name.startswith("dropped_")}
