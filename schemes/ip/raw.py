"""Raw datagrams: `ip/<proto>` reads and writes whole IPv4 datagrams, as a Linux raw socket with IP_HDRINCL.

What is read is finished, as it would be on a wire: partial checksums completed, super-segments split. What is written
has total length and header checksum filled in always, identification and source where they are zero (raw(7)).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.conversation import DatagramEngine
from schemefs.errors import SchemeError
from schemefs.net.addresses import ANY_V4, packed, presentation
from schemefs.net.offload import Offload, split
from schemes.ip import wire
from schemes.ip.protocols import protocol_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Setting
    from schemes.ip.network import Network
    from schemes.ip.path import Path

QUEUE_OCTETS: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Filter:
    """Which datagrams are read: those from and to these addresses, where they are given."""

    source: bytes = b""
    destination: bytes = b""


def parse_address(text: str) -> bytes:
    """Return the packed address of an option; ValueError."""
    address = packed(text)
    if address is None:
        raise ValueError(f"{text!r} is no numeric address")
    return address


class RawConversation(DatagramEngine[bytes]):
    """What one `ip/<proto>` file stands for. Satisfies `schemefs.conversation.Engine`, and `ipv4.RawReceiver`."""

    __slots__ = ("_paths", "network", "protocol", "wanted")

    def __init__(self, network: Network, protocol: int, wanted: Filter) -> None:
        """Begin to listen."""
        super().__init__(QUEUE_OCTETS)
        self.network = network
        self.protocol = protocol
        self.wanted = wanted
        self._paths: dict[bytes, Path] = {}
        network.ipv4.raw.setdefault(protocol, []).append(self)

    def receive(self, datagram: memoryview, offload: Offload, now: float) -> None:
        """Queue copies of what arrived, finished; over the bound it is counted and dropped."""
        del now
        source, destination = bytes(datagram[12:16]), bytes(datagram[16:20])
        if self.wanted.source not in (b"", source) or self.wanted.destination not in (b"", destination):
            return
        for whole in split((datagram,), offload, 0):
            if not self.arrived(bytes(whole), len(whole)):
                self.network.counters.drop("raw_queue_full", whole)
                return

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram with its header. EINVAL: not one, or of another protocol."""
        self.check_writable()
        datagram = self._checked(data)
        path = self._path_to(bytes(datagram[16:20]))
        if not any(datagram[12:16]):
            datagram[12:16] = path.source
        header_length = (datagram[0] & 15) * 4
        datagram[2:4] = len(datagram).to_bytes(2, "big")
        if not any(datagram[4:6]):
            identifications = self.network.identifications
            slot = identifications.slot(bytes(datagram[12:16]), bytes(datagram[16:20]), datagram[9])
            datagram[4:6] = identifications.next(slot).to_bytes(2, "big")
        datagram[:header_length] = wire.with_checksum(datagram[:header_length])
        # A full link loses it, as a raw socket does with ENOBUFS ignored: there is no transport to wait for room.
        if path.send_whole(datagram, self.protocol, now):
            self.sent += 1
        else:
            self.network.counters.drop("full_link", datagram)
        return len(data)

    def has_sent_to(self, destination: bytes) -> bool:
        """Tell whether one of the last datagrams went there."""
        return destination in self._paths

    def leave(self, now: float) -> None:
        """Listen no more."""
        del now
        receivers = self.network.ipv4.raw[self.protocol]
        receivers.remove(self)
        if not receivers:
            del self.network.ipv4.raw[self.protocol]

    @property
    def local(self) -> str:
        """The address that what is read must be sent to; zeros: any."""
        return presentation(self.wanted.destination or ANY_V4)

    @property
    def remote(self) -> str:
        """The address that what is read must come from, if that was asked for."""
        return presentation(self.wanted.source) if self.wanted.source else ""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The queue: hop limit and the rest are in the header that the user writes."""
        return {name: setting for name, setting in super().settings.items() if name != "hop_limit"}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """State, protocol and counters."""
        del now
        state = "CLOSED" if self.ended else "BOUND"
        shown = {"state": state, "protocol": protocol_name(self.protocol), "local": self.local, "remote": self.remote}
        return {**shown, **self.counters()}

    def _path_to(self, destination: bytes) -> Path:
        """Return the way to *destination*, kept for the next datagram."""
        path = self._paths.get(destination)
        if path is None:
            if len(self._paths) >= 256:
                self._paths.clear()
            path = self._paths[destination] = self.network.path(destination)
        return path

    def _checked(self, data: memoryview) -> bytearray:
        if len(data) < wire.HEADER_LENGTH or len(data) > wire.LARGEST_DATAGRAM:
            number = errno.EINVAL if len(data) < wire.HEADER_LENGTH else errno.EMSGSIZE
            raise SchemeError(number, f"{len(data)} octets are no IPv4 datagram (20 to 65535)")
        length = (data[0] & 15) * 4
        if data[0] >> 4 != 4 or length < wire.HEADER_LENGTH or length > len(data):
            raise SchemeError(errno.EINVAL, "this does not begin with an IPv4 header")
        if data[9] != self.protocol:
            theirs, ours = protocol_name(data[9]), protocol_name(self.protocol)
            raise SchemeError(errno.EINVAL, f"the datagram's protocol is {theirs}, this file's is {ours}")
        return bytearray(data)
