"""A UDP endpoint: a bounded queue of datagrams, and who may fill it. It is the engine behind `udp/<n>`.

    connected   hears and writes to one peer; an ICMP error is raised once, by the next call
    bound       hears anybody; writes need a peer, which `headers` gives

How a datagram meets read(2) is said by the modes: plain (one per read, what does not fit is lost), bytes (the rest is
kept for the next reads), headers (a line `HOST:PORT LENGTH`, then the octets; each write begins with `HOST:PORT`).
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.conversation import Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import endpoint_text, parse_number, presentation
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.layers import UDP, DeliveryError
from schemefs.scheme import Event
from schemes.udp import wire
from schemes.udp.udp import Udp, key_of

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.layers import Path
    from schemefs.net.ports import Claim

QUEUE_OCTETS: Final = 1 << 20
QUEUE_OVERHEAD: Final = 256  # what a queued datagram costs beside its octets
PATHS: Final = 256  # ways to peers that a bound endpoint remembers

Resolve = Callable[[str], tuple[bytes, int]]
"""`HOST:PORT` to packed address and port; SchemeError or ValueError when it can't be."""


@dataclass(frozen=True, slots=True)
class Modes:
    """How datagrams meet read and write."""

    bytes: bool = False
    headers: bool = False
    hop_limit: int = 64


