r"""The states of a connection (RFC 9293 §3.3.2), spelled as in `status`, and the sets of states that the rules use.

                              +---------+ ---------\\      active OPEN
                              |  CLOSED |            \\    create TCB, send SYN
                              +---------+              \
                    rcv SYN  +---------+                 v
                  +--------- |  LISTEN |             +----------+
                  v          +---------+             | SYN-SENT |
            +--------------+      rcv SYN            +----------+
            | SYN-RECEIVED | <------------------------- |  rcv SYN,ACK
            +--------------+                            |
                  | rcv ACK of SYN   +-------------+    |
                  +----------------> | ESTABLISHED | <--+
                     CLOSE, send FIN +-------------+ rcv FIN
              +------------+            |       |         +------------+
              | FIN-WAIT-1 | <----------+       +-------> | CLOSE-WAIT |
              +------------+ rcv FIN   +---------+        +------------+
     ACK of FIN |        +-----------> | CLOSING |          | CLOSE, send FIN
              +------------+           +---------+        +----------+
              | FIN-WAIT-2 |  rcv FIN   | ACK of FIN      | LAST-ACK |
              +------------+ -----> TIME-WAIT             +----------+
"""

from __future__ import annotations

from typing import Final

CLOSED: Final = "CLOSED"
LISTEN: Final = "LISTEN"
SYN_SENT: Final = "SYN_SENT"
SYN_RECEIVED: Final = "SYN_RECEIVED"
ESTABLISHED: Final = "ESTABLISHED"
FIN_WAIT_1: Final = "FIN_WAIT_1"
FIN_WAIT_2: Final = "FIN_WAIT_2"
CLOSE_WAIT: Final = "CLOSE_WAIT"
CLOSING: Final = "CLOSING"
LAST_ACK: Final = "LAST_ACK"
TIME_WAIT: Final = "TIME_WAIT"

OPENING: Final = frozenset({SYN_SENT, SYN_RECEIVED})

SYNCHRONIZED: Final = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT})
"""Both sides know each other's sequence numbers (RFC 9293 §3.5.3)."""

RECEIVING: Final = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2})
"""The peer's FIN has not arrived in order: payload is accepted."""

SENDING: Final = frozenset({ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, CLOSING, LAST_ACK})
"""Octets, or our FIN, may be unsent or unacknowledged."""

WRITABLE: Final = frozenset({ESTABLISHED, CLOSE_WAIT})
"""The writer may queue more octets."""
