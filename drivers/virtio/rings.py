"""The memory of a split virtqueue (VIRTIO 1.2 §2.7): three areas in one buffer, shared by a driver and a device.

    descriptor table   16 octets each       addr(64) | len(32) | flags(16) | next(16)
    available ring     driver -> device     flags(16) idx(16) | ring[size](16)              | used_event(16)
    used ring          device -> driver     flags(16) idx(16) | ring[size](id(32) len(32))  | avail_event(16)

The areas are casts of one memoryview: a field is read or written by one subscript, in 40 ns; a Struct takes 200. A
descriptor is two 64-bit items, a used element one. Items have the byte order of the machine, which must be the
standard's little-endian: the constructor refuses another.

This module has the layout only; `queue.py` says which end writes which field, and when.
"""

from __future__ import annotations

import sys
from typing import Final

DESCRIPTOR_NEXT: Final = 1  # §2.7.5: the chain continues in `next`
DESCRIPTOR_WRITE: Final = 2  # the device writes this buffer; else it reads it
AVAILABLE_NO_INTERRUPT: Final = 1  # §2.7.6, only without EVENT_IDX
USED_NO_NOTIFY: Final = 1  # §2.7.8, only without EVENT_IDX

FLAGS: Final = 0  # items of the available ring, and of the used ring's head
INDEX: Final = 1
FIRST: Final = 2  # of the available ring: where ring[0] is

LARGEST_SIZE: Final = 32768  # §2.7: the queue size is a power of two, at most 2**15


def memory_size(size: int) -> int:
    """Return the octets of memory that a queue of *size* descriptors needs."""
    return _used_offset(size) + 4 + 8 * size + 2


def _used_offset(size: int) -> int:
    return 16 * size + 6 + 2 * size + 3 & ~3  # §2.7: the used ring is aligned to 4


class Rings:
    """The fields of a queue in *memory*, which is writable and holds at least `memory_size(size)` octets."""

    __slots__ = ("avail_event", "available", "mask", "memory", "size", "table", "used", "used_event", "used_head")

    def __init__(self, memory: memoryview, size: int) -> None:
        if sys.byteorder != "little":
            message = "the rings of a virtqueue are little-endian (VIRTIO 1.2 §2.7): this machine must be, too"
            raise NotImplementedError(message)
        if size & (size - 1) or not 1 <= size <= LARGEST_SIZE:
            message = f"a queue can't have {size} descriptors: a power of two up to {LARGEST_SIZE}"
            raise ValueError(message)
        self.memory = memory
        self.size = size
        self.mask = size - 1
        available, used = 16 * size, _used_offset(size)
        self.table = memory[:available].cast("Q")  # two items each: addr; len | flags << 32 | next << 48
        self.available = memory[available : available + 6 + 2 * size].cast("H")  # FLAGS INDEX ring… used_event
        self.used_head = memory[used : used + 4].cast("H")  # FLAGS INDEX
        self.used = memory[used + 4 : used + 4 + 8 * size].cast("Q")  # id | len << 32
        self.avail_event = memory[used + 4 + 8 * size : used + 6 + 8 * size].cast("H")  # one item
        self.used_event = self.available[FIRST + size :]  # one item

    def clear(self) -> None:
        """Set every field to 0, as a reset of the device leaves the rings."""
        octets = memory_size(self.size)
        self.memory[:octets] = bytes(octets)
