"""What a protocol gives so that its conversations become files: a description of itself, and engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Protocol

from schemefs.net.addresses import Endpoint, parse_endpoint, parse_host

if TYPE_CHECKING:
    from schemefs.net.addresses import AddressPath
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a conversation that a user may read and, mostly, write: a file of `settings/`, a ctl verb, option.

    *set* raises ValueError with a sentence for a bad value; None: read only.
    """

    get: Callable[[], str]
    set: Callable[[str], None] | None
    help: str


class Engine(Protocol):
    """One conversation as the protocol runs it. `None` would block, as for Handle; SchemeError when it has failed.

    A failure (RST, time-out, ICMP) is raised once by the next read or write after what had arrived was read, as Linux
    does; `error` keeps its sentence.
    """

    on_changed: Callable[[], None]  # to be called when any of the answers below may have changed

    @property
    def local(self) -> str:
        """`10.0.2.15:49152`."""

    @property
    def remote(self) -> str:
        """The peer, or empty."""

    @property
    def ended(self) -> bool:
        """Nothing more will happen that a user could see: the conversation's directory may go."""

    @property
    def error(self) -> str:
        """One sentence saying why it failed; empty while it has not."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`."""

    def opening(self, now: float) -> bool:
        """Tell whether the connect is still under way; raises when it failed."""

    def read(self, size: int, now: float) -> Buffer | Chunks | None:
        """As Handle.read."""

    def write(self, data: memoryview, now: float) -> int | None:
        """As Handle.write."""

    def fevent(self, interest: int) -> int:
        """As Handle.fevent."""

    def queued(self) -> int | None:
        """As Handle.queued."""

    def synced(self, now: float) -> bool:
        """As Handle.synced."""

    def shutdown(self, *, read: bool, write: bool, now: float) -> None:
        """Close directions: write sends FIN after what was written; read: reads give end of file, arrivals are lost."""

    def discard_input(self, discard: bool, now: float) -> None:
        """While true, what arrives (and what waits) is taken and dropped, so that the peer is never held up."""

    def close(self, now: float) -> None:
        """The last holder has gone, as with a socket: unread octets reset the peer; else FIN after what was written.

        Goes on in the background until `ended`.
        """

    def close_lingering(self, now: float) -> None:
        """The last holder has gone, one that only wrote: FIN after what was written, discarding what still comes,
        until the peer's FIN or 2 s of silence; never a RST on unread octets."""

    def abort(self, now: float) -> None:
        """Forget what is unsent and tell the peer (RST)."""

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state` first, then whatever helps; times in seconds."""


class ListenerEngine(Protocol):
    """A conversation that waits for peers."""

    on_changed: Callable[[], None]

    @property
    def local(self) -> str:
        """`0.0.0.0:8080`."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`, backlog among them."""

    def pending(self) -> int:
        """How many accepted connections wait."""

    def accept(self, now: float) -> Engine | None:
        """Take the oldest connection whose handshake is complete; None: none waits."""

    def close(self, now: float) -> None:
        """Stop listening; connections that wait are reset."""

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """`state=LISTEN` first."""


class Use(Flag):
    """What an address is for."""

    CONNECT = auto()
    LISTEN = auto()
    BOTH = CONNECT | LISTEN


@dataclass(frozen=True, slots=True)
class Option:
    """A word after a comma in an address path. *check* raises ValueError for a bad value, at lookup already.

    It is refused in an address of another use, and without all of the options that it `needs` one of: there it would
    have no effect, and whoever wrote it would wonder why.

    *is_file*: what *check* returns is the name of a file, of which `connect` and `announce` find a copy in
    `Caller.files`; it was read with the caller's rights.
    """

    check: Callable[[str], object]
    help: str
    use: Use = Use.BOTH
    needs: tuple[str, ...] = ()
    is_file: bool = False


def no_value(text: str) -> None:
    """Check an option that is a bare word. ValueError: a value was given."""
    if text:
        message = f"it is a word without a value, not {text!r}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Verb:
    """What a ctl of a protocol takes beside the verbs that all have.

    *act* is given the engine or the listener, what follows the verb, and `now`; ValueError: a bad argument.
    """

    usage: str  # what follows it, for people: "GROUP"
    help: str
    act: Callable[[Any, str, float], None]


class ConversationProtocol(ABC):
    """What tcp, udp… say about themselves. Also the place where an engine's values are turned into words."""

    name: str
    options: Mapping[str, Option] = {}
    verbs: Mapping[str, Verb] = {}
    ports: bool = True  # addresses are HOST:PORT; without: HOST
    datagrams: bool = False  # closing what was written is no end that a peer could see
    place: str = ""  # where its numbered directories are, when not `name`: "ip/conversations"
    hosts: bool = True  # HOST is somebody to be looked up by name; without: a word of the protocol's own

    def parse(self, text: str) -> Endpoint:
        """Return what an address without its options says; ValueError: malformed. Nobody is asked for the name."""
        return parse_endpoint(text) if self.ports else Endpoint(parse_host(text), "")

    @abstractmethod
    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Begin a conversation with HOST:PORT; raises what is known at once (ENETUNREACH, ENOENT, EADDRINUSE, EACCES).

        Every option in the address is one of `options` (or of the few that the files themselves serve), checked.
        """

    def announce(self, address: AddressPath, caller: Caller, now: float) -> ListenerEngine | Engine:
        """Listen on :PORT; a datagram protocol gives an Engine that hears anyone. For protocols with `ports`."""
        raise NotImplementedError

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Have what was accepted be as the options of *address* say: it may come from a listener with others."""

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters of the whole protocol, in the order in which `stats` shows them."""
        return {}
