"""A split virtqueue (VIRTIO 1.2 §2.7): the driver's end and the device's end, on the same memory. Sans-IO.

    DriverQueue.add ──> available ring ──> DeviceQueue.pop
                                               │  reads or writes the buffers
    DriverQueue.take <── used ring <────── DeviceQueue.push

The two ends agree on the meaning of `addr`. In one process it is a token: the index of the buffer in the driver's table
of buffers. That table has one place per descriptor, so the buffers of a chain live exactly as long as its descriptors.
Over shared memory it is an address. This module never looks at it.

Neither end trusts what the other wrote. The driver keeps its chains itself and never reads the table back. An id that
is out of range, is not in flight, or comes twice is counted and skipped. A used index that claims more than is in
flight is counted, and nothing is taken until it is right. The device follows a chain over at most as many descriptors
as the table has.

Indices are free-running 16-bit counters (§2.7.13): a place in the ring is an index modulo its size, a difference is
taken modulo 2**16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drivers.virtio.rings import (
    AVAILABLE_NO_INTERRUPT,
    DESCRIPTOR_NEXT,
    DESCRIPTOR_WRITE,
    FIRST,
    FLAGS,
    INDEX,
    USED_NO_NOTIFY,
    Rings,
)
from schemefs.no_callback import no_callback

_NEXT = DESCRIPTOR_NEXT << 32
_WRITE = DESCRIPTOR_WRITE << 32


class DriverQueue:
    """The end that offers buffers. The head of a chain, the number of its first descriptor, identifies it."""

    __slots__ = (
        "_chains",
        "_event_idx",
        "_free",
        "_notified_index",
        "_posted",
        "_room",
        "available_index",
        "bad_lengths",
        "bogus_ids",
        "completed",
        "in_flight",
        "notifications",
        "on_lie",
        "posted",
        "rings",
        "suppressed_notifications",
        "used_index_jumps",
        "used_seen",
    )

    def __init__(self, memory: memoryview, size: int, *, event_idx: bool) -> None:
        self.rings = Rings(memory, size)
        self._event_idx = event_idx
        for descriptor in range(size):
            self.rings.table[2 * descriptor] = descriptor
        self._free = list(range(size))  # a stack: the descriptor that was used last is in the CPU cache
        self._chains: list[list[int]] = [[] for _ in range(size)]  # by head
        self._posted = bytearray(size)  # by head: 1 while the device has the chain
        self._room = [0] * size  # by head: octets that the device may write
        self._notified_index = 0  # the available index when `needs_notification` was asked last
        self.available_index = 0
        self.used_seen = 0  # our place in the used ring
        self.in_flight = 0  # chains that the device has
        self.posted = 0
        self.completed = 0
        self.notifications = 0
        self.suppressed_notifications = 0
        self.bogus_ids = 0
        self.bad_lengths = 0
        self.used_index_jumps = 0
        self.on_lie: Callable[[str], None] = no_callback  # the device's end is wrong: called with how, as a clause

    def reset(self) -> None:
        """Forget all chains and empty both rings, as a reset of the device does (§2.4). The counters go on."""
        self.rings.clear()
        size = self.rings.size
        for descriptor in range(size):
            self.rings.table[2 * descriptor] = descriptor
        self._free = list(range(size))
        self._chains = [[] for _ in range(size)]
        self._posted = bytearray(size)
        self._room = [0] * size
        self._notified_index = self.available_index = self.used_seen = self.in_flight = 0

    def seize_free(self) -> Sequence[int]:
        """Take every free descriptor, for `give_back`: until then `add` takes no chain."""
        seized, self._free = self._free, []
        return seized

    def give_back(self, descriptors: Sequence[int]) -> None:
        """Make seized descriptors free again."""
        self._free.extend(descriptors)

    @property
    def free(self) -> int:
        """The number of free descriptors: the longest chain that `add` takes now."""
        return len(self._free)

    def add(self, lengths: Sequence[int], *, writable: int = 0, addresses: Sequence[int] = ()) -> Sequence[int]:
        """Offer a chain of buffers of these lengths, the last *writable* of them for the device to write.

        Without *addresses* the addr of a descriptor is its own number, the token of the module's text; one queue uses
        either form only. Return the descriptors, the head first; empty: not enough are free, and nothing was taken.
        """
        count = len(lengths)
        free = self._free
        if not 0 < count <= len(free):
            return ()
        chain = free[-count:]
        del free[-count:]
        rings = self.rings
        table = rings.table
        if addresses:
            for descriptor, address in zip(chain, addresses, strict=True):
                table[2 * descriptor] = address
        link = 0
        place = count
        first_writable = count - writable
        while place:
            place -= 1
            descriptor = chain[place]
            if place >= first_writable:
                table[2 * descriptor + 1] = lengths[place] | _WRITE | link
            else:
                table[2 * descriptor + 1] = lengths[place] | link
            link = _NEXT | descriptor << 48
        head = chain[0]
        self._chains[head] = chain
        self._room[head] = sum(lengths[first_writable:]) if writable else 0
        self._expose(head)
        return chain

    def repost(self, head: int) -> None:
        """Offer a chain that was taken again, unchanged: its descriptors are not touched."""
        self._expose(head)

    def _expose(self, head: int) -> None:
        rings = self.rings
        index = self.available_index
        rings.available[FIRST + (index & rings.mask)] = head
        self._posted[head] = 1
        self.in_flight += 1
        self.posted += 1
        # §2.7.13.3: the entry before the index. CPython keeps the order of stores, and so does x86.
        self.available_index = rings.available[INDEX] = index + 1 & 0xFFFF

    def needs_notification(self) -> bool:
        """Return whether to notify the device of the chains that were added since the last call (§2.7.13.4.1)."""
        rings, new, old = self.rings, self.available_index, self._notified_index
        self._notified_index = new
        if self._event_idx:  # §2.7.10: whether the index has passed the event
            due = (new - rings.avail_event[0] - 1) & 0xFFFF < (new - old) & 0xFFFF
        else:
            due = new != old and not rings.used_head[FLAGS] & USED_NO_NOTIFY
        if due:
            self.notifications += 1
        elif new != old:
            self.suppressed_notifications += 1
        return due

    def take(self) -> tuple[int, int] | None:
        """Take the next used element: the head of the chain, and how many octets the device wrote. None: no more.

        The caller owns the chain again, and calls `release` or `repost`. A length beyond the chain's room becomes 0.
        """
        rings = self.rings
        while True:
            seen = self.used_seen
            pending = rings.used_head[INDEX] - seen & 0xFFFF
            if not pending:
                return None
            if pending > self.in_flight:
                self.used_index_jumps += 1
                self.on_lie(f"its used index claims {pending} chains where {self.in_flight} are in flight")
                return None
            element = rings.used[seen & rings.mask]
            self.used_seen = seen + 1 & 0xFFFF
            head = element & 0xFFFFFFFF
            if head >= rings.size or not self._posted[head]:
                self.bogus_ids += 1
                self.on_lie(f"it returned descriptor {head}, which it does not have")
                continue
            self._posted[head] = 0
            self.in_flight -= 1
            self.completed += 1
            length = element >> 32
            if length > self._room[head]:
                self.bad_lengths += 1
                length = 0
            return head, length

    def release(self, head: int) -> Sequence[int]:
        """Return the descriptors of a chain that was taken; they are free again."""
        chain = self._chains[head]
        self._free.extend(chain)
        return chain

    @property
    def has_used(self) -> bool:
        """Whether `take` would return an element; False also for a used index that can't be right."""
        return 0 < (self.rings.used_head[INDEX] - self.used_seen & 0xFFFF) <= self.in_flight

    @property
    def used_index(self) -> int:
        """The device's index in the used ring."""
        return self.rings.used_head[INDEX]

    def enable_interrupts(self, *, after: int = 1) -> bool:
        """Ask for an interrupt at the *after*-th used element from here. True: `take` has one already (§2.7.7)."""
        self.rings.used_event[0] = self.used_seen + after - 1 & 0xFFFF
        self.rings.available[FLAGS] = 0
        return self.has_used

    def disable_interrupts(self) -> None:
        """Ask for no interrupt. A hint: with EVENT_IDX, the event comes round again after 65,535 elements."""
        self.rings.used_event[0] = self.used_seen - 1 & 0xFFFF
        if not self._event_idx:
            self.rings.available[FLAGS] = AVAILABLE_NO_INTERRUPT


