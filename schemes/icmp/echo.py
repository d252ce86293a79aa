"""`icmp/echo/HOST`, Redox's binary form: each write is one Echo Request, each read the reply to one.

Written and read alike: 2 octets of sequence number, big-endian, then the payload. A reply is matched by its source,
identifier and sequence number, and given once.
"""

from __future__ import annotations

import errno
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.scheme import Event
from schemes.icmp.conversation import Conversation
from schemes.icmp.grammar import LARGEST_PAYLOAD
from schemes.icmp.meaning import words_of

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.layers import DeliveryError, Path
    from schemes.icmp.icmp import Icmp

_SEQUENCE: Final = Struct(">H")
# Redox's socket buffers: 128 packets, 190,208 octets.
_QUEUE_LENGTH: Final = 128
_QUEUE_OCTETS: Final = 190_208


class Echo(Conversation):
    """One identifier and one destination."""

    def __init__(self, icmp: Icmp, path: Path) -> None:
        super().__init__()
        self.destination = path.destination
        self.dropped_queue_full = 0
        self._icmp = icmp
        self._path = path
        self._asked: set[int] = set()  # sequence numbers without an answer yet
        self._replies: deque[bytes] = deque()
        self._replied_octets = 0
        self._failure: SchemeError | None = None
        self._refused = False  # the link had no room; `transmit_space` ends that
        self._identifier = icmp.register(self)

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one reply; as with any datagram, what does not fit *size* is lost."""
        del now
        self._raise_failure()
        if not self._replies:
            return None
        reply = self._replies.popleft()
        self._replied_octets -= len(reply)
        return reply[:size]

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one request. EINVAL: shorter than a sequence number; EMSGSIZE: longer than a datagram."""
        if len(data) < _SEQUENCE.size:
            raise SchemeError(errno.EINVAL, "an echo request begins with 2 octets of sequence number, big-endian")
        if len(data) - _SEQUENCE.size > LARGEST_PAYLOAD:
            raise SchemeError(errno.EMSGSIZE, f"at most {LARGEST_PAYLOAD} octets of payload fit an IP datagram")
        self._raise_failure()
        if self._refused:
            return None
        (sequence,) = _SEQUENCE.unpack_from(data)
        self._asked.add(sequence)  # before sending: on lo the reply is there before `send_echo` returns
        sent = False
        try:
            sent = self._icmp.send_echo(self._path, self._identifier, sequence, data[_SEQUENCE.size :], now)
            self._refused = not sent
        finally:
            if not sent:
                self._asked.discard(sequence)
        return len(data) if sent else None

    def fevent(self, interest: int) -> int:
        """Readable with a reply or a failure, writable unless the link is full."""
        events = Event.IN if self._replies else 0
        if not self._refused:
            events |= Event.OUT
        if self._failure is not None:
            events |= Event.IN | Event.OUT | Event.ERR
        return events & (interest | Event.ERR)

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> bool:
        """Queue the reply to a request of ours."""
        del hop_limit, now
        if sequence not in self._asked:
            return False
        self._asked.remove(sequence)
        reply = _SEQUENCE.pack(sequence) + bytes(payload)
        if len(self._replies) >= _QUEUE_LENGTH or self._replied_octets + len(reply) > _QUEUE_OCTETS:
            self.dropped_queue_full += 1
            return True
        self._replies.append(reply)
        self._replied_octets += len(reply)
        self.changed()
        return True

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> None:
        """Fail the next read or write, once."""
        del now
        if sequence in self._asked:
            self._asked.remove(sequence)
            self._failure = SchemeError(error.errno, f"echo request {sequence}: {error.sentence or words_of(error)}")
            self.changed()

    def transmit_space(self, now: float) -> None:
        """Writable again."""
        del now
        if self._refused:
            self._refused = False
            self.changed()

    def end(self, now: float) -> None:
        """Give the identifier back."""
        del now
        self._icmp.release(self._identifier)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
