"""Raw datagrams: `ip/<proto>` reads and writes whole IPv4 datagrams, as a Linux raw socket with IP_HDRINCL.

What is read is finished, as it would be on a wire: partial checksums completed, super-segments split. What is written
has total length and header checksum filled in always, identification and source where they are zero (raw(7)).
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from schemefs.net.offload import Offload, split
from schemefs.scheme import Event, Handle
from schemes.ip import wire
from schemes.ip.protocols import protocol_name

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer
    from schemefs.scheme import Caller
    from schemes.ip.network import Network
    from schemes.ip.path import Path

QUEUE_OCTETS: Final = 4 << 20
QUEUE_OVERHEAD: Final = 512  # what a queued datagram costs beside its octets


@dataclass(frozen=True, slots=True)
class Filter:
    """Which datagrams are read: those from and to these addresses, where they are given."""

    source: bytes = b""
    destination: bytes = b""


def parse_filter(options: dict[str, str]) -> Filter:
    """Return the filter that `from=ADDRESS` and `to=ADDRESS` say. EINVAL."""
    unknown = set(options) - {"from", "to"}
    if unknown:
        raise SchemeError(errno.EINVAL, f"no option {min(unknown)!r}; there is: from=ADDRESS, to=ADDRESS")
    addresses = {}
    for name, text in options.items():
        address = packed(text)
        if address is None:
            raise SchemeError(errno.EINVAL, f"{name}={text}: {text!r} is no numeric address")
        addresses[name] = address
    return Filter(addresses.get("from", b""), addresses.get("to", b""))


class RawConversation:
    """What one `ip/<proto>` file stands for; every open of the same inode shares it."""

    def __init__(self, network: Network, protocol: int, wanted: Filter) -> None:
        self.network = network
        self.protocol = protocol
        self.wanted = wanted
        self.handles: list[RawHandle] = []
        self.queue: deque[bytes] = deque()
        self.paths: dict[bytes, Path] = {}
        self._held = 0

    def hold(self) -> RawHandle:
        """Return one more handle; the first begins to listen."""
        if not self.handles:
            self.network.ipv4.raw.setdefault(self.protocol, []).append(self.receive)
        handle = RawHandle(self)
        self.handles.append(handle)
        return handle

    def release(self, handle: RawHandle) -> None:
        """A handle is closed; the last ends it."""
        self.handles.remove(handle)
        if not self.handles:
            receivers = self.network.ipv4.raw[self.protocol]
            receivers.remove(self.receive)
            if not receivers:
                del self.network.ipv4.raw[self.protocol]
            self.queue.clear()

    def receive(self, datagram: memoryview, offload: Offload, now: float) -> None:
        """Queue copies of what arrived, finished; over the bound it is counted and dropped."""
        del now
        source, destination = bytes(datagram[12:16]), bytes(datagram[16:20])
        if self.wanted.source not in (b"", source) or self.wanted.destination not in (b"", destination):
            return
        for whole in split((datagram,), offload, 0):
            cost = len(whole) + QUEUE_OVERHEAD
            if self._held + cost > QUEUE_OCTETS:
                self.network.counters.drop("raw_queue_full", whole)
                return
            self._held += cost
            self.queue.append(bytes(whole))
        for handle in self.handles:
            handle.changed()

    def take(self) -> bytes | None:
        """Return the oldest datagram."""
        if not self.queue:
            return None
        datagram = self.queue.popleft()
        self._held -= len(datagram) + QUEUE_OVERHEAD
        return datagram

    def path_to(self, destination: bytes) -> Path:
        """Return the way to *destination*, kept for the next datagram."""
        path = self.paths.get(destination)
        if path is None:
            if len(self.paths) >= 256:
                self.paths.clear()
            path = self.paths[destination] = self.network.path(destination)
        return path


class RawHandle(Handle):
    """One open `ip/<proto>`."""

    def __init__(self, conversation: RawConversation) -> None:
        self._conversation = conversation
        self.name = f"ip/{protocol_name(conversation.protocol)}"

    def read(self, size: int, now: float) -> Buffer | None:
        """Return one datagram; what of it did not fit is lost."""
        del now
        datagram = self._conversation.take()
        return None if datagram is None else datagram[:size]

    def write(self, data: memoryview, now: float) -> int | None:
        """Send one datagram with its header. EINVAL: not one; EACCES: of another protocol."""
        datagram = self._checked(data)
        path = self._conversation.path_to(bytes(datagram[16:20]))
        if not any(datagram[12:16]):
            datagram[12:16] = path.source
        header_length = (datagram[0] & 15) * 4
        datagram[2:4] = len(datagram).to_bytes(2, "big")
        if not any(datagram[4:6]):
            identifications = self._conversation.network.identifications
            slot = identifications.slot(bytes(datagram[12:16]), bytes(datagram[16:20]), datagram[9])
            datagram[4:6] = identifications.next(slot).to_bytes(2, "big")
        datagram[:header_length] = wire.with_checksum(datagram[:header_length])
        # A full link loses it, as a raw socket does with ENOBUFS ignored: there is no transport to wait for room.
        if not path.send_whole(datagram, self._conversation.protocol, now):
            self._conversation.network.counters.drop("full_link", datagram)
        return len(data)

    def fevent(self, interest: int) -> int:
        """Readable when a datagram waits, always writable."""
        return (Event.OUT | (Event.IN if self._conversation.queue else 0)) & interest

    def reopen(self, flags: int, caller: Caller, now: float) -> Handle:
        """Share the conversation."""
        del flags, caller, now
        if not self._conversation.handles:
            raise SchemeError(errno.ENOTCONN, "this conversation has ended")
        return self._conversation.hold()

    def close(self, now: float) -> None:
        """Release the conversation."""
        del now
        self._conversation.release(self)

    def _checked(self, data: memoryview) -> bytearray:
        if len(data) < wire.HEADER_LENGTH or len(data) > wire.LARGEST_DATAGRAM:
            number = errno.EINVAL if len(data) < wire.HEADER_LENGTH else errno.EMSGSIZE
            raise SchemeError(number, f"{len(data)} octets are no IPv4 datagram (20 to 65535)")
        length = (data[0] & 15) * 4
        if data[0] >> 4 != 4 or length < wire.HEADER_LENGTH or length > len(data):
            raise SchemeError(errno.EINVAL, "this does not begin with an IPv4 header")
        if data[9] != self._conversation.protocol:
            theirs, ours = protocol_name(data[9]), protocol_name(self._conversation.protocol)
            raise SchemeError(errno.EINVAL, f"the datagram's protocol is {theirs}, this file's is {ours}")
        return bytearray(data)