class DeviceQueue:
    """The end that reads and writes the buffers."""

    __slots__ = (
        "_interrupted_index",
        "available_index_jumps",
        "available_seen",
        "bad_chains",
        "event_idx",
        "interrupts",
        "rings",
        "suppressed_interrupts",
        "used_index",
    )

    def __init__(self, memory: memoryview, size: int, *, event_idx: bool) -> None:
        self.rings = Rings(memory, size)
        self.event_idx = event_idx
        self._interrupted_index = 0  # the used index when `needs_interrupt` was asked last
        self.available_seen = 0
        self.used_index = 0
        self.interrupts = 0
        self.suppressed_interrupts = 0
        self.bad_chains = 0
        self.available_index_jumps = 0

    def continue_from(self, other: DeviceQueue) -> None:
        """Take the place of *other* on the same rings."""
        self._interrupted_index = other._interrupted_index
        self.available_seen = other.available_seen
        self.used_index = other.used_index
        self.interrupts = other.interrupts
        self.suppressed_interrupts = other.suppressed_interrupts
        self.bad_chains = other.bad_chains
        self.available_index_jumps = other.available_index_jumps

    @property
    def has_available(self) -> bool:
        """Whether the driver has offered a chain that was not popped."""
        return self.rings.available[INDEX] != self.available_seen

    def pop(self) -> tuple[int, list[tuple[int, int]], int] | None:
        """Take the next chain: its head, (addr, length) of each buffer, and how many of them, at the end, are writable.

        None: no more. A chain that can't be right (an index beyond the table, a loop, a readable buffer after a
        writable one, §2.7.4.2) is counted, and returned as used with no octets written.
        """
        rings = self.rings
        while True:
            seen = self.available_seen
            pending = rings.available[INDEX] - seen & 0xFFFF
            if not pending:
                return None
            if pending > rings.size:
                self.available_index_jumps += 1
                return None
            head = rings.available[FIRST + (seen & rings.mask)]
            self.available_seen = seen + 1 & 0xFFFF
            chain = self._walk(head)
            if chain is not None:
                return chain
            self.bad_chains += 1
            self.push(head, 0)

    def _walk(self, head: int) -> tuple[int, list[tuple[int, int]], int] | None:
        table, size = self.rings.table, self.rings.size
        segments: list[tuple[int, int]] = []
        writable = 0
        descriptor = head
        while descriptor < size and len(segments) < size:
            word = table[2 * descriptor + 1]
            segments.append((table[2 * descriptor], word & 0xFFFFFFFF))
            if word & _WRITE:
                writable += 1
            elif writable:
                return None
            if not word & _NEXT:
                return head, segments, writable
            descriptor = word >> 48
        return None

    def unpop(self) -> None:
        """Undo the last `pop`: its chain can't be served now."""
        self.available_seen = self.available_seen - 1 & 0xFFFF

    def push(self, head: int, length: int) -> None:
        """Return a chain with the number of octets written to it."""
        rings = self.rings
        index = self.used_index
        rings.used[index & rings.mask] = head | length << 32
        self.used_index = rings.used_head[INDEX] = index + 1 & 0xFFFF

    def needs_interrupt(self) -> bool:
        """Return whether to interrupt the driver for the chains that were pushed since the last call (§2.7.7.2)."""
        rings, new, old = self.rings, self.used_index, self._interrupted_index
        self._interrupted_index = new
        if self.event_idx:  # §2.7.10: whether the index has passed the event
            due = (new - rings.used_event[0] - 1) & 0xFFFF < (new - old) & 0xFFFF
        else:
            due = new != old and not rings.available[FLAGS] & AVAILABLE_NO_INTERRUPT
        if due:
            self.interrupts += 1
        elif new != old:
            self.suppressed_interrupts += 1
        return due

    def enable_notifications(self) -> bool:
        """Ask for a notification of the next chain. True: there is one to pop already."""
        self.rings.avail_event[0] = self.available_seen
        self.rings.used_head[FLAGS] = 0
        return self.has_available

    def disable_notifications(self) -> None:
        """Ask for no notification: a hint, as for interrupts."""
        self.rings.avail_event[0] = self.available_seen - 1 & 0xFFFF
        if not self.event_idx:
            self.rings.used_head[FLAGS] = USED_NO_NOTIFY
