"""Both ends of a split virtqueue (VIRTIO 1.2 §2.7) on one memory, and each against an end that lies."""

from __future__ import annotations

import struct

import pytest

from drivers.virtio.queue import DeviceQueue, DriverQueue
from drivers.virtio.rings import INDEX, Rings, memory_size


def both(size: int = 8, *, event_idx: bool = True) -> tuple[DriverQueue, DeviceQueue]:
    """Return the two ends of a fresh queue."""
    memory = memoryview(bytearray(memory_size(size)))
    return DriverQueue(memory, size, event_idx=event_idx), DeviceQueue(memory, size, event_idx=event_idx)


def serve(driver: DriverQueue, device: DeviceQueue, rounds: int) -> None:
    """Let that many chains of one descriptor go round."""
    for _ in range(rounds):
        assert driver.add((1,))
        chain = device.pop()
        assert chain is not None
        device.push(chain[0], 0)
        used = driver.take()
        assert used == (chain[0], 0)
        driver.release(used[0])


def test_the_memory_has_the_standards_layout() -> None:
    memory = bytearray(memory_size(4))
    driver = DriverQueue(memoryview(memory), 4, event_idx=True)
    head, second = driver.add((10, 20), writable=1, addresses=(0x1122334455667788, 5))
    # §2.7.5: le64 addr, le32 len, le16 flags (NEXT 1, WRITE 2), le16 next
    assert struct.unpack_from("<QIHH", memory, 16 * head) == (0x1122334455667788, 10, 1, second)
    assert struct.unpack_from("<QIHH", memory, 16 * second) == (5, 20, 2, 0)
    # §2.7.6: flags, idx, ring
    assert struct.unpack_from("<HHH", memory, 64) == (0, 1, head)
    # §2.7.8: the used ring, aligned to 4: flags, idx, (le32 id, le32 len)…, avail_event
    device = DeviceQueue(memoryview(memory), 4, event_idx=True)
    device.push(head, 7)
    assert struct.unpack_from("<HHII", memory, 80) == (0, 1, head, 7)
    assert memory_size(4) == 80 + 4 + 4 * 8 + 2


@pytest.mark.parametrize("size", [0, 3, 65536])
def test_a_size_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Rings(memoryview(bytearray(memory_size(4))), size)


def test_a_chain_is_seen_by_the_device_in_order_readable_first() -> None:
    driver, device = both()
    chain = driver.add((1, 2, 3), writable=2)
    assert device.pop() == (chain[0], [(chain[0], 1), (chain[1], 2), (chain[2], 3)], 2)
    assert device.pop() is None


def test_without_enough_descriptors_nothing_is_taken() -> None:
    driver, device = both(4)
    assert len(driver.add((1, 1, 1))) == 3
    assert driver.add((1, 1)) == ()
    assert driver.free == 1
    assert len(driver.add((1,))) == 1
    assert driver.free == 0
    assert device.pop() is not None


def test_every_used_element_is_taken_in_the_devices_order() -> None:
    driver, device = both()
    heads = [driver.add((100,), writable=1)[0] for _ in range(5)]
    for head in reversed(heads):
        device.push(head, head + 1)
    assert [driver.take() for _ in range(6)] == [*((head, head + 1) for head in reversed(heads)), None]
    assert (driver.completed, driver.in_flight) == (5, 0)


def test_a_chain_stays_taken_until_it_is_released() -> None:
    driver, device = both(2)
    chain = driver.add((1, 1))
    device.push(chain[0], 0)
    assert driver.take() == (chain[0], 0)
    assert driver.free == 0
    assert list(driver.release(chain[0])) == list(chain)
    assert driver.free == 2


def test_a_chain_is_reposted_as_it_is() -> None:
    driver, device = both(2)
    head = driver.add((64,), writable=1)[0]
    for _ in range(5):
        assert device.pop() == (head, [(head, 64)], 1)
        device.push(head, 60)
        assert driver.take() == (head, 60)
        driver.repost(head)
    assert (driver.posted, driver.completed, driver.in_flight) == (6, 5, 1)


@pytest.mark.parametrize("event_idx", [True, False])
def test_the_indices_wrap_at_16_bits(event_idx: bool) -> None:
    driver, device = both(8, event_idx=event_idx)
    serve(driver, device, 65533)
    heads = [driver.add((1,))[0] for _ in range(8)]
    assert driver.available_index == 5
    chains = [device.pop() for _ in range(8)]
    assert [chain[0] for chain in chains if chain] == heads
    for head in heads:
        device.push(head, 0)
    taken = [driver.take() for _ in range(9)]
    assert taken == [*((head, 0) for head in heads), None]
    assert driver.used_index == 5


@pytest.mark.parametrize("identifier", [8, 0xFFFF, 0xFFFFFFFF])
def test_an_id_out_of_range_is_counted_and_skipped(identifier: int) -> None:
    driver, device = both()
    first, second = driver.add((1,))[0], driver.add((1,))[0]
    device.push(identifier, 0)
    device.push(second, 0)
    assert driver.take() == (second, 0)
    assert driver.bogus_ids == 1
    assert driver.in_flight == 1
    device.push(first, 0)
    assert driver.take() == (first, 0)


