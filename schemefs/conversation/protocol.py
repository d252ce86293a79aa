"""What a protocol gives, so that its conversations become files: a description of itself, and engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from schemefs.conversation.use import Use
from schemefs.net.addresses import HostPort, parse_host, parse_host_port

if TYPE_CHECKING:
    from schemefs.held_octets import Account
    from schemefs.net.addresses import AddressPath
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.scheme import Caller


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a conversation: a file of `settings/` and a verb of ctl.

    *set* raises ValueError with a sentence for a bad value; None: it is read-only.
    """

    get: Callable[[], str]
    set: Callable[[str], None] | None
    help: str


class Engine(Protocol):
    """One conversation as the protocol runs it. None: would block, as for Handle. SchemeError: it has failed.

    A failure (RST, time-out, ICMP) is raised once, as on Linux: by the next write or read, but of a stream by the read
    after all that had arrived. `error` keeps its sentence.
    """

    on_changed: Callable[[], None]  # the engine calls it when a result below may have changed

    @property
    def local(self) -> str:
        """`10.0.2.15:49152`."""

    @property
    def remote(self) -> str:
        """`10.0.2.2:80`; empty: there is no peer."""

    @property
    def ended(self) -> bool:
        """Nothing that a user could see will change any more, so the conversation's directory may go."""

    @property
    def error(self) -> str:
        """Why it failed, in one sentence; empty: it has not."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`."""

    def opening(self, now: float) -> bool:
        """Return whether the connect is under way. Raises a failure, once, unless something waits to be read."""

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
        """Close directions. *write* sends FIN after what was written. *read* makes reads end, and drops arrivals."""

    def discard_input(self, discard: bool, now: float) -> None:
        """While *discard* is true, drop what arrives and what waits, so that the peer is never blocked."""

    def close(self, now: float) -> None:
        """End as a socket does: unread octets reset the peer; else FIN after what was written.

        The rest happens in the background until `ended`.
        """

    def close_lingering(self, now: float, limit: int = -1) -> None:
        """End after files that only wrote: FIN after what was written, never a RST for unread octets.

        What still arrives is discarded until the peer's FIN, or until 2 s of silence. A protocol above that closes as
        a socket does sets a *limit* of octets, beyond which the connection is reset.
        """

    def abort(self, now: float) -> None:
        """Drop what is unsent, and reset the peer (RST)."""

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return `state` first, then what explains it; times in seconds."""


@runtime_checkable
class OverTransport(Protocol):
    """An engine with a session of its own over the connection of another engine."""

    @property
    def session_was_refused(self) -> bool:
        """Whether the peer was reached, and the session has failed: another address of the host is no remedy."""


@runtime_checkable
class HoldsOctets(Protocol):
    """An engine whose buffers are counted for their user."""

    def charge_to(self, account: Account) -> None:
        """Count what is held now, and from now on, for the user of *account*."""


@runtime_checkable
class Peekable(Protocol):
    """An engine whose next read can be seen before it is made (the extended attributes of `data`)."""

    @property
    def pending_errno(self) -> int:
        """The errno of the failure that the next call raises; 0: none."""

    def peek(self, size: int, now: float) -> Buffer | Chunks | None:
        """Return a copy of what `read` would, and take nothing. A failure that waits is raised, and waits on."""


class ListenerEngine(Protocol):
    """A listener as the protocol runs it."""

    on_changed: Callable[[], None]

    @property
    def local(self) -> str:
        """`*:8080`."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The values of `settings/`, backlog among them."""

    def pending(self) -> int:
        """Return how many connections wait to be accepted."""

    def accept(self, now: float) -> Engine | None:
        """Take the oldest connection whose handshake is complete; None: none waits."""

    def close(self, now: float) -> None:
        """Stop listening; connections that wait are reset."""

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return `state`, which is LISTEN, first."""


@dataclass(frozen=True, slots=True)
class Option:
    """A word after a comma in an address path. *check* raises ValueError for a bad value, already at lookup.

    Where it would have no effect it is refused: in an address of another *use*, and beside none of the options that it
    *needs* one of.

    *is_file*: *check* returns the name of a file. The mount reads it with the caller's rights; `connect` and `announce`
    find the copy in `Caller.files`.
    """

    check: Callable[[str], object]
    help: str
    use: Use = Use.BOTH
    needs: tuple[str, ...] = ()
    is_file: bool = False


def no_value(text: str) -> None:
    """Check an option that is a bare word. ValueError: a value was given."""
    if text:
        message = f"the option takes no value, not {text!r}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that a ctl of one protocol takes beside the common ones.

    *act* is given the engine or the listener, the text after the verb, and `now`. It raises ValueError for a bad one.
    """

    usage: str  # the argument, for the README: "GROUP"
    help: str
    act: Callable[[Any, str, float], None]


class ConversationProtocol(ABC):
    """The description of a protocol (tcp, udp…), and the constructor of its engines."""

    name: str
    options: Mapping[str, Option] = {}
    verbs: Mapping[str, Verb] = {}
    ports: bool = True  # addresses are HOST:PORT; without: HOST
    timed: bool = False  # its engines are `time_spent.Timed`: there is `time`
    datagrams: bool = False  # the peer cannot see the end of what was written
    frames: str = ""  # what a capture's filter calls its datagrams: "tcp"; empty: any
    place: str = ""  # the path of its numbered directories; empty: *name*
    hosts: bool = True  # HOST may be a name to look up; without: it is a word of the protocol

    def parse(self, text: str) -> HostPort:
        """Parse an address without its options; no name is looked up. ValueError: malformed."""
        return parse_host_port(text) if self.ports else HostPort(parse_host(text), "")

    @abstractmethod
    def connect(self, address: AddressPath, caller: Caller, now: float) -> Engine:
        """Connect to HOST:PORT; raises what is known at once (ENETUNREACH, ENOENT, EADDRINUSE, EACCES).

        Every option in the address was checked. Those of `conversation.options.FILE_OPTIONS` need no action here.
        """

    def announce(self, address: AddressPath, caller: Caller, now: float) -> ListenerEngine | Engine:
        """Listen on the local HOST:PORT; without a host on any address. Needs `ports`.

        A datagram protocol returns an Engine that receives from any peer, where `use_of` says BIND.
        """
        raise NotImplementedError

    def configure(self, engine: Engine, address: AddressPath) -> None:
        """Apply the options of *address* to an accepted engine, whose listener may have other options."""

    def forgotten(self, engine: Engine) -> None:
        """The conversation of *engine* is gone: nothing asks it any more, whether it was closed or had ended before."""

    def secrets(self, engine: Engine) -> bytes | None:
        """Return what decrypts the octets of *engine*, as NSS key log lines (for captures); None: not known yet."""
        del engine
        return b""

    def stats(self) -> Mapping[str, int | float | str]:
        """Return the counters of the whole protocol, in the order in which `stats` shows them."""
        return {}
