"""The contract of a driver: where frames go. A plugin like a scheme; a third party's package can add one.

    Link      what the network layer sees: an address, an MTU, `send`, and whom to give received frames
    Driver    what moves them: opened by the daemon, its `run` is one task that waits for the device

Frames out are a tuple of chunks (headers, then slices of somebody's send buffer) that stay unchanged until the link is
done with them; frames in are borrowed memoryviews, valid only during the call. The work still to be done to a frame
is an `Offload`: a link that can't hand it on does it itself (`schemefs.net.offload.split`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from schemefs.driver_option import DriverOption, with_defaults
from schemefs.net.drop_samples import Samples
from schemefs.net.offload import NO_OFFLOAD, Offload, split
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Interface

    from schemefs.call_soon import Callback
    from schemefs.log import LogRings
    from schemefs.net.buffer import Buffer, Chunks

__all__ = [
    "Driver",
    "DriverContext",
    "DriverError",
    "DriverOption",
    "Finding",
    "Link",
    "Medium",
    "OptionError",
    "Receive",
]

_VLAN_TAGS = (b"\x81\x00", b"\x88\xa8")  # IEEE 802.1Q: four octets more in front of the EtherType


class Medium(Enum):
    """What a frame begins with."""

    ETHERNET = "ethernet"
    IP = "ip"


Receive = Callable[[memoryview, "Offload", float], None]
"""Called with a frame (borrowed), the work left in it, and now. Never raises for anything the octets say."""


class Link(ABC):
    """One attachment to a network. `name` is given by the daemon (lo, eth0, eth1…) when it attaches it."""

    name: str = ""
    device: str = ""  # where it leads: "tap:schemefs0"
    medium: Medium = Medium.ETHERNET
    mac: bytes = b""  # 6 octets; empty where the medium has none
    mtu: int = 1500  # octets of the largest IP datagram

    def __init__(self) -> None:
        self.receive: Receive = no_callback
        self.on_space: Callable[[float], None] = no_callback  # `send` refused and would take a frame again
        self.observers: list[Callable[[Chunks, Offload, bool, float], None]] = []  # (chunks, offload, outgoing, now)
        self.space_observers: list[Callable[[float], None]] = []  # told after `on_space`
        self.samples = Samples()  # the last frame of each kind that the link has dropped

    def observe(self, chunks: Chunks, offload: Offload, *, outgoing: bool, now: float) -> None:
        """Show a frame to the observers as it would be on a wire: cut to gso_size, checksums complete.

        A link calls this for each frame, in both directions, only while it has observers: nobody else pays.
        """
        for piece in split(chunks, offload, self.network_offset(chunks[0])):
            for observer in tuple(self.observers):
                observer((piece,), NO_OFFLOAD, outgoing, now)

    def network_offset(self, frame: Buffer) -> int:
        """Return where the IP header begins in *frame* (its first chunk will do)."""
        if self.medium is Medium.IP:
            return 0
        return 18 if bytes(frame[12:14]) in _VLAN_TAGS else 14

    def space(self, now: float) -> None:
        """Say that a refused `send` would succeed now. Called by the link, once for any number of refusals."""
        self.on_space(now)
        for observer in tuple(self.space_observers):
            observer(now)

    @abstractmethod
    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Take a whole frame, never waiting for it to go out. False: no room, nothing was taken, `on_space` follows."""

    def set_mac(self, mac: bytes) -> None:
        """Change our own hardware address."""
        self.mac = mac

    def drop_samples(self) -> Mapping[str, str]:
        """Return, for reasons of the `dropped_…` counters in `statistics`, what the last one of each was, in words."""
        return self.samples.summaries()

    @abstractmethod
    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters that `network/<if>/stats` and `netcfg/ifaces/<if>/stats` show, in order."""


def _no_daemon(_callback: Callback) -> None:
    message = "there is no daemon that runs callbacks"
    raise RuntimeError(message)


@dataclass(slots=True)
class DriverContext:
    """What the daemon hands to the constructor of a driver."""

    interface: str  # the name of the link
    options: Mapping[str, Any] = field(default_factory=dict)  # a value for each option of `Driver.options`
    logs: LogRings | None = None
    # Call a function, with now, as soon as the current callback returns: for work that `send` must not do itself
    call_soon: Callable[[Callback], None] = _no_daemon
    address: IPv4Interface | None = None  # ours; None: none yet
    address_may_move: bool = False  # nothing was chosen: another subnet may be taken when this one is in use
    mac: bytes = b""  # 6 octets; empty: the driver chooses
    mtu: int = 0  # octets of the largest IP datagram; 0: the driver chooses
    nameserver: IPv4Address | None = None  # the server that the schemes ask for names


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `schemefs doctor` has looked at."""

    subject: str
    sentence: str
    fix: str = ""  # what to do about it: a command, mostly
    good: bool = True
    put_back: Callable[[], None] | None = None  # undo what a killed daemon has left; raises DriverError


class Driver(ABC):
    """A plugin that has one link.

    Life: constructed; `open` (raises DriverError, leaving nothing behind); `run` as a task, cancelled at the end;
    `close`, which puts everything back as it was found.
    """

    name: ClassVar[str]

    # None: it declares no table; the texts of `options = { … }` in a configuration file reach the constructor unread.
    # `schemefs mount` reads the tables of all drivers. An entry point's module that defines `OPTIONS` is not asked for
    # the class: its import can then do without an event loop (see drivers/tap/__init__.py).
    options: ClassVar[Sequence[DriverOption] | None] = None

    # Set by `open` where it has taken other addresses than asked (`DriverContext.address_may_move`)
    chosen_address: IPv4Interface | None = None
    chosen_gateway: IPv4Address | None = None
    chosen_options: Mapping[str, object] = MappingProxyType({})  # options with another value than asked

    @classmethod
    def examine(cls) -> Iterable[Finding]:
        """Look at what the driver needs here, and for what a killed daemon has left of it. Changes nothing."""
        return ()

    def __init__(self, context: DriverContext) -> None:
        self.context = replace(context, options=with_defaults(self.options, context.interface, context.options))

    @property
    @abstractmethod
    def link(self) -> Link:
        """The link; complete once `open` has returned."""

    @abstractmethod
    def open(self) -> None:
        """Create or attach to the device."""

    @abstractmethod
    async def run(self) -> None:
        """Move frames until cancelled. Waits only for the device: no periodic tick."""

    def close(self) -> None:
        """Detach, and put the device and the host's settings back as found."""


class DriverError(Exception):
    """A device that can't be had: one clear sentence for the person at the command line."""


class OptionError(DriverError):
    """What the driver was told is nothing that any device could have."""
