"""`udp/:PORT,listen`: one conversation for each sender. The first datagram of a sender makes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from schemefs.conversation import Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import host_port_text, parse_number
from schemefs.no_callback import no_callback
from schemes.udp import groups
from schemes.udp.endpoint import Endpoint, Modes, Resolve

if TYPE_CHECKING:
    from schemefs.net.network_layer import DeliveryError, NetworkLayer
    from schemefs.net.ports import Claim
    from schemes.udp.udp import Udp

BACKLOG: Final = 128


class UdpListener:
    """Satisfies `conversation.ListenerEngine` and `udp.Receiver`."""

    def __init__(self, udp: Udp, claim: Claim, modes: Modes, resolve: Resolve, backlog: int = BACKLOG) -> None:
        self.on_changed: Callable[[], None] = no_callback
        self.groups: set[bytes] = set()
        self.backlog = backlog
        self.accepted = 0
        self.dropped = 0
        self._udp = udp
        self._claim = claim
        self._modes = modes
        self._resolve = resolve
        self._pending: deque[Endpoint] = deque()
        udp.bind(claim.address, claim.port, self)

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Make an endpoint for a new sender; UDP delivers later datagrams of this sender to the endpoint."""
        while self._pending and self._pending[0].ended:
            self._pending.popleft()
        if len(self._pending) >= self.backlog:
            self.dropped += 1
            return "backlog_full"
        network = self._udp.network
        local = destination if network.is_local(destination) else b""
        try:
            path = network.path(source, local)
        except SchemeError:  # no route back: a conversation could not send
            self.dropped += 1
            return "no_route"
        endpoint = Endpoint(self._udp, path.source, self._claim.port, self._modes, self._resolve, None)
        if not endpoint.connect(path, port):
            self.dropped += 1
            return "taken_sender"
        reason = endpoint.receive(payload, source, port, destination, now)
        self._pending.append(endpoint)
        self.on_changed()
        return reason

    def has_sent_to(self, destination: bytes) -> bool:
        """Return False: only the accepted endpoints send."""
        del destination
        return False

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Ignore the error: a listener has sent nothing."""

    def transmit_space(self, now: float) -> None:
        """Do nothing: a listener does not send."""

    @property
    def local(self) -> str:
        """Local address and port; the address is `*` for "any"."""
        return host_port_text(self._claim.address, self._claim.port)

    @property
    def network(self) -> NetworkLayer:
        """The network layer in which groups are joined."""
        return self._udp.network

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The settings `backlog` and `groups`."""
        backlog = Setting(lambda: str(self.backlog), self._set_backlog, "new senders that may wait, 1 to 4096")
        return {"backlog": backlog, "groups": groups.setting_of(self)}

    def pending(self) -> int:
        """Return the number of new senders that wait for accept."""
        return len(self._pending)

    def accept(self, now: float) -> Endpoint | None:
        """Return the endpoint of the sender that has waited longest; None: no sender waits."""
        del now
        if not self._pending:
            return None
        self.accepted += 1
        return self._pending.popleft()

    def close(self, now: float) -> None:
        """Stop listening; accepted conversations continue, waiting senders are dropped."""
        self._udp.unbind(self._claim.address, self._claim.port, self)
        self._udp.ports.release(self._claim)
        while self._pending:
            self._pending.popleft().close(now)
        groups.leave(self, set(self.groups), now)

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return state, local endpoint and counters."""
        del now
        return {
            "state": "LISTEN",
            "local": self.local,
            "pending": len(self._pending),
            "backlog": self.backlog,
            "accepted": self.accepted,
            "dropped_backlog_full": self.dropped,
        }

    def _set_backlog(self, text: str) -> None:
        self.backlog = parse_number(text, 1, 4096)
