"""What a connection keeps for explicit congestion notification (RFC 3168); `ecn` acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemefs.net.network_layer import Path


class EcnState:
    """What a connection keeps when both sides have agreed on ECN (RFC 3168 §6.1)."""

    __slots__ = ("cwr_due", "echoes", "marks", "path", "reduced_until", "reductions")

    def __init__(self, path: Path, iss: int) -> None:
        self.path = path  # the connection's own path, but what leaves by it is ECT(0)
        self.echoes = False  # CE has come: ECE in every ACK until CWR comes
        self.cwr_due = False  # CWR goes with the next new text
        self.reduced_until = iss  # sequence number; an ECE in an ACK up to it is about a reduction already made
        self.marks = 0  # segments that came with CE
        self.reductions = 0  # of the congestion window, for an ECE
