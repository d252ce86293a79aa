"""`virtio_net_hdr` (VIRTIO 1.2 §5.1.6): ten octets before each frame, twelve with VERSION_1 (num_buffers).

    flags(8) gso_type(8) | hdr_len(16) gso_size(16) csum_start(16) csum_offset(16) | num_buffers(16)

The frames of one connection have the same header, so both directions cache the last 512: 0.1 µs instead of 0.7. The
caches are bounded.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from schemefs.net.offload import (
    CHECKED,
    DATA_VALID,
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    NO_OFFLOAD,
    Offload,
)

HEADER = Struct("<BBHHHH")
NUM_BUFFERS = Struct("<H")
SHORT: Final = 10
LONG: Final = 12

_LARGEST_GSO_TYPES: Final = (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4)


@lru_cache(maxsize=512)
def encode(offload: Offload, length: int) -> bytes:
    """Return the header of *length* octets for a frame that we send. Only a device may set DATA_VALID: it is masked."""
    flags, gso_type, header_length, gso_size, start, offset = offload
    # num_buffers is 0 when the driver writes (§5.1.6.2).
    return HEADER.pack(flags & NEEDS_CHECKSUM, gso_type, header_length, gso_size, start, offset).ljust(length, b"\0")


@lru_cache(maxsize=512)
def decode(header: bytes) -> Offload | None:
    """Return the Offload in the first ten octets of a received header; None: they contradict themselves.

    `header_length` is a hint of the device, not the length of the headers (§5.1.6.4.2); see `real_header_length`.
    """
    flags, gso_type, header_length, gso_size, start, offset = HEADER.unpack(header)
    if gso_type == GSO_NONE:
        if not flags & NEEDS_CHECKSUM:
            return CHECKED if flags & DATA_VALID else NO_OFFLOAD
        return Offload(flags, GSO_NONE, header_length, 0, start, offset)
    # §5.1.6.4.1: a device that sets gso_type also sets NEEDS_CSUM; a segment without it could not be cut.
    if gso_type & ~GSO_ECN not in _LARGEST_GSO_TYPES or not gso_size or not flags & NEEDS_CHECKSUM:
        return None
    return Offload(flags, gso_type, header_length, gso_size, start, offset)


def real_header_length(frame: memoryview, offload: Offload) -> int:
    """Return where the payload of a super-segment begins: after its TCP or UDP header. 0: it has none."""
    start = offload.checksum_start
    if offload.gso_type & ~GSO_ECN == GSO_UDP_L4:
        end = start + 8
    else:
        end = start + (frame[start + 12] >> 4) * 4 if start + 20 <= len(frame) else 0
    return end if start + 8 <= end < len(frame) else 0
