"""Offload: the work that is left to do on a frame, in the terms of `virtio_net_hdr` (VIRTIO 1.2 §5.1.6).

A segment of up to 64 KiB with a `gso_size` (a super-segment) is a core type of this stack: TCP sends and receives them
whole. A link whose device cannot do the work completes them here: `complete` fills in a partial checksum, `split` cuts
a super-segment to gso_size. Files that show raw octets do the same.

        |<----- header_length ----->|
        +----------+------+---------+---------------------------------- ... -+
        | Ethernet |  IP  | TCP/UDP |  payload, cut every gso_size octets     |
        +----------+------+---------+---------------------------------- ... -+
                          ^ checksum_start   (+ checksum_offset: the field)
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from schemefs.net.buffer import Buffer, Chunks
from schemefs.net.checksum import ones_complement_sum

NEEDS_CHECKSUM = 1  # the checksum field holds only the sum of the pseudo-header
DATA_VALID = 2  # the device has checked the checksum

GSO_NONE = 0
GSO_TCPV4 = 1
GSO_TCPV6 = 4
GSO_UDP_L4 = 5
GSO_ECN = 0x80  # a bit added to the type: the first segment carries CWR; masked where the type is compared

UDP_CHECKSUM_OFFSET = 6  # octets into the UDP header; TCP's is 16

_U16 = Struct(">H")
_U32 = Struct(">I")
_LENGTH_AND_ID = Struct(">HH")  # of an IPv4 header
_TCP_FIN_PSH = 0x09
_TCP_CWR = 0x80


class Offload(NamedTuple):
    """Offsets are octets from the start of the frame (of the datagram, on a link without Ethernet headers)."""

    flags: int = 0
    gso_type: int = GSO_NONE
    header_length: int = 0
    gso_size: int = 0
    checksum_start: int = 0
    checksum_offset: int = 0

    @property
    def trusted(self) -> bool:
        """Whether the transport checksum needs no check: the device has done it, or the frame never left this host."""
        return self.flags != 0

    def moved(self, octets: int) -> Offload:
        """Return the same work for a frame with *octets* more (negative: fewer) in front."""
        return self._replace(header_length=self.header_length + octets, checksum_start=self.checksum_start + octets)


NO_OFFLOAD = Offload()
CHECKED = Offload(DATA_VALID)


def complete(frame: bytearray, offload: Offload) -> None:
    """Complete the checksum of *frame* in place, if the offload says that it is partial."""
    if not offload.flags & NEEDS_CHECKSUM:
        return
    start = offload.checksum_start
    value = ~ones_complement_sum(memoryview(frame)[start:]) & 0xFFFF
    if not value and offload.checksum_offset == UDP_CHECKSUM_OFFSET:
        value = 0xFFFF  # zero means "no checksum" in UDP (RFC 768), but not in TCP
    _U16.pack_into(frame, start + offload.checksum_offset, value)


def split(chunks: Chunks, offload: Offload, network_offset: int) -> Iterator[bytearray]:
    """Yield the finished frames of *chunks*: checksums completed, a super-segment cut to gso_size.

    *network_offset* is the offset of the IP header. Identification, lengths, sequence numbers and flags advance as in
    the segmentation of a NIC: FIN and PSH stay on the last frame, CWR on the first.
    """
    frame = bytearray().join(chunks)
    size = offload.gso_size
    if offload.gso_type == GSO_NONE or not size or len(frame) - offload.header_length <= size:
        complete(frame, offload)
        yield frame
        return
    payload = memoryview(frame)[offload.header_length :]
    # The partial sum includes the length of the whole; each piece has its own length.
    header = _Header(frame[: offload.header_length], offload, network_offset, len(frame) - offload.checksum_start)
    length = len(payload)
    for number, start in enumerate(range(0, length, size)):
        yield header.before(payload[start : start + size], number, start, last=start + size >= length)


class _Header:
    """The header of a super-segment. What is the same in that of each piece is summed once (RFC 1624)."""

    __slots__ = ("_at", "_cwr", "_field", "_fin_psh", "_identification", "_is_complete", "_is_udp", "_is_v6",
                 "_network", "_network_sum", "_octets", "_pseudo_sum", "_sequence", "_sum")  # fmt: skip

    def __init__(self, octets: bytearray, offload: Offload, network_offset: int, covered: int) -> None:
        self._octets = octets
        self._network = network_offset
        self._is_v6 = octets[network_offset] >> 4 == 6
        self._identification = 0
        self._network_sum = 0
        if not self._is_v6:
            self._identification = _U16.unpack_from(octets, network_offset + 4)[0]
            _U32.pack_into(octets, network_offset + 2, 0)  # length and identification
            _U16.pack_into(octets, network_offset + 10, 0)
            end = network_offset + (octets[network_offset] & 15) * 4
            self._network_sum = ones_complement_sum(memoryview(octets)[network_offset:end])
        at = self._at = offload.checksum_start
        self._field = at + offload.checksum_offset
        self._is_complete = bool(offload.flags & NEEDS_CHECKSUM)
        self._is_udp = offload.gso_type & ~GSO_ECN == GSO_UDP_L4
        self._pseudo_sum = _U16.unpack_from(octets, self._field)[0] + (~covered & 0xFFFF)
        self._sequence = self._fin_psh = self._cwr = 0
        if self._is_udp:
            _U16.pack_into(octets, at + 4, 0)
        else:
            self._sequence = _U32.unpack_from(octets, at + 4)[0]
            _U32.pack_into(octets, at + 4, 0)
            self._fin_psh, self._cwr = octets[at + 13] & _TCP_FIN_PSH, octets[at + 13] & _TCP_CWR
            octets[at + 13] &= ~(_TCP_FIN_PSH | _TCP_CWR) & 0xFF
        _U16.pack_into(octets, self._field, 0)
        self._sum = self._pseudo_sum + ones_complement_sum(memoryview(octets)[at:])

    def before(self, payload: memoryview, number: int, start: int, *, last: bool) -> bytearray:
        """Return the frame of piece *number*, which begins *start* octets into the payload of the whole."""
        octets, at = self._octets, self._at
        length = len(octets) + len(payload)
        self._fix_network_header(length - self._network, number)
        length -= at
        if self._is_udp:
            _U16.pack_into(octets, at + 4, length)
            varying = length
        else:
            sequence = self._sequence + start & 0xFFFFFFFF
            flags = octets[at + 13] & ~(_TCP_FIN_PSH | _TCP_CWR)
            changing = (self._fin_psh if last else 0) | (0 if start else self._cwr)
            _U32.pack_into(octets, at + 4, sequence)
            octets[at + 13] = flags | changing
            varying = (sequence >> 16) + (sequence & 0xFFFF) + changing
        if not self._is_complete:
            value = (self._pseudo_sum + length) % 0xFFFF or 0xFFFF
        else:
            value = -(self._sum + length + varying + ones_complement_sum(payload)) % 0xFFFF
            if not value and self._is_udp:
                value = 0xFFFF  # see `complete`
        _U16.pack_into(octets, self._field, value)
        return octets + payload

    def _fix_network_header(self, length: int, number: int) -> None:
        octets, at = self._octets, self._network
        if self._is_v6:
            _U16.pack_into(octets, at + 4, length - 40)
            return
        identification = self._identification + number & 0xFFFF
        _LENGTH_AND_ID.pack_into(octets, at + 2, length, identification)
        _U16.pack_into(octets, at + 10, -(self._network_sum + length + identification) % 0xFFFF)


def pieces(payload_length: int, offload: Offload) -> int:
    """Return how many frames `split` yields for a payload of *payload_length* octets."""
    if offload.gso_type == GSO_NONE or not offload.gso_size:
        return 1
    return max(1, -(-payload_length // offload.gso_size))


__all__ = [
    "CHECKED",
    "DATA_VALID",
    "GSO_ECN",
    "GSO_NONE",
    "GSO_TCPV4",
    "GSO_TCPV6",
    "GSO_UDP_L4",
    "NEEDS_CHECKSUM",
    "NO_OFFLOAD",
    "Buffer",
    "Offload",
    "complete",
    "pieces",
    "split",
]