def test_an_id_that_comes_twice_is_counted_and_skipped() -> None:
    driver, device = both()
    first, second = driver.add((1,))[0], driver.add((1,))[0]
    device.push(first, 0)
    device.push(first, 0)
    assert driver.take() == (first, 0)
    driver.release(first)
    device.push(second, 0)
    # Two elements for one chain: no index a device in its senses could have, so nothing is taken…
    assert driver.take() is None
    assert driver.used_index_jumps == 1
    # …until as many are in flight; then what was false is found out one by one.
    third = driver.add((1,))[0]
    assert third == first
    assert driver.take() == (first, 0)
    assert driver.take() == (second, 0)


def test_an_id_inside_a_chain_is_not_its_head() -> None:
    driver, device = both()
    chain = driver.add((1, 1))
    device.push(chain[1], 0)
    assert driver.take() is None
    assert driver.bogus_ids == 1


def test_a_used_index_that_jumps_is_counted_and_nothing_is_taken() -> None:
    driver, device = both()
    head = driver.add((1,))[0]
    device.rings.used_head[INDEX] = 300
    assert driver.take() is None
    assert not driver.has_used
    assert not driver.enable_interrupts()
    assert driver.used_index_jumps == 1
    device.push(head, 0)  # the device comes to its senses: index 1
    assert driver.take() == (head, 0)


def test_a_length_beyond_the_buffers_is_reported_as_nothing() -> None:
    driver, device = both()
    head = driver.add((10, 50), writable=1)[0]
    device.push(head, 51)
    assert driver.take() == (head, 0)
    assert driver.bad_lengths == 1


def test_the_device_gives_a_chain_that_loops_back() -> None:
    driver, device = both(4)
    chain = driver.add((1, 1, 1))
    driver.rings.table[2 * chain[2] + 1] = 1 | 1 << 32 | chain[0] << 48
    assert device.pop() is None
    assert device.bad_chains == 1
    assert driver.take() == (chain[0], 0)


@pytest.mark.parametrize(
    "word",
    [1 | 1 << 32 | 9 << 48, 1 | 3 << 32 | 1 << 48],
    ids=["next beyond the table", "readable after writable"],
)
def test_the_device_gives_a_malformed_chain_back(word: int) -> None:
    driver, device = both(4)
    chain = driver.add((1, 1))
    driver.rings.table[2 * chain[0] + 1] = word
    driver.rings.table[2 * 1 + 1] = 1
    assert device.pop() is None
    assert device.bad_chains == 1


def test_the_device_ignores_an_available_index_that_jumps() -> None:
    driver, device = both(4)
    driver.rings.available[INDEX] = 77
    assert device.pop() is None
    assert device.available_index_jumps == 1


def test_the_device_may_put_a_chain_back() -> None:
    driver, device = both()
    head = driver.add((1,))[0]
    assert device.pop() is not None
    device.unpop()
    assert device.has_available
    chain = device.pop()
    assert chain is not None
    assert chain[0] == head


@pytest.mark.parametrize("event_idx", [True, False])
def test_notifications_are_suppressed_until_the_device_asks(event_idx: bool) -> None:
    driver, device = both(event_idx=event_idx)
    device.enable_notifications()
    driver.add((1,))
    assert driver.needs_notification()
    device.disable_notifications()
    driver.add((1,))
    driver.add((1,))
    assert not driver.needs_notification()
    assert not driver.needs_notification()
    assert (driver.notifications, driver.suppressed_notifications) == (1, 1)
    assert device.enable_notifications(), "what was added meanwhile is not lost"
    for _ in range(3):
        device.pop()
    assert not device.enable_notifications()
    driver.add((1,))
    assert driver.needs_notification()


@pytest.mark.parametrize("event_idx", [True, False])
def test_interrupts_are_suppressed_until_the_driver_asks(event_idx: bool) -> None:
    driver, device = both(event_idx=event_idx)
    heads = [driver.add((1,))[0] for _ in range(6)]
    driver.disable_interrupts()
    device.push(heads[0], 0)
    assert not device.needs_interrupt()
    assert driver.enable_interrupts(), "what was used meanwhile is not lost"
    driver.take()
    assert not driver.enable_interrupts()
    device.push(heads[1], 0)
    assert device.needs_interrupt()
    assert (device.interrupts, device.suppressed_interrupts) == (1, 1)


def test_an_interrupt_can_be_asked_for_after_several() -> None:
    driver, device = both()
    heads = [driver.add((1,))[0] for _ in range(6)]
    driver.enable_interrupts(after=3)
    due = []
    for head in heads:
        device.push(head, 0)
        due.append(device.needs_interrupt())
    assert due == [False, False, True, False, False, False]


def test_suppression_survives_the_wrap() -> None:
    driver, device = both()
    serve(driver, device, 65535)
    device.needs_interrupt()
    driver.enable_interrupts(after=2)
    first, second = driver.add((1,))[0], driver.add((1,))[0]
    device.push(first, 0)
    assert not device.needs_interrupt()
    device.push(second, 0)
    assert device.needs_interrupt()
