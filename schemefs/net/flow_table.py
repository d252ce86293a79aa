"""The flows on an impaired link, and the numbers of their frames that are the same in every run of an experiment.

A seed shall lose the same packets of a flow in every run, whatever else is on the link at other moments. So each draw
has a key of its own, of what repeats:

    a flow     protocol, both addresses, the port of the service, and how many flows with these came before
    a frame    TCP with text, SYN or FIN: the cell of 4 KiB of the stream in which it begins, and which new segment
               there it is; a retransmission: its offset from the initial sequence number, and its number
               TCP without: its acknowledgment number, relative, and which with this number it is
               others: which frame of the flow and direction it is

A cell, and not the offset, because a sender may cut the stream at another place in the next run: all offsets after it
are then others, but each cell still loses its first, second… segment.

The port of a client, initial sequence numbers and ICMP identifiers differ from run to run: they are in no key.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from schemefs.net import frame_fields
from schemefs.net.direction import IN, OUT

if TYPE_CHECKING:
    from schemefs.net.frame_fields import FrameFields

MOST_FLOWS: Final = 4096  # the one that was used least recently makes room; should it return, it counts as a new flow
MOST_RETRANSMITTED: Final = 4096  # offsets of one flow and direction that are counted
CELL_BITS: Final = 12
FIRST_DYNAMIC_PORT: Final = 32768  # Linux and this stack begin there; others at 49152 (RFC 6335)

_SYN: Final = 2
_FIN: Final = 1
_ACK: Final = 16
_HALF: Final = 1 << 31
_SPACE: Final = 1 << 32
_CONSUMES_SEQUENCE: Final = frame_fields.SYN | frame_fields.SYNACK | frame_fields.FIN | frame_fields.DATA

_FlowKey = tuple[str, bytes, bytes, int, int, int]


class FlowTable:
    """Shared by both directions of a link."""

    __slots__ = ("_flows", "_services")

    def __init__(self) -> None:
        self._flows: OrderedDict[_FlowKey, Flow] = OrderedDict()
        self._services: OrderedDict[bytes, int] = OrderedDict()  # -> flows seen of it

    def find(self, fields: FrameFields, direction: str) -> Flow:
        """Return the flow of a frame; a SYN with another initial sequence number begins a new one."""
        source = (fields.source, fields.source_port)
        destination = (fields.destination, fields.destination_port)
        # "Near" is the end on this side of the link.
        near, far = (source, destination) if direction == OUT else (destination, source)
        key = (fields.protocol, near[0], far[0], near[1], far[1], fields.identifier)
        flow = self._flows.get(key)
        if flow is None or flow.is_ended_by(fields, direction):
            flow = self._flows[key] = Flow(self._draw_key(key))
            if len(self._flows) > MOST_FLOWS:
                self._flows.popitem(last=False)
        self._flows.move_to_end(key)
        return flow

    def _draw_key(self, key: _FlowKey) -> int:
        protocol, near, far, near_port, far_port, _ = key
        service = min(near_port, far_port)
        if service >= FIRST_DYNAMIC_PORT:
            service = 0
        ports = ",".join(str(service) if port == service else "" for port in (near_port, far_port))
        words = f"{protocol} {_repeating(near).hex()} {_repeating(far).hex()} {ports}".encode()
        name = blake2b(words, digest_size=8).digest()
        order = self._services.get(name, 0)
        self._services[name] = order + 1
        self._services.move_to_end(name)
        if len(self._services) > MOST_FLOWS:
            self._services.popitem(last=False)
        return int.from_bytes(blake2b(name + order.to_bytes(8, "big"), digest_size=8).digest(), "big")


def _repeating(address: bytes) -> bytes:
    """Return what repeats of an address: of an IPv6 address with a random interface identifier, the prefix.

    Temporary and opaque identifiers (RFC 8981, RFC 7217) have 64 random bits. Those that are assigned are small
    numbers; those of hardware addresses have ff:fe in the middle.
    """
    if len(address) != 16 or not any(address[8:12]) or address[11:13] == b"\xff\xfe":
        return address
    return address[:8]


class Flow:
    """What is known of a flow since the impairment began, or since it was seen first."""

    __slots__ = (
        "directions",  # by name
        "numbers",  # rule -> which of its flows this is, from 1
    )

    def __init__(self, draw_key: int) -> None:
        self.directions = {IN: FlowDirection(draw_key << 1), OUT: FlowDirection(draw_key << 1 | 1)}
        self.numbers: dict[object, int] = {}

    def is_ended_by(self, fields: FrameFields, direction: str) -> bool:
        """Return whether a SYN belongs to a later connection of the same ports."""
        if fields.flags & _SYN and not fields.flags & _ACK:
            base = self.directions[direction].base
            return base is not None and base != fields.sequence
        return False


class FlowDirection:
    """The frames of a flow in one direction."""

    __slots__ = (
        "_ack",  # the last acknowledgment number of a segment without text, as an offset
        "_ack_base",  # the first acknowledgment number
        "_ack_count",  # segments without text that had `_ack`
        "_cell",  # the cell in which the last new segment began
        "_frames",  # seen
        "_highest",  # offset after the highest octet that was seen
        "_in_cell",  # new segments that began in `_cell`, before the last
        "_retransmitted",  # offset -> transmissions after the first
        "base",  # initial sequence number, or the first seen; None: none yet
        "counts",  # rule -> frames that met its conditions
        "draw_key",
        "is_losing",  # states of Gilbert's model, None at first: [of retransmissions and pure ACKs, of others]
    )

    def __init__(self, draw_key: int) -> None:
        self.draw_key = draw_key
        self.base: int | None = None
        self.counts: dict[object, int] = {}
        self.is_losing: list[bool | None] = [None, None]
        self._ack_base: int | None = None
        self._ack = -1
        self._ack_count = 0
        self._cell = -1
        self._in_cell = 0
        self._frames = 0
        self._highest = 0
        self._retransmitted: dict[int, int] = {}

    def identify(self, fields: FrameFields) -> tuple[int, bool]:
        """Count a frame. Return a number that identifies it in every run, and whether it is no retransmission."""
        if not fields.kinds & frame_fields.TCP:
            self._frames += 1
            return self._frames << 2, True
        if fields.flags & _ACK and self._ack_base is None:
            self._ack_base = fields.acknowledgment
        if not fields.kinds & _CONSUMES_SEQUENCE:
            return self._acknowledgment(fields) << 2 | 1, False
        if self.base is None or (fields.flags & _SYN and fields.sequence != self.base):
            self.base, self._highest, self._retransmitted = fields.sequence, 0, {}
        offset = self._highest + (fields.sequence - self.base - self._highest + _HALF) % _SPACE - _HALF
        is_new = offset >= self._highest
        length = fields.payload + bool(fields.flags & _SYN) + bool(fields.flags & _FIN)
        self._highest = max(self._highest, offset + length)
        if is_new:
            return self._new_segment(offset) << 2 | 2, True
        return self._retransmission(offset) << 2 | 3, False

    def _new_segment(self, offset: int) -> int:
        cell = offset >> CELL_BITS
        self._in_cell = self._in_cell + 1 if cell == self._cell else 0
        self._cell = cell
        return cell << CELL_BITS | self._in_cell

    def _retransmission(self, offset: int) -> int:
        nth = self._retransmitted.pop(offset, 0) + 1
        self._retransmitted[offset] = nth
        if len(self._retransmitted) > MOST_RETRANSMITTED:
            del self._retransmitted[next(iter(self._retransmitted))]
        return nth << 48 | offset & (1 << 48) - 1

    def _acknowledgment(self, fields: FrameFields) -> int:
        ack = (fields.acknowledgment - (self._ack_base or 0)) % _SPACE
        self._ack_count = self._ack_count + 1 if ack == self._ack else 0
        self._ack = ack
        return self._ack_count << 32 | ack
