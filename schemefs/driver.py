"""The contract of a driver: where frames go. A plugin like a scheme; a third party's package can add one.

    Link            what the network layer sees: an address, an MTU, `send`, `receive` for the frames that arrive
    Driver          what moves frames: the daemon opens it, and its `run` is one task that waits for the device
    DriverOption    an option of the driver: declared once, for the command line, files and `ifaces/add`
    DriverContext   what the daemon gives to a driver: the values of its options, and what every interface has

A frame out is a tuple of chunks (headers, then slices of a send buffer) that stay unchanged until the link has let go
of them. A frame in is a memoryview that is valid during the call only. The work that is left in a frame is an
`Offload`: a link that can't pass it on does the work itself (`schemefs.net.offload.split`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from schemefs.driver_option import DriverOption, with_defaults
from schemefs.net.drop_samples import DropSamples
from schemefs.net.frame_fields import ethernet_header_length
from schemefs.net.frame_history import FrameHistory
from schemefs.net.offload import NO_OFFLOAD, Offload, split
from schemefs.net.reader_turns import ReaderTurns
from schemefs.no_callback import no_callback

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

    from schemefs.call_soon import Callback
    from schemefs.log import LogRings
    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.capture_point import CapturePoint
    from schemefs.net.link_faults import LinkFaults
    from schemefs.net.recent_drops import DroppedFrame

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


class Medium(Enum):
    """What a frame begins with."""

    ETHERNET = "ethernet"
    IP = "ip"


Receive = Callable[[memoryview, "Offload", float], None]
"""Called with a frame (borrowed), the work left in it, and now. No content of a frame makes it raise."""


class Link(ABC):
    """One attachment to a network. The daemon sets `name` (lo, eth0, eth1…) when it attaches the link."""

    name: str = ""
    device: str = ""  # the other side of it: "tap:schemefs0"
    medium: Medium = Medium.ETHERNET
    mac: bytes = b""  # 6 octets; empty where the medium has none
    mtu: int = 1500  # octets of the largest IP datagram
    is_loopback: bool = False  # each frame that is sent on it is received from it
    # Octets of the largest TCP window that the other end copes with; 0: any. It may send a hundredth more than it.
    largest_window: int = 0
    carries_ping: bool = True  # whether an echo request to the gateway may be answered
    impair_refusal: str = ""  # why no impairment may be put on it, as the end of a sentence; empty: one may

    def __init__(self) -> None:
        self.receive: Receive = no_callback
        self.on_space: Callable[[float], None] = no_callback  # a frame that `send` has refused would be taken now
        self.observers: list[Callable[[Chunks, Offload, bool, float], None]] = []  # (chunks, offload, outgoing, now)
        self.capture_points: list[CapturePoint] = []  # at most one; an impairment shows it the frames of `impaired`
        self.impaired: frozenset[bool] = frozenset()  # the directions of an impairment in front, by whether outgoing
        self.fault = ""  # why no frame passes now, as a clause; empty: frames pass. `set_fault` changes it
        self.on_fault: Callable[[float], None] = no_callback  # `fault` was empty and is not, or the other way round
        self.history = FrameHistory(self.observers)
        self.observed = 0  # frames that the observers were shown: all pieces of one come with the same number
        self.space_observers: list[Callable[[float], None]] = []  # called after `on_space`
        self.samples = DropSamples()  # for each reason, the last frame that the link has dropped
        self.turns = ReaderTurns()  # the network layer's, once attached: whether readers are to read before more frames

    def observe(self, chunks: Chunks, offload: Offload, *, outgoing: bool, now: float) -> None:
        """Show a frame to the observers as it would be on a wire: cut to gso_size, checksums complete.

        A link calls this for each frame in both directions, and only while it has observers: other links save the cost.
        """
        self.observed += 1
        if self.history.size:
            if not (outgoing and self.is_loopback):  # where a frame that leaves arrives, too
                self.history.keep(chunks, offload, outgoing, now)
            if len(self.observers) == 1:
                return
        for piece in split(chunks, offload, self.network_offset(chunks[0])):
            for observer in tuple(self.observers):
                observer((piece,), NO_OFFLOAD, outgoing, now)

    def network_offset(self, frame: Buffer) -> int:
        """Return where the IP header begins in *frame*, of which the first chunk is enough."""
        if self.medium is Medium.IP:
            return 0
        return ethernet_header_length(frame)

    def space(self, now: float) -> None:
        """Call `on_space`: a refused `send` would succeed now. The link calls this once for any number of refusals."""
        self.on_space(now)
        for observer in tuple(self.space_observers):
            observer(now)

    def set_fault(self, fault: str, now: float) -> None:
        """Say why no frame passes from now on; empty: frames pass again."""
        has_changed = bool(fault) != bool(self.fault)
        self.fault = fault
        if has_changed:
            self.on_fault(now)

    @abstractmethod
    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Take a whole frame, and never wait. False: no room, nothing was taken; `on_space` follows."""

    def set_mac(self, mac: bytes) -> None:
        """Change our own hardware address: 6 octets, of one station."""
        self.mac = mac

    def faults_on_purpose(self, seed: int) -> LinkFaults | None:
        """Return the link's own faults that a user may switch on; None: there are none. *seed*: for the first call."""
        del seed
        return None

    def dropped(self, ends: tuple[bytes, bytes], ports: tuple[int, int], since: float) -> list[DroppedFrame]:
        """Return the frames of a flow that an impairment on this link has dropped at *since* or later, newest first."""
        del ends, ports, since
        return []

    def drop_samples(self) -> Mapping[str, str]:
        """Return, by reason of the `dropped_…` counters in `statistics`, a text about the last dropped frame."""
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
    nameserver: IPv4Address | None = None  # the first server of IPv4 that the schemes ask for names
    address6: IPv6Interface | None = None  # ours of IPv6, besides those that routers advertise; None: none
    address6_may_move: bool = False  # nothing was chosen: there may be another one, or no IPv6 at all
    nameserver6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `schemefs doctor`."""

    subject: str
    sentence: str
    fix: str = ""  # a command, in most cases
    good: bool = True  # False: a mount can't do without it
    # False: what the subject is for can't be done here, and mounts do without it. A driver with a finding of its own
    # name that does not work can't be used; that of the default driver is then not good either.
    works: bool = True
    put_back: Callable[[], None] | None = None  # undoes what a killed daemon has left; raises DriverError


class Driver(ABC):
    """A plugin that has one link.

    Life: constructed; `open` (raises DriverError, and leaves nothing behind); `run` as a task, cancelled at the end;
    `close`, which restores what was found.
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
    chosen_address6: IPv6Interface | None = None
    in_use: str = ""  # the subnet of this machine that was in the way of the addresses that were asked
    chosen_gateway6: IPv6Address | None = None  # a router of all of IPv6, which the driver has made
    lacks: str = ""  # what of the defaults can't be had, and why, for the line that says that the mount is ready

    @classmethod
    def examine(cls) -> Iterable[Finding]:
        """Look at what the driver needs on this machine, and for what a killed daemon has left. Changes nothing."""
        return ()

    def __init__(self, context: DriverContext) -> None:
        self.context = replace(context, options=with_defaults(self.options, context.interface, context.options))

    @property
    @abstractmethod
    def link(self) -> Link:
        """The link; complete once `open` has returned."""

    @abstractmethod
    def open(self) -> None:
        """Create the device or attach to it. DriverError: it can't be had. OptionError: an option is bad."""

    @abstractmethod
    async def run(self) -> None:
        """Move frames until cancelled or the device is gone. Waits for the device only: no periodic tick."""

    def frame_descriptor(self) -> int | None:
        """Return the descriptor that is readable when `receive_now` has frames to receive; -1: there is none now.

        None: only `run` receives. The mount then does not wait for the next request or frame outside the event loop.
        """
        return None

    def receive_now(self, now: float) -> None:
        """Receive one burst of frames from `frame_descriptor`, in place of `run`."""

    def close(self) -> None:
        """Detach, and restore the settings of the device and the host. Called also when `run` was never started."""


class DriverError(Exception):
    """The device can't be had: one sentence for the user of the command line or the writer of the file."""


class OptionError(DriverError):
    """The options can't be right for any device (EINVAL, where a DriverError is ENODEV)."""
