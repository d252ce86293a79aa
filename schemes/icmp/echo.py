"""`icmp/echo/HOST`, Redox's binary form: each write sends one Echo Request, each read returns one Echo Reply.

Both consist of a sequence number of 2 octets, big-endian, and the payload. A reply is matched by source, identifier
and sequence number, and is delivered once.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.conversation import DatagramEngine
from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.network_layer import LARGEST_PAYLOAD, payload_too_long
from schemes.icmp.error_meaning import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.net.network_layer import DeliveryError, Path
    from schemes.icmp.icmp import Icmp

_SEQUENCE: Final = Struct(">H")
_QUEUE_OCTETS: Final = 190_208  # size of Redox's socket buffers


class Echo(DatagramEngine[bytes]):
    """One identifier and one destination. Satisfies `schemefs.conversation.Engine` and `icmp.EchoClient`."""

    __slots__ = (
        "_icmp",
        "_identifier",
        "_path",
        "_pending",  # sequence numbers of requests without a reply
        "_uid",  # whose share the requests come from
        "destination",  # packed
        "dropped_unmatched",  # replies to no pending request
    )

    def __init__(self, icmp: Icmp, path: Path, uid: int = 0) -> None:
        super().__init__(_QUEUE_OCTETS, icmp.network.turns)
        self._uid = uid
        self.destination = path.destination
        self.dropped_unmatched = 0
        self._icmp = icmp
        self._path = path
        self._pending: set[int] = set()
        self._identifier = icmp.register(self)

    # Calls from the conversation

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one request. EINVAL: *data* is shorter than a sequence number; EMSGSIZE: it is too long.

        ENOBUFS: the user has sent as much as its share allows.
        """
        if len(data) < _SEQUENCE.size:
            raise SchemeError(errno.EINVAL, "an echo request begins with 2 octets of sequence number, big-endian")
        if len(data) - _SEQUENCE.size > LARGEST_PAYLOAD:
            raise payload_too_long(len(data) - _SEQUENCE.size)
        self.check_writable()
        self._icmp.require_turn(self._uid, len(data), now)
        (sequence,) = _SEQUENCE.unpack_from(data)
        payload = data[_SEQUENCE.size :]
        self._pending.add(sequence)  # before sending: on lo the reply arrives before `send_echo` returns
        sent = False
        try:
            sent = self._icmp.send_echo(self._path, self._identifier, sequence, payload, now, hop_limit=self.hop_limit)
        finally:
            if not sent:
                self._pending.discard(sequence)
        self.was_sent(sent=sent)
        return len(data) if sent else None

    def leave(self, now: float) -> None:
        """Release the identifier."""
        del now
        self._icmp.release(self._identifier)

    # Calls from the ICMP engine

    def receive_reply(self, sequence: int, payload: memoryview, hop_limit: int, now: float) -> str:
        """Queue the reply to a pending request."""
        del hop_limit
        if sequence not in self._pending:
            self.dropped_unmatched += 1
            return self.log_drop("unmatched_reply", len(payload), now)
        self._pending.remove(sequence)
        return self.enqueue(_SEQUENCE.pack(sequence) + bytes(payload), _SEQUENCE.size + len(payload), now)

    def receive_error(self, sequence: int, error: DeliveryError, now: float) -> bool:
        """Fail the next read or write. False: the request is not pending."""
        del now
        if sequence not in self._pending:
            return False
        self._pending.remove(sequence)
        self.fail(error.errno, f"echo request {sequence}: {error.sentence or describe(error)}")
        return True

    # What is shown

    def path_hop_limit(self) -> int:
        """As DatagramEngine.path_hop_limit: routers may advertise one."""
        return self._path.hop_limit

    @property
    def local(self) -> str:
        """The local address."""
        return presentation(self._path.source)

    @property
    def remote(self) -> str:
        """The address to which requests go."""
        return presentation(self.destination)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return state, local and remote address, and counters."""
        del now
        return {
            "state": "CLOSED" if self.ended else "CONNECTED",
            "local": self.local,
            "remote": self.remote,
            "identifier": self._identifier,
            "unanswered": len(self._pending),
            "dropped_unmatched": self.dropped_unmatched,
            **self.counters(),
        }
