"""`icmp/echo/HOST`, Redox's binary form: each write is one Echo Request, each read the reply to one.

Written and read alike: 2 octets of sequence number, big-endian, then the payload. A reply is matched by its source,
identifier and sequence number, and given once.
"""

from __future__ import annotations

import errno
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.conversation import Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_number, presentation
from schemefs.scheme import Event
from schemes.icmp.grammar import LARGEST_PAYLOAD
from schemes.icmp.meaning import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.net.buffer import Buffer
    from schemefs.net.layers import DeliveryError, Path
    from schemes.icmp.icmp import Icmp

_SEQUENCE: Final = Struct(">H")
# Redox's socket buffers: 128 packets, 190,208 octets.
_QUEUE_LENGTH: Final = 128
_QUEUE_OCTETS: Final = 190_208
_HOP_LIMIT: Final = 64


class Echo:
    """One identifier and one destination. Satisfies `schemefs.conversation.Engine` and the engine's `Echoer`."""

    def __init__(self, icmp: Icmp, path: Path) -> None:
        self.on_changed: Callable[[], None] = _nothing
        self.destination = path.destination
        self.ended = False
        self.error = ""
        self.hop_limit = _HOP_LIMIT
        self.sent = self.received = 0
        self.dropped_queue_full = self.dropped_unmatched = 0
        self._icmp = icmp
        self._path = path
        self._asked: set[int] = set()  # sequence numbers without an answer yet
        self._replies: deque[bytes] = deque()
        self._replied_octets = 0
        self._failure: SchemeError | None = None
        self._refused = False  # the link had no room; `transmit_space` ends that
        self._discards = self._shut_read = self._shut_write = False
        self._identifier = icmp.register(self)

    # The user's side

    def opening(self, now: float) -> bool:
        """Nothing has to be waited for."""
        del now
        return False

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one reply; as with any datagram, what does not fit *size* is lost."""
        del now
        self._raise_failure()
        if not self._replies:
            return b"" if self._shut_read else None
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
        if self._shut_write:
            raise SchemeError(errno.EPIPE, "this direction was shut down")
        if self._refused:
            return None
        (sequence,) = _SEQUENCE.unpack_from(data)
        payload = data[_SEQUENCE.size :]
        self._asked.add(sequence)  # before sending: on lo the reply is there before `send_echo` returns
        sent = False
        try:
            sent = self._icmp.send_echo(self._path, self._identifier, sequence, payload, now, hop_limit=self.hop_limit)
            self._refused = not sent
        finally:
            if not sent:
                self._asked.discard(sequence)
        self.sent += sent
        return len(data) if sent else None

    def fevent(self, interest: int) -> int:
        """Readable with a reply or a failure, writable unless the link is full."""
        events = Event.IN if self._replies or self._shut_read else 0
        if not self._refused or self._shut_write:
            events |= Event.OUT
        if self._failure is not None:
            events |= Event.IN | Event.OUT | Event.ERR
        if self.ended:
            events |= Event.HUP | Event.RDHUP
        return events & (interest | Event.ERR | Event.HUP)

    def queued(self) -> int | None:
        """Reads are messages."""
        return None

    def synced(self, now: float) -> bool:
        """A request is on its way as soon as it is taken."""
        del now
        return True

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """End reading; writing too, when both: a next open of `tx` may write again, as with any datagram protocol."""
        del now
        self._shut_read |= read
        self._shut_write |= read and write
        self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """Drop replies, for whoever only writes."""
        del now
        self._discards = discard
        if discard:
            self._replies.clear()
            self._replied_octets = 0

    def close(self, now: float) -> None:
        """Give the identifier back."""
        del now
        if not self.ended:
            self.ended = self._shut_read = self._shut_write = True
            self._icmp.release(self._identifier)
            self.on_changed()

    close_lingering = close
    abort = close

    # The network's side

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> bool:
        """Queue the reply to a request of ours."""
        del hop_limit, now
        if sequence not in self._asked:
            self.dropped_unmatched += 1
            return False
        self._asked.remove(sequence)
        self.received += 1
        reply = _SEQUENCE.pack(sequence) + bytes(payload)
        if self._discards:
            return True
        if len(self._replies) >= _QUEUE_LENGTH or self._replied_octets + len(reply) > _QUEUE_OCTETS:
            self.dropped_queue_full += 1
            return True
        self._replies.append(reply)
        self._replied_octets += len(reply)
        self.on_changed()
        return True

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> None:
        """Fail the next read or write, once."""
        del now
        if sequence in self._asked:
            self._asked.remove(sequence)
            self.error = f"echo request {sequence}: {error.sentence or words_of(error)}"
            self._failure = SchemeError(error.errno, self.error)
            self.on_changed()

    def transmit_space(self, now: float) -> None:
        """Writable again."""
        del now
        if self._refused:
            self._refused = False
            self.on_changed()

    # What is shown

    @property
    def local(self) -> str:
        """Our address."""
        return presentation(self._path.source)

    @property
    def remote(self) -> str:
        """The address that is asked."""
        return presentation(self.destination)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The hop limit, as Redox has it."""

        def put(text: str) -> None:
            self.hop_limit = parse_number(text, 1, 255)

        return {"hop_limit": Setting(lambda: str(self.hop_limit), put, "TTL of the requests, 1 to 255")}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """State, ends and counters."""
        del now
        return {
            "state": "CLOSED" if self.ended else "CONNECTED",
            "local": self.local,
            "remote": self.remote,
            "identifier": self._identifier,
            "requests_sent": self.sent,
            "replies_received": self.received,
            "unanswered": len(self._asked),
            "replies_queued": len(self._replies),
            "dropped_queue_full": self.dropped_queue_full,
            "dropped_unmatched": self.dropped_unmatched,
            "error": self.error,
        }

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _nothing() -> None:
    """`on_changed` of an echo that nobody watches yet."""
