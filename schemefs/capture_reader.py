"""Reads a capture as it arrives: pcapng (draft-ietf-opsawg-pcapng), as the mount writes it, or pcap.

    for packet in CaptureReader(file):
        packet.octets, packet.comments

`dpkt` takes the blocks apart. Its own reader of pcapng has neither comments nor more than one interface.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple

from dpkt import UnpackError, pcap, pcapng

from schemefs.no_callback import no_callback

ETHERNET: Final = 1  # LINKTYPE_ETHERNET
RAW_IP: Final = 101  # LINKTYPE_RAW

SECTION: Final = 0x0A0D0D0A  # the same in both byte orders
INTERFACE: Final = 1
PACKET: Final = 6
PCAP_PACKET: Final = -1
_SIMPLE_PACKET: Final = 3
STATISTICS: Final = 5
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_IF_TSOFFSET: Final = 14
_EPB_FLAGS: Final = 2
_ISB_IFDROP: Final = 5
_OUTBOUND: Final = 2  # of the two lowest bits of the flags
_BILLION: Final = 1_000_000_000
_LONGEST: Final = 16 << 20  # octets of a block
_SECTION: Final = SECTION.to_bytes(4, "little")
_ORDERS: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_PCAP: Final = {  # its first octets: the byte order, and the units of time in a second
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}


class CaptureError(Exception):
    """The file is no capture, or is cut: a sentence with the place."""


class CapturedInterface(NamedTuple):
    """One interface of a capture."""

    name: str  # empty: not known
    link_type: int
    snap: int = 0  # octets of a frame that are kept at most; 0: all
    per_second: int = 1_000_000  # units of time
    offset: int = 0  # seconds to add to each time


class CapturedPacket(NamedTuple):
    """A frame, as far as it was kept."""

    nanoseconds: int  # since 1970
    interface: CapturedInterface
    octets: bytes
    length: int  # on the wire
    is_outgoing: bool = False
    comments: tuple[str, ...] = ()

    @property
    def time(self) -> float:
        """Seconds since 1970; a float of today has units of 0.24 µs."""
        return self.nanoseconds / 1e9


class Block(NamedTuple):
    """One block of pcapng, or one packet of pcap with its header; whole."""

    kind: int
    octets: bytes
    position: int  # in the file
    order: str  # of its octets: "<" or ">"

    @property
    def is_packet(self) -> bool:
        """Whether `CaptureReader.packet` takes it."""
        return self.kind in (PACKET, PCAP_PACKET)


class CaptureReader:
    """An iterable of the packets of *file*. What is not of one packet is in the attributes as soon as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        self.interfaces: list[CapturedInterface] = []
        self.on_interface: Callable[[CapturedInterface], object] = no_callback
        self.dropped = 0  # packets that the capture had no room for

    def __iter__(self) -> Iterator[CapturedPacket]:
        """Yield each packet. CaptureError: the rest can't be read."""
        return (self.packet(block) for block in self.blocks() if block.is_packet)

    def blocks(self) -> Iterator[Block]:
        """Yield each block as soon as it is there. CaptureError: the rest can't be read."""
        first = self._read(4, "its first octets")
        if first in _PCAP:
            yield from self._pcap_blocks(*_PCAP[first], first)
        elif first == _SECTION:
            yield from self._pcapng_blocks(first)
        else:
            raise CaptureError(f"it is no capture: it begins with {first.hex()}, not as pcapng or pcap")

    def packet(self, block: Block) -> CapturedPacket:
        """Return the packet of a block that `is_packet`. CaptureError: it can't be read."""
        with _place_of(block):
            return self._pcap_packet(block) if block.kind == PCAP_PACKET else self._packet(block)

    def frame(self, block: Block) -> tuple[bytes, int]:
        """Return the octets of a packet, and the type of its link, in a tenth of the time of `packet`."""
        with _place_of(block):
            if block.kind == PCAP_PACKET:
                return block.octets[16:], self.interfaces[0].link_type
            number, length = struct.unpack_from(f"{block.order}I8xI", block.octets, 8)
            return block.octets[28 : 28 + length], self.interfaces[number].link_type

    def _pcapng_blocks(self, first: bytes) -> Iterator[Block]:
        order = "<"
        while first:
            start = self._position - 4
            head = first + self._read(4, f"the block at octet {start}")
            if first == _SECTION:
                head += self._read(4, f"the block at octet {start}")
                if head[8:] not in _ORDERS:
                    raise CaptureError(f"the section at octet {start} has no byte order: {head[8:].hex()}")
                order = _ORDERS[head[8:]]
            kind, length = struct.unpack_from(f"{order}II", head)
            if length % 4 or not 12 <= length <= _LONGEST:
                raise CaptureError(f"the block at octet {start} says that it has {length} octets")
            octets = head + self._read(length - len(head), f"the block at octet {start}")
            block = Block(kind, octets, start, order)
            with _place_of(block):
                self._take_in(block)
            yield block
            first = self._read(4, "a block", may_end=True)

    def _take_in(self, block: Block) -> None:
        if block.kind == SECTION:
            self.interfaces.clear()
        elif block.kind == INTERFACE:
            self._add(_interface(block))
        elif block.kind == STATISTICS:
            dropped = _option(_StatisticsBlock.of(block), _ISB_IFDROP)
            self.dropped = struct.unpack(f"{block.order}Q", dropped)[0] if dropped else self.dropped
        elif block.kind == _SIMPLE_PACKET:
            raise CaptureError(f"the packet at octet {block.position} has no time: it is a simple packet block")

    def _add(self, interface: CapturedInterface) -> None:
        self.interfaces.append(interface)
        self.on_interface(interface)

    def _packet(self, block: Block) -> CapturedPacket:
        kind = pcapng.EnhancedPacketBlockLE if block.order == "<" else pcapng.EnhancedPacketBlock
        found = kind(block.octets)
        if found.iface_id >= len(self.interfaces):
            raise CaptureError(f"the packet at octet {block.position} is of interface {found.iface_id}, which is none")
        interface = self.interfaces[found.iface_id]
        ticks = interface.offset * interface.per_second + (found.ts_high << 32 | found.ts_low)
        flags = _option(found, _EPB_FLAGS)
        is_outgoing = bool(flags) and struct.unpack(f"{block.order}I", flags)[0] & 3 == _OUTBOUND
        comments = tuple(one.text for one in found.opts if one.code == pcapng.PCAPNG_OPT_COMMENT)
        nanoseconds = ticks * _BILLION // interface.per_second
        return CapturedPacket(nanoseconds, interface, found.pkt_data, found.pkt_len, is_outgoing, comments)

    def _pcap_blocks(self, order: str, per_second: int, magic: bytes) -> Iterator[Block]:
        header = (pcap.LEFileHdr if order == "<" else pcap.FileHdr)(magic + self._read(20, "the header"))
        self._add(CapturedInterface("", header.linktype & 0xFFFF, header.snaplen, per_second))
        while head := self._read(16, "a packet", may_end=True):
            start = self._position - 16
            length = struct.unpack_from(f"{order}I", head, 8)[0]
            if length > _LONGEST:
                raise CaptureError(f"the packet at octet {start} says that it has {length} octets")
            yield Block(PCAP_PACKET, head + self._read(length, f"the packet at octet {start}"), start, order)

    def _pcap_packet(self, block: Block) -> CapturedPacket:
        found = (pcap.LEPktHdr if block.order == "<" else pcap.PktHdr)(block.octets[:16])
        (interface,) = self.interfaces
        nanoseconds = found.tv_sec * _BILLION + found.tv_usec * (_BILLION // interface.per_second)
        return CapturedPacket(nanoseconds, interface, block.octets[16:], found.len)

    def _read(self, size: int, what: str, *, may_end: bool = False) -> bytes:
        """Return *size* octets, or with *may_end* none. CaptureError: the file ends inside *what*."""
        octets = self._file.read(size)
        self._position += len(octets)
        if len(octets) < size and (octets or not may_end):
            raise CaptureError(f"the capture ends inside {what}, after {self._position} octets")
        return octets


@contextmanager
def _place_of(block: Block) -> Iterator[None]:
    """Raise CaptureError for what is malformed in *block*."""
    try:
        yield
    except (UnpackError, struct.error, UnicodeDecodeError, IndexError) as error:
        raise CaptureError(f"the block at octet {block.position} can't be read: {error}") from None


class _StatisticsBlock(pcapng.PcapngBlockLE):  # type: ignore[misc] # dpkt has no types
    """What the capture itself has lost; dpkt lacks it."""

    __hdr__ = (
        ("type", "I", STATISTICS),
        ("len", "I", 24),
        ("iface_id", "I", 0),
        ("ts_high", "I", 0),
        ("ts_low", "I", 0),
        ("_len", "I", 24),
    )

    @classmethod
    def of(cls, block: Block) -> _StatisticsBlock:
        """Return the block, in its byte order."""
        return cls(block.octets) if block.order == "<" else _BigStatisticsBlock(block.octets)


class _BigStatisticsBlock(_StatisticsBlock):
    __byte_order__ = ">"


def _interface(block: Block) -> CapturedInterface:
    kind = pcapng.InterfaceDescriptionBlockLE if block.order == "<" else pcapng.InterfaceDescriptionBlock
    found = kind(block.octets)
    resolution = _option(found, _IF_TSRESOL)
    per_second = (2 if resolution[0] & 0x80 else 10) ** (resolution[0] & 0x7F) if resolution else 1_000_000
    offset = _option(found, _IF_TSOFFSET)
    seconds = struct.unpack(f"{block.order}q", offset)[0] if offset else 0
    name = _option(found, _IF_NAME).rstrip(b"\0").decode(errors="replace")
    return CapturedInterface(name, found.linktype, found.snaplen, per_second, seconds)


def _option(block: pcapng._PcapngBlock, code: int) -> bytes:
    """Return the value of an option; empty: the block has none."""
    return next((bytes(one.data) for one in block.opts if one.code == code), b"")
