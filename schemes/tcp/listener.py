"""A listener: connections that are opening (the SYN queue) and those that wait to be accepted (RFC 9293 §3.10.7.2).

    SYN  ──> opening, SYN-ACK out ── ACK ──> waiting ── accept ──> the user's
             at most SYN_QUEUE            at most backlog

When `waiting` is full, SYNs and the ACKs of handshakes are dropped, as on Linux: the peer sends them again, and with
them its text, which was not acknowledged.

When `opening` is full, as in a SYN flood, SYNs are answered with cookies (`syn_cookies`), and nothing is kept of them.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, cast

from schemefs.conversation import Setting
from schemefs.errors import SchemeError
from schemefs.held_octets import NO_ACCOUNT
from schemefs.net.addresses import host_port_text
from schemefs.no_callback import no_callback
from schemes.tcp import closing, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemefs.net.ports import Claim
    from schemes.tcp.connection import Connection
    from schemes.tcp.control_block import ControlBlock, Owner
    from schemes.tcp.syn_cookies import SynAck

DEFAULT_BACKLOG: Final = 128
SYN_QUEUE: Final = 4096
"""Entries; a larger backlog makes it larger. They take 21 MiB."""


def _without_options(_connection: ControlBlock) -> None:
    """Leave a new connection as it is: `configure` of a listener without options."""


class Listener:
    """Satisfies `schemefs.conversation.ListenerEngine`."""

    def __init__(self, tcp: Owner, claim: Claim) -> None:
        self.tcp = tcp
        self.claim = claim
        self.on_changed: Callable[[], None] = no_callback
        self.configure: Callable[[Connection], None] = _without_options  # applied to each new connection
        self.account = NO_ACCOUNT  # of the user that listens, for what comes before the accept
        self.backlog = DEFAULT_BACKLOG
        self.syn_queue = SYN_QUEUE
        self.opening: OrderedDict[ControlBlock, None] = OrderedDict()  # oldest first
        self.waiting: deque[Connection] = deque()
        self.accepted = 0
        self.overflows = 0
        self.cookies_until = 0.0  # until then an ACK may acknowledge a cookie
        self.syn_ack: SynAck  # set while SYNs are answered with cookies
        self.closed = False

    @property
    def local(self) -> str:
        """`*:8080`."""
        return host_port_text(self.claim.address, self.claim.port)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Only `backlog`: ENOTCONN once the listener is closed."""
        return {"backlog": Setting(lambda: str(self.backlog), self._set_backlog, settings.HELP["backlog"])}

    def _set_backlog(self, text: str) -> None:
        number = settings.backlog(text)
        if self.closed:
            raise SchemeError(errno.ENOTCONN, "backlog has no effect: the listener is closed")
        self.backlog = number

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state=LISTEN` first."""
        del now
        return {
            "state": "LISTEN",
            "local": self.local,
            "backlog": self.backlog,
            "waiting": self.pending(),
            "opening": len(self.opening),
            "accepted": self.accepted,
            "overflows": self.overflows,
        }

    @property
    def has_room(self) -> bool:
        """Whether one more connection may wait."""
        return len(self.waiting) < self.backlog

    def takes_syn(self) -> bool:
        """Return whether a SYN may begin a connection; one that may not is counted."""
        if not self.has_room:
            self.overflows += 1
            self.tcp.statistics.drop("listen_overflow")
            return False
        return True

    @property
    def is_full(self) -> bool:
        """Whether the SYN queue has no room: a SYN that opens no old connection again is answered with a cookie."""
        return len(self.opening) >= max(self.syn_queue, self.backlog)

    @property
    def oldest(self) -> ControlBlock:
        """The handshake that began first, of those in the queue."""
        return next(iter(self.opening))

    def begins(self, connection: ControlBlock, now: float) -> None:
        """Enter a handshake that begins. If the queue is full, its oldest entry is dropped, without a RST."""
        if self.is_full:
            self.tcp.statistics.abort("syn_queue_full")
            closing.end(self.oldest, now)
        self.opening[connection] = None

    def established(self, connection: ControlBlock) -> None:
        """Move a connection whose handshake is complete to `waiting`."""
        self.opening.pop(connection, None)
        accepted = cast("Connection", connection)
        accepted.charge_to(self.account)
        self.waiting.append(accepted)
        self.on_changed()

    def lost(self, connection: ControlBlock) -> None:
        """A connection ended before it was accepted. If it was established, it is still accepted, and a read fails."""
        self.opening.pop(connection, None)

    def pending(self) -> int:
        """How many connections `accept` would give out."""
        return len(self.waiting)

    def accept(self, now: float) -> Connection | None:
        """Take the oldest connection whose handshake is complete; None: none waits."""
        del now
        if not self.waiting:
            return None
        connection = self.waiting.popleft()
        connection.listener = None
        self.accepted += 1
        return connection

    def close(self, now: float) -> None:
        """Stop listening: reset the connections that wait or are opening."""
        self.closed = True
        self.tcp.forget_listener(self)
        for connection in (*self.waiting, *self.opening):
            connection.listener = None
            connection.closed = True
            closing.abort(connection, "listener_closed", now)
        self.waiting.clear()
        self.opening.clear()