class Endpoint:
    """Satisfies `conversation.Engine`, and `udp.Receiver`."""

    __slots__ = (
        "_address",
        "_blocked",
        "_claim",
        "_discards",
        "_failure",
        "_heard_at",
        "_held",
        "_key",
        "_modes",
        "_path",
        "_paths",
        "_port",
        "_queue",
        "_remote",
        "_remote_port",
        "_resolve",
        "_rest",
        "_shut",
        "_udp",
        "dropped",
        "ended",
        "error",
        "groups",
        "hop_limit",
        "on_changed",
        "queue_octets",
        "received",
        "sent",
    )

    def __init__(
        self, udp: Udp, address: bytes, port: int, modes: Modes, resolve: Resolve, claim: Claim | None
    ) -> None:
        """Make an endpoint at a local address (zeros: any) and port; `connect` or `bind` comes next."""
        self.on_changed: Callable[[], None] = _nothing
        self.ended = False
        self.error = ""
        self.groups: set[bytes] = set()
        self.hop_limit = modes.hop_limit
        self.queue_octets = QUEUE_OCTETS
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self._udp = udp
        self._address = address
        self._port = port
        self._modes = modes
        self._resolve = resolve
        self._claim = claim
        self._remote = b""
        self._remote_port = 0
        self._key = b""
        self._path: Path | None = None
        self._paths: dict[bytes, Path] = {}
        self._heard_at: dict[bytes, bytes] = {}  # peer -> the address of ours that it knows
        self._queue: deque[tuple[bytes, bytes, int, bytes]] = deque()  # payload, source, port, destination
        self._held = 0
        self._rest: Buffer = b""
        self._failure: SchemeError | None = None
        self._discards = False
        self._shut = False
        self._blocked = False

    def connect(self, path: Path, remote_port: int) -> bool:
        """Speak with one peer only; False: another endpoint has exactly these addresses and ports."""
        self._path = path
        self._address = path.source
        self._remote = path.destination
        self._remote_port = remote_port
        self._key = key_of(path.destination, remote_port, path.source, self._port)
        return self._udp.connect(self._key, self)

    def bind(self) -> None:
        """Hear anybody."""
        self._udp.bind(self._address, self._port, self)

    # What arrives

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> None:
        """Queue a datagram; over the bound it is counted and dropped."""
        del now
        if self._discards or self._shut:
            return
        cost = len(payload) + QUEUE_OVERHEAD
        if self._held + cost > self.queue_octets:
            self.dropped += 1
            self._udp.dropped["queue_full"] += 1
            return
        self._held += cost
        self.received += 1
        self._queue.append((payload, source, port, destination))
        self.on_changed()

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Keep an error for the next call; a bound endpoint has no call that it would belong to, only `err`."""
        del now
        self.error = error.sentence
        if self._path is not None and error.hard:
            self._failure = SchemeError(error.errno, error.sentence)
        self.on_changed()

    def transmit_space(self) -> None:
        """A write would be taken again."""
        self._blocked = False
        self.on_changed()

    # Files

    def opening(self, now: float) -> bool:
        """UDP has nothing to wait for."""
        del now
        return False

    def read(self, size: int, now: float) -> Buffer | None:
        """Return a datagram, or some of it in the modes that keep the rest."""
        del now
        if not self._rest:
            if not self._queue:
                self._raise_failure()
                return b"" if self._shut else None
            self._rest = self._take()
        keeps = self._modes.bytes or self._modes.headers
        taken, self._rest = self._rest[:size], self._rest[size:] if keeps else b""
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram. EDESTADDRREQ: to whom? EMSGSIZE: more than UDP can carry."""
        if self.ended:
            raise SchemeError(errno.ENOTCONN, "this conversation has ended")
        self._raise_failure()
        payload: memoryview = data
        path, remote_port = self._path, self._remote_port
        if self._modes.headers:
            path, remote_port, payload = self._addressed(data)
        if path is None:
            raise SchemeError(errno.EDESTADDRREQ, f"udp :{self._port} has no peer: connect, or open it with ,headers")
        if len(payload) > wire.LARGEST_PAYLOAD:
            sentence = f"{len(payload)} octets are more than a datagram carries ({wire.LARGEST_PAYLOAD})"
            raise SchemeError(errno.EMSGSIZE, sentence)
        length = wire.HEADER_LENGTH + len(payload)
        partial = pseudo_header_sum(path.source, path.destination, UDP, length)
        header = wire.HEADER.pack(self._port, remote_port, length, partial)
        if not path.send(
            UDP,
            header,
            (payload,),
            now,
            checksum_offset=wire.CHECKSUM_OFFSET,
            hop_limit=self.hop_limit,
            may_fragment=True,
        ):
            self._blocked = True
            self._udp.blocked.add(self)
            return None
        self._blocked = False
        self.sent += 1
        self._udp.out_datagrams += 1
        return len(data)

    def fevent(self, interest: int) -> int:
        """Readable with a datagram, an error or after the end; writable unless the link refused."""
        events = 0
        if self._queue or self._rest or self._failure or self._shut or self.ended:
            events |= Event.IN
        if not self._blocked or self._failure:
            events |= Event.OUT
        if self._failure:
            events |= Event.ERR
        if self.ended:
            events |= Event.HUP
        return events & (interest | Event.ERR | Event.HUP)

    def queued(self) -> int | None:
        """Reads are messages, also where their rest is kept."""
        return None

    def synced(self, now: float) -> bool:
        """What was written is on its way, and nobody acknowledges it."""
        del now
        return True

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """End reading. There is no end of a datagram sender's stream, and its next open may write again."""
        del write, now
        if read:
            self._shut = True
            self._forget_queue()
            self.on_changed()

    def discard_input(self, discard: bool, now: float) -> None:
        """Take and drop what arrives, for whoever only writes."""
        del now
        self._discards = discard
        if discard:
            self._forget_queue()

    def close(self, now: float) -> None:
        """Give the port back."""
        if self.ended:
            return
        self.ended = True
        self._shut = True
        self._forget_queue()
        self._udp.blocked.discard(self)
        if self._key:
            self._udp.disconnect(self._key, self)
        self._udp.unbind(self._address, self._port, self)
        if self._claim is not None:
            self._udp.ports.release(self._claim)
        for group in self.groups:
            self._udp.network.leave_group(group, now)
        self.groups = set()
        self.on_changed()

    close_lingering = close
    abort = close

    # What is shown

    @property
    def local(self) -> str:
        """Our address and port; zeros: any of ours."""
        return endpoint_text(self._address, self._port)

    @property
    def remote(self) -> str:
        """The peer, when there is one."""
        return endpoint_text(self._remote, self._remote_port) if self._remote else ""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Hop limit, size of the queue, groups."""
        return {
            "hop_limit": Setting(lambda: str(self.hop_limit), self._set_hop_limit, "TTL of what is sent, 1 to 255"),
            "receive_queue": Setting(
                lambda: str(self.queue_octets), self._set_queue, "octets that may wait to be read"
            ),
            "groups": Setting(lambda: " ".join(map(presentation, sorted(self.groups))), None, "groups it has joined"),
        }

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """State, ends and counters."""
        del now
        state = "CLOSED" if self.ended else "CONNECTED" if self._remote else "BOUND"
        return {
            "state": state,
            "local": self.local,
            "remote": self.remote,
            "datagrams_queued": len(self._queue),
            "octets_queued": sum(len(payload) for payload, *_ in self._queue),
            "datagrams_received": self.received,
            "datagrams_sent": self.sent,
            "dropped_queue_full": self.dropped,
            "error": self.error,
        }

    def _take(self) -> Buffer:
        payload, source, port, destination = self._queue.popleft()
        self._held -= len(payload) + QUEUE_OVERHEAD
        if not self._modes.headers:
            return payload
        if len(self._heard_at) >= PATHS:
            self._heard_at.clear()
        self._heard_at[source] = destination
        return f"{endpoint_text(source, port)} {len(payload)}\n".encode() + payload

    def _addressed(self, data: memoryview) -> tuple[Path, int, memoryview]:
        """Split a line HOST:PORT from the payload after it; return the way there."""
        line, newline, _ = bytes(data[:300]).partition(b"\n")
        if not newline:
            raise SchemeError(errno.EDESTADDRREQ, "with ,headers each write begins with a line HOST:PORT")
        try:
            remote, port = self._resolve(line.decode())
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"with ,headers each write begins with a line HOST:PORT: {error}") from None
        payload = data[len(line) + 1 :]
        if self._path is not None:
            if (remote, port) != (self._remote, self._remote_port):
                raise SchemeError(errno.EISCONN, f"this conversation is with {self.remote}")
            return self._path, port, payload
        return self._path_to(remote), port, payload

    def _path_to(self, remote: bytes) -> Path:
        """Return the way to a peer, from the address that it knows us by."""
        path = self._paths.get(remote)
        source = self._address if any(self._address) else self._heard_at.get(remote, b"")
        network = self._udp.network
        if not network.is_local(source):  # it wrote to a group, or to everybody
            source = b""
        if path is None or (source and path.source != source):
            if len(self._paths) >= PATHS:
                self._paths.clear()
            path = self._paths[remote] = network.path(remote, source)
        return path

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.on_changed()
            raise failure

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._held = 0
        self._rest = b""

    def _set_hop_limit(self, text: str) -> None:
        self.hop_limit = parse_number(text, 1, 255)

    def _set_queue(self, text: str) -> None:
        self.queue_octets = parse_number(text, 1024, 64 << 20)


def _nothing() -> None:
    """Nobody looks yet."""
