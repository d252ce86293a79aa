"""Whether a read that empties the receive buffer sends the delayed ACK at once (RFC 9293 §3.8.6.3, RFC 1122 §4.2.3.2).

A delayed ACK waits for more text, or for an answer that carries it. A sender with Nagle's algorithm waits for that ACK
before it sends its next short segment. So a stream of short lines would get one line per delay:

    peer   line ──>              line ──>                 it waits for the ACK of the line before (RFC 9293 §3.7.4)
    reader        read                    read            nothing more will come, and no answer is written
    us                 <── ACK                 <── ACK    so the ACK leaves with the read

As on Linux, text that fills its segments and has no PSH does not count: more of it follows without an ACK. Where the
last reads were each followed by an answer, the ACK waits for the next answer. Text that is dropped, because the user
reads no more, counts as read.
"""

from __future__ import annotations

from math import inf
from typing import Final

ANSWER_TIME: Final = 0.040  # seconds; as long as an ACK is delayed for an answer
TURNS: Final = 2  # answered reads in a row until the ACK waits for the next answer


class AckOnRead:
    """What one connection knows of its reads and of the answers to them."""

    __slots__ = (
        "_answered",  # reads in a row that were followed by text of ours within ANSWER_TIME
        "_emptied_at",  # when a read last emptied the buffer while an ACK was delayed, seconds
        "pushed",  # sequence number: end of the last text that the peer has sent with PSH or in a short segment
    )

    def __init__(self) -> None:
        self.pushed = -1
        self._answered = 0
        self._emptied_at = -inf

    def is_due(self, acked: int, sent_at: float, now: float) -> bool:
        """Return whether to send the delayed ACK after a read that has emptied the buffer.

        *acked*: the last ACK number sent; *sent_at*: when text of ours was sent last.
        """
        if self.pushed <= acked:
            return False
        self._answered = self._answered + 1 if 0 <= sent_at - self._emptied_at < ANSWER_TIME else 0
        self._emptied_at = now
        return self._answered < TURNS
