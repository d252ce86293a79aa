"""A UDP endpoint: a queue of received datagrams and the way to send. It is the engine behind `udp/<n>`.

    connected   receives from one peer and sends to it; the next call raises an ICMP error, once
    bound       receives from any sender; can send only with `headers`, where each write names the destination

The modes define how datagrams appear to read(2) and write(2):

    plain       one datagram per read; what does not fit is lost; a read of 0 octets is an empty datagram
    bytes       the rest of a datagram is kept for the next read; an empty datagram is not delivered
    headers     a line `HOST:PORT LENGTH`, then the payload; each write begins with a line `HOST:PORT`
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.conversation import DatagramEngine, Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import host_port_text, is_multicast
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import LARGEST_PAYLOAD, UDP, DeliveryError, not_local, payload_too_long
from schemefs.net.ports import PORT_ZERO
from schemefs.scheme import Event
from schemes.udp import groups, wire
from schemes.udp.udp import Udp, key_of

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.network_layer import NetworkLayer, Path
    from schemefs.net.ports import Claim

QUEUE_OCTETS: Final = 1 << 20
GROUP_HOP_LIMIT: Final = 1  # RFC 1112 §6.1: by default a datagram to a group does not leave the local network
MAX_PATHS: Final = 256  # peers of a bound endpoint whose paths are kept

Resolve = Callable[[str], tuple[bytes, int]]
"""Turns `HOST:PORT` into packed address and port. SchemeError: unknown host or port; ValueError: malformed."""


@dataclass(frozen=True, slots=True)
class Modes:
    """How datagrams appear to read and write."""

    bytes: bool = False
    headers: bool = False
    hop_limit: int = 0  # 0: the default, 64, and 1 for groups


class UserDatagram(NamedTuple):
    """A received user datagram."""

    payload: bytes
    source: bytes  # packed
    port: int  # the sender's
    destination: bytes  # packed: a local address, a broadcast address or a group


class Endpoint(DatagramEngine[UserDatagram]):
    """Satisfies `conversation.Engine` and `udp.Receiver`."""

    __slots__ = (
        "_address",  # local address, packed; empty: any
        "_claim",  # the claim of the port; None: the listener's claim covers it
        "_destinations",  # sender -> the local address to which it last sent
        "_group_hop_limit",  # hop limit of what is sent to groups
        "_key",  # the key of a connected endpoint; empty: not connected
        "_path",  # the path of a connected endpoint
        "_paths",  # peer -> its path, of a bound endpoint
        "_port",  # local port
        "_remote",  # address of the peer, packed; empty: not connected
        "_remote_port",
        "_resolve",  # parses the destination in a write with `headers`
        "_rest",  # the unread part of a datagram, in the modes that keep it
        "_udp",
        "groups",  # multicast groups joined, packed
        "modes",
    )

    def __init__(
        self, udp: Udp, address: bytes, port: int, modes: Modes, resolve: Resolve, claim: Claim | None
    ) -> None:
        """Make an endpoint at a local address (empty: any) and port; the caller then calls `connect` or `bind`."""
        super().__init__(QUEUE_OCTETS, udp.network.turns)
        self.groups: set[bytes] = set()
        self.modes = modes
        self._group_hop_limit = GROUP_HOP_LIMIT
        self._udp = udp
        self._address = address
        self._port = port
        self._resolve = resolve
        self._claim = claim
        self._remote = b""
        self._remote_port = 0
        self._key = b""
        self._path: Path | None = None
        self._paths: dict[bytes, Path] = {}
        self._destinations: dict[bytes, bytes] = {}
        self._rest: Buffer = b""
        if modes.hop_limit:
            self.set_hop_limit(str(modes.hop_limit))

    def connect(self, path: Path, remote_port: int) -> bool:
        """Receive from one peer only and send to it; False: another endpoint has the same addresses and ports."""
        self._path = path
        self._address = path.source
        self._remote = path.destination
        self._remote_port = remote_port
        self._key = key_of(path.destination, remote_port, path.source, self._port)
        return self._udp.connect(self._key, self)

    def bind(self) -> None:
        """Receive from any sender."""
        self._udp.bind(self._address, self._port, self)

    def set_peer(self, text: str) -> None:
        """Receive from this peer only from now on, as connect(2) of a bound socket: what waits stays, without its line.

        ValueError: malformed; EADDRINUSE: another endpoint has the same addresses and ports. Then nothing has changed.
        """
        remote, port = self._resolve(text)
        if not port:
            raise SchemeError(errno.EINVAL, PORT_ZERO)
        bound = self._claim.address if self._claim is not None else self._address
        path = self._udp.network.path(remote, bound if any(bound) else b"")
        key, address, taken = key_of(remote, port, path.source, self._port), self._address, self._key
        if key != taken and not self._udp.connect(key, self):
            raise SchemeError(errno.EADDRINUSE, f"a conversation to {text} from this port exists already")
        if taken and key != taken:
            self._udp.disconnect(taken, self)
        self._udp.unbind(address, self._port, self)
        self.modes = Modes(bytes=False, headers=False, hop_limit=self.modes.hop_limit)
        self.connect(path, port)

    # What arrives

    def receive(self, payload: bytes, source: bytes, port: int, destination: bytes, now: float) -> str:
        """Queue a datagram, or return why it is dropped."""
        if not payload and self.modes.bytes and not self.modes.headers:
            # A read of 0 is the end of file to a reader of octets: any sender could end a shell's `while read`.
            self.received += 1
            return self.log_drop("empty", 0, now)
        return self.enqueue(UserDatagram(payload, source, port, destination), len(payload), now)

    def has_sent_to(self, destination: bytes) -> bool:
        """Return whether *destination* is the peer, or has a path kept from a recent write."""
        return destination == self._remote or destination in self._paths

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Fail the next call of a connected endpoint with a hard error; only `err` shows any other error."""
        del now
        if self._path is not None and error.hard:
            self.fail(error.errno, error.sentence)
        else:
            self.error = error.sentence
            self.on_changed()

    # Files

    def read(self, size: int, now: float) -> Buffer | None:
        """Return a datagram, or at most *size* octets of it in the modes that keep the rest."""
        if not (self.modes.bytes or self.modes.headers):
            return super().read(size, now)
        if not self._rest:
            datagram = self.take()
            if datagram is None:
                return b"" if self._shut_read else None
            self._rest = self.payload(datagram)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def peek(self, size: int, now: float) -> Buffer | None:
        """Return a copy of what `read` would."""
        return self._rest[:size] if self._rest else super().peek(size, now)

    def payload(self, datagram: UserDatagram) -> Buffer:
        """Return what a read gives of *datagram*: its payload, with `headers` after a line HOST:PORT LENGTH."""
        if not self.modes.headers:
            return datagram.payload
        if len(self._destinations) >= MAX_PATHS:
            self._destinations.clear()
        self._destinations[datagram.source] = datagram.destination
        line = f"{host_port_text(datagram.source, datagram.port)} {len(datagram.payload)}\n"
        return line.encode() + datagram.payload

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram. EDESTADDRREQ: no destination; EMSGSIZE: *data* is too long for UDP."""
        self.check_writable()
        payload: memoryview = data
        path, remote_port = self._path, self._remote_port
        if self.modes.headers:
            path, remote_port, payload = self._addressed(data)
        if path is None:
            raise SchemeError(errno.EDESTADDRREQ, f"udp :{self._port} has no peer; connect it or open it with ,headers")
        if len(payload) > LARGEST_PAYLOAD:
            raise payload_too_long(len(payload))
        length = wire.HEADER_LENGTH + len(payload)
        partial = pseudo_header_sum(path.source, path.destination, UDP, length)
        header = wire.HEADER.pack(self._port, remote_port, length, partial)
        sent = path.send(
            UDP,
            header,
            (payload,),
            now,
            checksum_offset=wire.CHECKSUM_OFFSET,
            hop_limit=self._group_hop_limit if is_multicast(path.destination) else self.hop_limit,
            may_fragment=True,
        )
        self.was_sent(sent=sent)
        if not sent:
            self._udp.blocked.add(self)
            return None
        self._udp.out_datagrams += 1
        return len(data)

    def fevent(self, interest: int) -> int:
        """Add IN for the unread rest of a datagram."""
        return super().fevent(interest) | (Event.IN & interest if self._rest else 0)

    def path_hop_limit(self) -> int:
        """As DatagramEngine.path_hop_limit: routers may advertise one."""
        return self._path.hop_limit if self._path is not None else super().path_hop_limit()

    def set_hop_limit(self, text: str) -> None:
        """Set the hop limit of unicast and of groups."""
        super().set_hop_limit(text)
        self._group_hop_limit = self.hop_limit

    def forget(self) -> None:
        """Drop the queue and the rest of a datagram."""
        super().forget()
        self._rest = b""

    def leave(self, now: float) -> None:
        """Release the port and leave all groups."""
        self._udp.blocked.discard(self)
        if self._key:
            self._udp.disconnect(self._key, self)
        self._udp.unbind(self._address, self._port, self)
        if self._claim is not None:
            self._udp.ports.release(self._claim)
        groups.leave(self, set(self.groups), now)

    # What is shown

    @property
    def local(self) -> str:
        """Local address and port; the address is `*` for "any"."""
        return host_port_text(self._address, self._port)

    @property
    def remote(self) -> str:
        """Address and port of the peer; empty: not connected."""
        return host_port_text(self._remote, self._remote_port) if self._remote else ""

    @property
    def network(self) -> NetworkLayer:
        """The network layer in which groups are joined."""
        return self._udp.network

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The settings of every datagram conversation, and `groups`."""
        return {**super().settings, "groups": groups.setting_of(self)}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return state, local and remote endpoint, and counters."""
        del now
        state = "CLOSED" if self.ended else "CONNECTED" if self._remote else "BOUND"
        return {"state": state, "local": self.local, "remote": self.remote, **self.counters()}

    def _addressed(self, data: memoryview) -> tuple[Path, int, memoryview]:
        """Split a line HOST:PORT from the payload after it; return the path, the port and the payload."""
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
                raise SchemeError(errno.EISCONN, f"this conversation is connected to {self.remote}")
            return self._path, port, payload
        return self._path_to(remote), port, payload

    def _path_to(self, remote: bytes) -> Path:
        """Return the path to a peer; its source is the local address to which the peer last sent."""
        path = self._paths.get(remote)
        source = self._address if any(self._address) else self._destinations.get(remote, b"")
        network = self._udp.network
        if not network.is_local(source):
            if any(self._address) and not (is_multicast(source) or network.is_broadcast(source)):
                # As sendto(2) of a socket that is bound to an address which is gone.
                raise SchemeError(errno.ENETUNREACH, not_local(source).sentence)
            source = b""  # the peer sent to a group or to a broadcast address
        if path is None or (source and path.source != source) or not network.is_local(path.source):
            if len(self._paths) >= MAX_PATHS:
                self._paths.clear()
            path = self._paths[remote] = network.path(remote, source)
        return path
