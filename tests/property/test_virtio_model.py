"""A virtqueue against a naive model of it: sets and lists instead of rings, indices and free lists."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from drivers.virtio.queue import DeviceQueue, DriverQueue
from drivers.virtio.rings import INDEX, memory_size
from tests.support.examples import examples


class VirtqueueModel(RuleBasedStateMachine):
    """Chains go: free -> available -> with the device -> used -> taken -> free, or back to available."""

    @initialize(order=st.sampled_from([1, 2, 8, 16]), event_idx=st.booleans(), start=st.sampled_from([0, 65530]))
    def begin(self, order: int, event_idx: bool, start: int) -> None:
        """Start with indices anywhere, as after *start* chains."""
        self.size = order
        memory = memoryview(bytearray(memory_size(order)))
        self.driver = DriverQueue(memory, order, event_idx=event_idx)
        self.device = DeviceQueue(memory, order, event_idx=event_idx)
        for _ in range(start):
            head = self.driver.add((1,))[0]
            self.device.pop()
            self.device.push(head, 0)
            self.driver.take()
            self.driver.release(head)
        self.driver.needs_notification()
        self.device.needs_interrupt()
        self.driver.disable_interrupts()
        self.device.disable_notifications()
        self.available: list[tuple[int, list[int], int]] = []  # head, lengths, writable
        self.with_device: list[tuple[int, list[int], int]] = []
        self.used: list[tuple[int, int]] = []
        self.taken: dict[int, tuple[list[int], int]] = {}
        self.chains: dict[int, tuple[list[int], int]] = {}

    def descriptors_in_use(self) -> int:
        """Count what the model says is not free."""
        return sum(len(lengths) for lengths, _ in self.chains.values())

    @rule(lengths=st.lists(st.integers(1, 70000), min_size=1, max_size=6), writable=st.integers(0, 6))
    def add(self, lengths: list[int], writable: int) -> None:
        """Offer a chain, if there is room."""
        writable = min(writable, len(lengths))
        chain = self.driver.add(lengths, writable=writable)
        if len(lengths) > self.size - self.descriptors_in_use():
            assert chain == ()
            return
        assert len(set(chain)) == len(lengths)
        head = chain[0]
        assert head not in self.chains
        self.chains[head] = (lengths, writable)
        self.available.append((head, lengths, writable))

    @rule()
    def pop(self) -> None:
        """Let the device take the oldest."""
        popped = self.device.pop()
        if not self.available:
            assert popped is None
            return
        head, lengths, writable = self.available.pop(0)
        assert popped is not None
        assert popped[0] == head
        assert [length for _, length in popped[1]] == lengths
        assert popped[2] == writable
        self.with_device.append((head, lengths, writable))

    @precondition(lambda self: self.with_device)
    @rule(data=st.data())
    def push(self, data: st.DataObject) -> None:
        """Let the device give back any of those it has."""
        place = data.draw(st.integers(0, len(self.with_device) - 1))
        head, lengths, writable = self.with_device.pop(place)
        written = data.draw(st.integers(0, sum(lengths[len(lengths) - writable :])))
        self.device.push(head, written)
        self.used.append((head, written))

    @rule()
    def take(self) -> None:
        """Take the oldest used element."""
        taken = self.driver.take()
        if not self.used:
            assert taken is None
            return
        assert taken == self.used.pop(0)
        self.taken[taken[0]] = self.chains[taken[0]]

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), again=st.booleans())
    def finish(self, data: st.DataObject, again: bool) -> None:
        """Release or repost a chain that was taken."""
        head = data.draw(st.sampled_from(sorted(self.taken)))
        lengths, writable = self.taken.pop(head)
        if again:
            self.driver.repost(head)
            self.available.append((head, lengths, writable))
        else:
            assert len(self.driver.release(head)) == len(lengths)
            del self.chains[head]

    @rule()
    def ring_the_bell(self) -> None:
        """A device that asked, and has nothing, is notified of the next chain."""
        self.driver.needs_notification()
        if not self.device.enable_notifications():
            chain = self.driver.add((1,))
            if chain:
                assert self.driver.needs_notification()
                self.chains[chain[0]] = ([1], 0)
                self.available.append((chain[0], [1], 0))
        self.device.disable_notifications()

    @invariant()
    def counts_agree(self) -> None:
        """What is in flight, free and waiting is what the model says."""
        if not hasattr(self, "driver"):
            return
        assert self.driver.free == self.size - self.descriptors_in_use()
        assert self.driver.in_flight == len(self.available) + len(self.with_device) + len(self.used)
        assert self.driver.has_used == bool(self.used)
        assert self.device.has_available == bool(self.available)
        assert self.driver.bogus_ids == self.driver.bad_lengths == self.driver.used_index_jumps == 0
        assert self.device.bad_chains == 0


class LyingDevice(RuleBasedStateMachine):
    """A device that writes anything into the used ring: the driver never raises, and never invents a chain."""

    @initialize(order=st.sampled_from([2, 8]), event_idx=st.booleans())
    def begin(self, order: int, event_idx: bool) -> None:
        """A queue with every descriptor posted."""
        self.size = order
        self.driver = DriverQueue(memoryview(bytearray(memory_size(order))), order, event_idx=event_idx)
        self.posted = {self.driver.add((64,), writable=1)[0] for _ in range(order)}

    @rule(place=st.integers(0, 7), element=st.integers(0, 2**64 - 1), index=st.integers(0, 65535))
    def scribble(self, place: int, element: int, index: int) -> None:
        """Write an element and an index."""
        self.driver.rings.used[place % self.size] = element
        self.driver.rings.used_head[INDEX] = index

    @rule(place=st.integers(0, 7), head=st.integers(0, 7), length=st.integers(0, 100), step=st.integers(0, 4))
    def nearly_right(self, place: int, head: int, length: int, step: int) -> None:
        """Write what might be true."""
        self.driver.rings.used[place % self.size] = head | length << 32
        self.driver.rings.used_head[INDEX] = self.driver.used_seen + step & 0xFFFF

    @rule()
    def take(self) -> None:
        """Take what there is."""
        for _ in range(self.size + 1):
            taken = self.driver.take()
            if taken is None:
                break
            head, length = taken
            assert head in self.posted
            assert length <= 64
            self.posted.remove(head)
        assert self.driver.in_flight == len(self.posted)

    @rule()
    def repost(self) -> None:
        """Offer what was taken once more."""
        for head in sorted(set(range(self.size)) - self.posted):
            self.driver.repost(head)
            self.posted.add(head)


TestVirtqueueModel = VirtqueueModel.TestCase
TestVirtqueueModel.settings = settings(max_examples=examples(25), stateful_step_count=60, deadline=None)
TestLyingDevice = LyingDevice.TestCase
TestLyingDevice.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
