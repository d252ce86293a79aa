"""Raw datagrams: `ip/<proto>` reads and writes whole datagrams of both families, as Linux's with IP_HDRINCL.

A read gives a finished datagram, as on a wire: partial checksums are completed and super-segments split. In a written
datagram, lengths and header checksum are filled in always, identification and source where they are zero (raw(7)). The
protocol of an IPv6 datagram is that after its extension headers where it is read, and the first where it is written. A
family can be left out, and a checksum of the payload filled in, as Linux does for raw sockets of IPv6 (RFC 3542 §3.1).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.conversation import DatagramEngine
from schemefs.errors import SchemeError
from schemefs.net.addresses import presentation
from schemefs.net.checksum import checksum, pseudo_header_sum
from schemefs.net.offload import Offload, split
from schemefs.net.zones import without_zone
from schemes.ip import wire
from schemes.ip.protocols import protocol_name
from schemes.ip.v6 import wire as wire6

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.conversation import Setting
    from schemes.ip.network import Network
    from schemes.ip.path import Ipv4Path
    from schemes.ip.v6.ipv6_path import Ipv6Path

QUEUE_OCTETS: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Filter:
    """Which datagrams are read: their source and destination, packed (empty: any), and their IP version (0: any)."""

    source: bytes = b""
    destination: bytes = b""
    version: int = 0


class RawConversation(DatagramEngine[bytes]):
    """The engine of one `ip/<proto>` conversation; satisfies `ipv4.RawReceiver`."""

    __slots__ = ("_checksum_at", "_paths", "network", "protocol", "wanted")

    def __init__(self, network: Network, protocol: int, wanted: Filter, checksum_at: int = -1) -> None:
        """Start to receive. *checksum_at*: octets from the payload of written IPv6 datagrams; -1: they have theirs."""
        super().__init__(QUEUE_OCTETS, network.turns)
        self.network = network
        self.protocol = protocol
        self.wanted = wanted
        self._checksum_at = checksum_at
        self._paths: dict[bytes, Ipv4Path | Ipv6Path] = {}
        network.ipv4.raw.setdefault(protocol, []).append(self)

    def receive(self, datagram: memoryview, offload: Offload, now: float) -> bool:
        """Queue a copy, finished; over QUEUE_OCTETS it is counted and dropped. False: the filter refuses it."""
        wanted = self.wanted.source, self.wanted.destination
        version = datagram[0] >> 4
        if self.wanted.version not in (0, version):
            return False
        if version == 6:
            source, destination = without_zone(bytes(datagram[8:24])), without_zone(bytes(datagram[24:40]))
            wanted = without_zone(wanted[0]), without_zone(wanted[1])
            if datagram[8:40] != source + destination:  # on lo the addresses have their zones
                datagram = memoryview(bytes(datagram[:8]) + source + destination + datagram[40:])
        else:
            source, destination = bytes(datagram[12:16]), bytes(datagram[16:20])
        if wanted[0] not in (b"", source) or wanted[1] not in (b"", destination):
            return False
        for whole in split((datagram,), offload, 0):
            if reason := self.enqueue(bytes(whole), len(whole), now):
                self.network.counters.drop(f"raw_{reason}", whole)
                return True
        self.network.counters.used_raw += 1
        return True

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram with its header. EINVAL: malformed, or of another protocol; EMSGSIZE."""
        self.check_writable()
        datagram = self._checked(data)
        if datagram[0] >> 4 == 6:
            self._send6(datagram, now)
            return len(data)
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
        # A full link loses it, like a raw socket whose ENOBUFS is ignored: no transport waits for room.
        if path.send_whole(datagram, self.protocol, now):
            self.sent += 1
        else:
            self.network.counters.drop("full_link", datagram)
        return len(data)

    def _send6(self, datagram: bytearray, now: float) -> None:
        """Send a datagram with an IPv6 header; the payload length is filled in, and the source where it is `::`."""
        path = self._path_to(bytes(datagram[24:40]))
        if not any(datagram[8:24]):
            datagram[8:24] = without_zone(path.source)
        datagram[4:6] = (len(datagram) - wire6.HEADER_LENGTH).to_bytes(2, "big")
        if self._checksum_at >= 0:
            self._fill_checksum(datagram)
        if path.send_whole(datagram, self.protocol, now):
            self.sent += 1
        else:
            self.network.counters.drop("full_link", datagram)

    def _fill_checksum(self, datagram: bytearray) -> None:
        """Fill in the checksum of the payload and the pseudo-header. EINVAL: the payload ends before it."""
        payload = memoryview(datagram)[wire6.HEADER_LENGTH :]
        at = self._checksum_at
        if len(payload) < at + 2:
            sentence = f"a payload of {len(payload)} octets has no checksum at {at}, where 'checksum' wants it"
            raise SchemeError(errno.EINVAL, sentence)
        payload[at : at + 2] = b"\0\0"
        source, destination = bytes(datagram[8:24]), bytes(datagram[24:40])
        total = checksum(payload, pseudo_header_sum(source, destination, self.protocol, len(payload)))
        payload[at : at + 2] = total.to_bytes(2, "big")

    def has_sent_to(self, destination: bytes) -> bool:
        """Return whether one of the last datagrams had this destination."""
        return destination in self._paths

    def leave(self, now: float) -> None:
        """Stop to receive."""
        del now
        receivers = self.network.ipv4.raw[self.protocol]
        receivers.remove(self)
        if not receivers:
            del self.network.ipv4.raw[self.protocol]

    @property
    def local(self) -> str:
        """The destination of the datagrams that are read; `*`: any."""
        return presentation(self.wanted.destination)

    @property
    def remote(self) -> str:
        """The source of the datagrams that are read; empty: any."""
        return presentation(self.wanted.source) if self.wanted.source else ""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The settings of a datagram conversation without the hop limit, which the written header has."""
        return {name: setting for name, setting in super().settings.items() if name != "hop_limit"}

    def status(self, now: float) -> Mapping[str, str | int | float]:
        """Return state, protocol, addresses and counters."""
        del now
        state = "CLOSED" if self.ended else "BOUND"
        shown = {"state": state, "protocol": protocol_name(self.protocol), "local": self.local, "remote": self.remote}
        return {**shown, **self.counters()}

    def _path_to(self, destination: bytes) -> Ipv4Path | Ipv6Path:
        """Return the path to *destination*, cached for the next datagram."""
        path = self._paths.get(destination)
        if path is None or not self.network.is_local(path.source):
            if len(self._paths) >= 256:
                self._paths.clear()
            path = self._paths[destination] = self.network.path(destination)
        return path

    def _checked(self, data: memoryview) -> bytearray:
        if len(data) < wire.HEADER_LENGTH or len(data) > wire.LARGEST_DATAGRAM:
            number = errno.EINVAL if len(data) < wire.HEADER_LENGTH else errno.EMSGSIZE
            raise SchemeError(number, f"{len(data)} octets are not an IP datagram: 20 to 65535")
        version = data[0] >> 4
        if self.wanted.version not in (0, version):
            sentence = f"the version of the datagram is {version}, that of this file {self.wanted.version}"
            raise SchemeError(errno.EINVAL, sentence)
        if version == 6 and len(data) >= wire6.HEADER_LENGTH:
            self._check_protocol(data[wire6.NEXT_HEADER_AT])
            return bytearray(data)
        length = (data[0] & 15) * 4
        if version != 4 or length < wire.HEADER_LENGTH or length > len(data):
            raise SchemeError(errno.EINVAL, "the datagram does not begin with a header of IPv4 or IPv6")
        self._check_protocol(data[9])
        return bytearray(data)

    def _check_protocol(self, number: int) -> None:
        if number != self.protocol:
            theirs, ours = protocol_name(number), protocol_name(self.protocol)
            raise SchemeError(errno.EINVAL, f"the protocol of the datagram is {theirs}, that of this file {ours}")
