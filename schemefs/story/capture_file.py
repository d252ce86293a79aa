"""The packets of a capture in a file: pcapng or pcap, of either byte order, as Wireshark, tcpdump and the mount write.

    for packet in CaptureFile(file): …

A file that ends in the middle of a packet is common: its writer was killed. What precedes is read, and `cut` says
where it ends. Whatever else is wrong is a `StoryError` with the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from schemefs.deferred_module import DeferredModule
from schemefs.story.model import StoryError

if TYPE_CHECKING:
    import dpkt
else:
    dpkt = DeferredModule(globals(), "dpkt", "dpkt", "dpkt.pcap", "dpkt.pcapng")

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
PACKET: Final = 6
SIMPLE_PACKET: Final = 3
MOST: Final = 64 << 20  # octets of a block: more is a fault in the file

_COMMENT: Final = 1
_EPB_FLAGS: Final = 2
_IF_TSRESOL: Final = 9
_IF_TSOFFSET: Final = 14
_INBOUND, _OUTBOUND = 1, 2  # of the flags
_PCAP_MAGIC: Final = {  # to the byte order, and the units in a second
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}


@dataclass(frozen=True, slots=True)
class CapturedPacket:
    """One packet. *length* is that on the wire; *octets* are fewer if the capture has a snap length."""

    number: int  # from 1, as Wireshark counts
    time: float  # seconds since the epoch
    link_type: int
    octets: bytes
    length: int
    outgoing: bool | None  # None: the file does not say
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    units: float  # in a second
    offset: int  # seconds


class CaptureFile:
    """The packets of *file*, to be iterated once. StoryError: it is no capture, or is damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self.cut = ""  # a sentence: where the file ends too early; empty: it does not
        self._file = file
        self._place = 0  # octets read
        self._packets = 0
        self._interfaces: list[_Interface] = []
        self._little = True

    def __iter__(self) -> Iterator[CapturedPacket]:
        """Yield the packets in the order of the file."""
        magic = self._read(4)
        if magic in _PCAP_MAGIC:
            return self._pcap(*_PCAP_MAGIC[magic])
        if magic == SECTION.to_bytes(4, "big"):
            return self._pcapng(magic)
        message = "it is neither pcapng nor pcap: its first octets are " + (magic.hex(" ") or "missing")
        raise StoryError(message)

    def _read(self, count: int) -> bytes:
        octets = self._file.read(count)
        self._place += len(octets)
        return octets

    def _cut(self, what: str, place: int) -> None:
        self.cut = f"it ends in the middle of {what} at octet {place}; what precedes is read"

    def _pcap(self, order: str, units: int) -> Iterator[CapturedPacket]:
        head = self._read(20)
        if len(head) < 20:
            self._cut("its header", 0)
            return
        link_type = Struct(f"{order}16xI").unpack(head)[0] & 0xFFFF
        record = Struct(f"{order}IIII")
        while head := self._read(record.size):
            self._packets += 1
            place = self._place - len(head)
            octets, kept, length, seconds = b"", 0, 0, 0.0
            if len(head) == record.size:
                whole, part, kept, length = record.unpack(head)
                seconds = whole + part / units
                self._check_size(kept, place)
                octets = self._read(kept)
            if len(head) < record.size or len(octets) < kept:
                self._cut(f"packet {self._packets}", place)
                return
            yield CapturedPacket(self._packets, seconds, link_type, octets, length, None)

    def _check_size(self, size: int, place: int) -> None:
        if size > MOST:
            message = f"the length of what is at octet {place} is {size}; at most {MOST} is valid"
            raise StoryError(message)

    def _pcapng(self, begun: bytes) -> Iterator[CapturedPacket]:
        while begun:
            place = self._place - len(begun)
            head = begun + self._read(12 - len(begun))
            if len(head) == 12 and int.from_bytes(head[:4], "big") == SECTION:
                self._begin_section(head[8:], place)
            kind, size = Struct("<II" if self._little else ">II").unpack_from(head.ljust(12, b"\0"))
            self._check_size(size, place)
            block = head + self._read(size - 12) if size > 12 else head
            if len(head) < 12 or len(block) < size:
                self._cut(f"packet {self._packets + 1}" if kind in (PACKET, SIMPLE_PACKET, 0) else "a block", place)
                return
            yield from self._block(kind, block, place)
            begun = self._read(4)

    def _begin_section(self, byte_order: bytes, place: int) -> None:
        if byte_order not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
            message = f"the section at octet {place} has no byte order: {byte_order.hex(' ')}"
            raise StoryError(message)
        self._little = byte_order[0] == 0x4D
        self._interfaces = []

    def _block(self, kind: int, block: bytes, place: int) -> Iterator[CapturedPacket]:
        """Yield the packet of the block, if it has one."""
        try:
            if kind == INTERFACE:
                self._interfaces.append(self._interface(block))
            elif kind == PACKET:
                self._packets += 1
                yield self._packet(block)
            elif kind == SIMPLE_PACKET:
                message = f"packet {self._packets + 1} at octet {place} has no time (a simple packet block)"
                raise StoryError(message)
        except (dpkt.UnpackError, IndexError, ValueError) as error:
            message = f"the block of type {kind} at octet {place} is malformed: {error or 'it is too short'}"
            raise StoryError(message) from None

    def _interface(self, block: bytes) -> _Interface:
        names = ("InterfaceDescriptionBlock", "InterfaceDescriptionBlockLE")
        described = getattr(dpkt.pcapng, names[self._little])(block)
        options = {option.code: option.data for option in described.opts}
        resolution = options.get(_IF_TSRESOL, b"\x06")[0]
        units = float((2 if resolution & 0x80 else 10) ** (resolution & 0x7F))
        offset = int.from_bytes(options.get(_IF_TSOFFSET, b""), "little" if self._little else "big", signed=True)
        return _Interface(described.linktype, units, offset)

    def _packet(self, block: bytes) -> CapturedPacket:
        found: Any = getattr(dpkt.pcapng, ("EnhancedPacketBlock", "EnhancedPacketBlockLE")[self._little])(block)
        if found.iface_id >= len(self._interfaces):
            message = f"packet {self._packets} is of interface {found.iface_id}, which is not described before"
            raise ValueError(message)
        interface = self._interfaces[found.iface_id]
        direction = None
        comments = []
        for option in found.opts:
            if option.code == _COMMENT:
                text = option.data if isinstance(option.data, str) else bytes(option.data).decode(errors="replace")
                comments.append(text)
            elif option.code == _EPB_FLAGS:
                flags = int.from_bytes(option.data, "little" if self._little else "big") & 3
                direction = {_INBOUND: False, _OUTBOUND: True}.get(flags)
        seconds = (found.ts_high << 32 | found.ts_low) / interface.units + interface.offset
        return CapturedPacket(
            self._packets, seconds, interface.link_type, found.pkt_data, found.pkt_len, direction, tuple(comments)
        )
