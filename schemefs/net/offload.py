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
from schemefs.net.checksum import checksum, ones_complement_sum

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
    header, view = bytes(frame[: offload.header_length]), memoryview(frame)
    payload_length = len(frame) - offload.header_length
    # The partial sum includes the length of the whole; each piece has its own length.
    covered = len(frame) - offload.checksum_start
    for number, start in enumerate(range(0, payload_length, size)):
        piece = view[offload.header_length + start :][:size]
        out = bytearray(header) + piece
        _fix_network_header(out, network_offset, number)
        _fix_transport_header(out, offload, start, last=start + size >= payload_length, covered=covered)
        complete(out, offload)
        yield out


def _fix_network_header(frame: bytearray, offset: int, number: int) -> None:
    """Set length, identification and checksum of the IP header at *offset* for piece *number*."""
    if frame[offset] >> 4 == 6:
        _U16.pack_into(frame, offset + 4, len(frame) - offset - 40)
        return
    length = (frame[offset] & 15) * 4
    identification = _U16.unpack_from(frame, offset + 4)[0]
    _U16.pack_into(frame, offset + 2, len(frame) - offset)
    _U16.pack_into(frame, offset + 4, identification + number & 0xFFFF)
    _U16.pack_into(frame, offset + 10, 0)
    _U16.pack_into(frame, offset + 10, checksum(memoryview(frame)[offset : offset + length]))


def _fix_transport_header(frame: bytearray, offload: Offload, start: int, *, last: bool, covered: int) -> None:
    """Advance the transport header of a piece that begins *start* octets into the payload."""
    at = offload.checksum_start
    field = at + offload.checksum_offset
    length = len(frame) - at
    # Replace the length in the pseudo-header's sum: old sum - old length + new length, one's complement (RFC 1624).
    partial = _U16.unpack_from(frame, field)[0] + (~covered & 0xFFFF) + length
    partial = partial % 0xFFFF or 0xFFFF
    _U16.pack_into(frame, field, partial)
    if offload.gso_type & ~GSO_ECN == GSO_UDP_L4:
        _U16.pack_into(frame, at + 4, length)
        return
    sequence = _U32.unpack_from(frame, at + 4)[0]
    _U32.pack_into(frame, at + 4, sequence + start & 0xFFFFFFFF)
    if not last:
        frame[at + 13] &= ~_TCP_FIN_PSH & 0xFF
    if start:
        frame[at + 13] &= ~_TCP_CWR & 0xFF


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
