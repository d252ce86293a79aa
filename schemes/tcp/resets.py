"""RST for segments that belong to no connection (RFC 9293 §3.5.2, §3.10.7.1): never in answer to a RST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError
from schemefs.net.checksum import pseudo_header_sum
from schemefs.net.network_layer import TCP
from schemes.tcp.wire import ACK, CHECKSUM_OFFSET, HEADER_LENGTH, RST, Segment, header

if TYPE_CHECKING:
    from schemefs.net.network_layer import Path


def reset_for(path: Path, ports: tuple[int, int], segment: Segment, now: float) -> bool:
    """Answer *segment* with a RST that its sender accepts; False: none was sent, since it was a RST or has no route.

    The numbers of *segment* may be as in the header or unwrapped: they are the same modulo 2**32.
    """
    if segment.flags & RST:
        return False
    if segment.flags & ACK:
        seq, ack, flags = segment.ack, 0, RST
    else:
        seq, ack, flags = 0, segment.seq + segment.seg_len, RST | ACK
    partial_sum = pseudo_header_sum(path.source, path.destination, TCP, HEADER_LENGTH)
    octets = header(ports, seq, ack, flags, 0, partial_sum, b"")
    try:
        return path.send(TCP, octets, (), now, checksum_offset=CHECKSUM_OFFSET)
    except SchemeError:
        return False
