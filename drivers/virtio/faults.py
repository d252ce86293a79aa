"""A device's end of a virtqueue that breaks the rules, as `DeviceFaults` decides: to see that the driver bears it.

It takes the place of the right one while the faults last, with the same rings and indices; afterwards all that was kept
back is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from drivers.virtio.queue import DeviceQueue
from drivers.virtio.rings import INDEX
from schemefs.net.device_faults import BAD_ID, BAD_INDEX, LATE, LOSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.device_faults import DeviceFaults


Kind = TypeVar("Kind", bound=DeviceQueue)


class FaultyQueue(DeviceQueue):
    """Made by `instead_of`, gone by `healed`."""

    __slots__ = ("faults", "late", "lost")

    faults: DeviceFaults
    late: list[tuple[int, int]]  # heads and lengths: returned after the next one
    lost: list[tuple[int, int]]  # returned when all is right again

    @classmethod
    def instead_of(cls, queue: DeviceQueue, faults: DeviceFaults) -> FaultyQueue:
        """Return one that goes on where *queue* is."""
        made = _copied(queue, cls)
        made.faults, made.late, made.lost = faults, [], []
        return made

    def pop(self) -> tuple[int, list[tuple[int, int]], int] | None:
        """Take the next chain; an index that was wrong is right again from here on."""
        self.rings.used_head[INDEX] = self.used_index
        return super().pop()

    def push(self, head: int, length: int) -> None:
        """Return a chain, or what the faults make of that."""
        fate = self.faults.fate()
        if fate == LOSE:
            self.lost.append((head, length))
        elif fate == LATE:
            self.late.append((head, length))
        elif fate == BAD_ID:
            self.lost.append((head, length))
            super().push(self.rings.size + self.faults.below(1 << 16), length)
        else:
            super().push(head, length)
            self.flush()
            if fate == BAD_INDEX:
                jump = self.rings.size + 1 + self.faults.below(1 << 14)
                self.rings.used_head[INDEX] = self.used_index + jump & 0xFFFF

    def needs_interrupt(self) -> bool:
        """Tell whether the driver wants to hear, unless that gets lost."""
        return super().needs_interrupt() and not self.faults.interrupt_is_lost()

    def flush(self) -> None:
        """Return what was late, unless the ring is to be full."""
        if not self.faults.stopped:
            late, self.late = self.late, []
            for head, length in late:
                super().push(head, length)

    def healed(self) -> DeviceQueue:
        """Return a right one that goes on from here, with all that was kept back returned."""
        queue = _copied(self, DeviceQueue)
        queue.rings.used_head[INDEX] = queue.used_index
        for head, length in (*self.late, *self.lost):
            queue.push(head, length)
        return queue


def injected(queue: DeviceQueue, faults: DeviceFaults | None, interrupt: Callable[[], None]) -> DeviceQueue:
    """Return what takes the place of *queue*: faulty with *faults*, right without; told again: the faults have changed.

    The driver is interrupted before and after: it must have looked at what is wrong in the ring before that is filled.
    """
    if isinstance(queue, FaultyQueue):
        queue.rings.used_head[INDEX] = queue.used_index
        interrupt()
        if queue.faults is faults:
            queue.flush()
            interrupt()
            return queue
        queue = queue.healed()
        interrupt()
    return FaultyQueue.instead_of(queue, faults) if faults is not None else queue


def _copied(queue: DeviceQueue, kind: type[Kind]) -> Kind:
    made = kind.__new__(kind)
    for name in DeviceQueue.__slots__:
        setattr(made, name, getattr(queue, name))
    return made
