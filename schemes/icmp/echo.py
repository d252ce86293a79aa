"""`icmp/echo/HOST`, Redox's binary form: each write is one Echo Request, each read the reply to one.

Written and read alike: 2 octets of sequence number, big-endian, then the payload. A reply is matched by its source,
identifier and sequence number, and given once.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.conversation import DatagramEngine
from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemes.icmp.error_meaning import words_of
from schemes.icmp.grammar import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.net.network_layer import DeliveryError, Path
    from schemes.icmp.icmp import Icmp

_SEQUENCE: Final = Struct(">H")
_QUEUE_OCTETS: Final = 190_208  # Redox's socket buffers


class Echo(DatagramEngine[bytes]):
    """One identifier and one destination. Satisfies `schemefs.conversation.Engine` and the engine's `Echoer`."""

    __slots__ = ("_asked", "_icmp", "_identifier", "_path", "destination", "dropped_unmatched")

    def __init__(self, icmp: Icmp, path: Path) -> None:
        super().__init__(_QUEUE_OCTETS)
        self.destination = path.destination
        self.dropped_unmatched = 0
        self._icmp = icmp
        self._path = path
        self._asked: set[int] = set()  # sequence numbers without an answer yet
        self._identifier = icmp.register(self)

    # The user's side

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one request. EINVAL: shorter than a sequence number; EMSGSIZE: longer than a datagram."""
        if len(data) < _SEQUENCE.size:
            raise SchemeError(errno.EINVAL, "an echo request begins with 2 octets of sequence number, big-endian")
        if len(data) - _SEQUENCE.size > LARGEST_PAYLOAD:
            raise SchemeError(errno.EMSGSIZE, f"at most {LARGEST_PAYLOAD} octets of payload fit an IP datagram")
        self.check_writable()
        (sequence,) = _SEQUENCE.unpack_from(data)
        payload = data[_SEQUENCE.size :]
        self._asked.add(sequence)  # before sending: on lo the reply is there before `send_echo` returns
        sent = False
        try:
            sent = self._icmp.send_echo(self._path, self._identifier, sequence, payload, now, hop_limit=self.hop_limit)
        finally:
            if not sent:
                self._asked.discard(sequence)
        self.was_sent(sent=sent)
        return len(data) if sent else None

    def leave(self, now: float) -> None:
        """Give the identifier back."""
        del now
        self._icmp.release(self._identifier)

    # The network's side

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> bool:
        """Queue the reply to a request of ours."""
        del hop_limit, now
        if sequence not in self._asked:
            self.dropped_unmatched += 1
            return False
        self._asked.remove(sequence)
        self.arrived(_SEQUENCE.pack(sequence) + bytes(payload), _SEQUENCE.size + len(payload))
        return True

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> None:
        """Fail the next read or write, once."""
        del now
        if sequence in self._asked:
            self._asked.remove(sequence)
            self.fail(error.errno, f"echo request {sequence}: {error.sentence or words_of(error)}")

    # What is shown

    @property
    def local(self) -> str:
        """Our address."""
        return presentation(self._path.source)

    @property
    def remote(self) -> str:
        """The address that is asked."""
        return presentation(self.destination)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """State, ends and counters."""
        del now
        return {
            "state": "CLOSED" if self.ended else "CONNECTED",
            "local": self.local,
            "remote": self.remote,
            "identifier": self._identifier,
            "unanswered": len(self._asked),
            "dropped_unmatched": self.dropped_unmatched,
            **self.counters(),
        }
