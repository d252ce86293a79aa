"""A UDP endpoint: a bounded queue of datagrams, and who may fill it. It is the engine behind `udp/<n>`.

    connected   hears and writes to one peer; an ICMP error is raised once, by the next call
    bound       hears anybody; writes need a peer, which `headers` gives

How a datagram meets read(2) is said by the modes:

    plain       one per read, what does not fit is lost; an empty one is a read of 0
    bytes       the rest is kept for the next reads; an empty one has nothing to read
    headers     a line `HOST:PORT LENGTH`, then the octets; each write begins with a line `HOST:PORT`
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from schemefs.conversation import DatagramEngine, Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import endpoint_text, is_multicast
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import UDP, DeliveryError
from schemefs.scheme import Event
from schemes.udp import groups, wire
from schemes.udp.udp import Udp, key_of

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.net.network_layer import NetworkLayer, Path
    from schemefs.net.ports import Claim

QUEUE_OCTETS: Final = 1 << 20
GROUP_HOP_LIMIT: Final = 1  # RFC 1112 §6.1: what is sent to a group leaves the network only when somebody says so
PATHS: Final = 256  # ways to peers that a bound endpoint remembers

Resolve = Callable[[str], tuple[bytes, int]]
"""`HOST:PORT` to packed address and port; SchemeError or ValueError when it can't be."""


@dataclass(frozen=True, slots=True)
class Modes:
    """How datagrams meet read and write."""

    bytes: bool = False
    headers: bool = False
    hop_limit: int = 0  # 0: nobody has said


class Datagram(NamedTuple):
    """What has arrived, from whom, and which address of ours (or group) it was sent to."""

    payload: bytes
    source: bytes
    port: int
    destination: bytes


class Endpoint(DatagramEngine[Datagram]):
    """Satisfies `conversation.Engine`, and `udp.Receiver`."""

    __slots__ = (
        "_address",
        "_claim",
        "_group_hop_limit",
        "_heard_at",
        "_key",
        "_path",
        "_paths",
        "_port",
        "_remote",
        "_remote_port",
        "_resolve",
        "_rest",
        "_udp",
        "groups",
        "modes",
    )

    def __init__(
        self, udp: Udp, address: bytes, port: int, modes: Modes, resolve: Resolve, claim: Claim | None
    ) -> None:
        """Make an endpoint at a local address (zeros: any) and port; `connect` or `bind` comes next."""
        super().__init__(QUEUE_OCTETS)
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
        self._heard_at: dict[bytes, bytes] = {}  # peer -> the address of ours that it knows
        self._rest: Buffer = b""
        if modes.hop_limit:
            self.set_hop_limit(str(modes.hop_limit))

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
        if not payload and self.modes.bytes and not self.modes.headers:
            # A read of 0 would be the end of file to whoever reads octets: anybody could end a shell's `while read`.
            self.received += 1
            return
        if not self.arrived(Datagram(payload, source, port, destination), len(payload)):
            self._udp.dropped["queue_full"] += 1

    def has_sent_to(self, destination: bytes) -> bool:
        """Tell whether it is the peer, or one that was written to lately."""
        return destination == self._remote or destination in self._paths

    def receive_error(self, error: DeliveryError, now: float) -> None:
        """Keep an error for the next call; a bound endpoint has no call that it would belong to, only `err`."""
        del now
        if self._path is not None and error.hard:
            self.fail(error.errno, error.sentence)
        else:
            self.error = error.sentence
            self.on_changed()

    # Files

    def read(self, size: int, now: float) -> Buffer | None:
        """Return a datagram, or some of it in the modes that keep the rest."""
        if not (self.modes.bytes or self.modes.headers):
            return super().read(size, now)
        if not self._rest:
            datagram = self.take()
            if datagram is None:
                return b"" if self._shut_read else None
            self._rest = self.payload(datagram)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def payload(self, datagram: Datagram) -> Buffer:
        """Return what a read gives of it: with `headers`, a line before it."""
        if not self.modes.headers:
            return datagram.payload
        if len(self._heard_at) >= PATHS:
            self._heard_at.clear()
        self._heard_at[datagram.source] = datagram.destination
        line = f"{endpoint_text(datagram.source, datagram.port)} {len(datagram.payload)}\n"
        return line.encode() + datagram.payload

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram. EDESTADDRREQ: to whom? EMSGSIZE: more than UDP can carry."""
        self.check_writable()
        payload: memoryview = data
        path, remote_port = self._path, self._remote_port
        if self.modes.headers:
            path, remote_port, payload = self._addressed(data)
        if path is None:
            raise SchemeError(errno.EDESTADDRREQ, f"udp :{self._port} has no peer: connect, or open it with ,headers")
        if len(payload) > wire.LARGEST_PAYLOAD:
            sentence = f"{len(payload)} octets are more than a datagram carries ({wire.LARGEST_PAYLOAD})"
            raise SchemeError(errno.EMSGSIZE, sentence)
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
        """Readable with the rest of a datagram too."""
        return super().fevent(interest) | (Event.IN & interest if self._rest else 0)

    def set_hop_limit(self, text: str) -> None:
        """Set it for groups too."""
        super().set_hop_limit(text)
        self._group_hop_limit = self.hop_limit

    def forget(self) -> None:
        """Drop what was not read, the rest of a datagram too."""
        super().forget()
        self._rest = b""

    def leave(self, now: float) -> None:
        """Give the port back."""
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
        """Our address and port; zeros: any of ours."""
        return endpoint_text(self._address, self._port)

    @property
    def remote(self) -> str:
        """The peer, when there is one."""
        return endpoint_text(self._remote, self._remote_port) if self._remote else ""

    @property
    def network(self) -> NetworkLayer:
        """Where groups are joined."""
        return self._udp.network

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The groups beside what every datagram conversation has."""
        return {**super().settings, "groups": groups.setting_of(self)}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """State, ends and counters."""
        del now
        state = "CLOSED" if self.ended else "CONNECTED" if self._remote else "BOUND"
        return {"state": state, "local": self.local, "remote": self.remote, **self.counters()}

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
