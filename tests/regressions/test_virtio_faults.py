"""The faults of another project's virtio-net driver (docs/field-notes.md), one test each."""

from __future__ import annotations

from schemefs.net.offload import NO_OFFLOAD
from tests.support.virtio_devices import Bench


def test_tx_does_not_wait_for_its_completion() -> None:
    # There: `write` blocked until the device had used the chain, without a wakeup.
    bench = Bench()
    bench.device.holding = True
    for number in range(10):
        assert bench.link.send((bytes([number]) * 60,), NO_OFFLOAD, 0.0)
    assert [frame[0] for _, frame in bench.device.sent] == list(range(10))
    assert bench.link.statistics()["tx_in_flight"] == 10


def test_a_completion_that_comes_without_an_interrupt_is_found() -> None:
    # There: a completion with a lost wakeup was never processed, and its descriptors were never free again.
    bench = Bench()
    bench.device.holding = True
    bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    bench.device.complete(bench.device.held, 0.1, interrupt=False)
    assert bench.deadline() == 1.0
    bench.link.on_deadline(1.0)
    assert bench.link.statistics()["tx_in_flight"] == 0
    assert bench.deadline() is None


def test_rx_descriptors_are_recycled() -> None:
    # There: each buffer was posted once, so reception stopped after one ring.
    bench = Bench(sizes=(8, 64))
    for number in range(1000):
        bench.device.arrive(number.to_bytes(60, "big"))
    assert [int.from_bytes(frame, "big") for frame, _, _ in bench.received] == list(range(1000))
    statistics = bench.link.statistics()
    assert (statistics["rx_posted"], statistics["rx_recycled"], statistics["rx_in_flight"]) == (1008, 1000, 8)


def test_every_used_element_of_a_burst_is_processed() -> None:
    # There: only the newest used element was read, so a burst lost all frames but its last.
    bench = Bench(sizes=(8, 64))
    bench.device.arrive(*(bytes([number]) * 60 for number in range(8)))
    assert [frame[0] for frame, _, _ in bench.received] == list(range(8))
    assert bench.link.statistics()["rx_interrupts"] == 1


def test_the_interrupt_delivers_at_once() -> None:
    # There: the interrupt was not connected to the scheme, so a packet waited for the next timer.
    bench = Bench()
    bench.device.arrive(bytes(60), now=3.25)
    assert [now for _, _, now in bench.received] == [3.25]


def test_rx_and_tx_interrupts_do_not_shadow_each_other() -> None:
    # There: both queues shared a vector, and the woken task processed only one of them.
    bench = Bench()
    bench.device.holding = True
    bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    bench.device.fill(bytes(60))
    bench.device.complete(bench.device.held, 0.1)
    assert bench.link.statistics()["tx_in_flight"] == 0
    assert bench.received == []
    bench.device.arrive(bytes(60), now=0.2)
    assert len(bench.received) == 2


def test_indices_wrap_in_both_directions() -> None:
    # There: `used index - 1` at index 0 was -1, and a modulus was fixed at 256.
    bench = Bench(sizes=(4, 4))
    for number in range(66000):
        bench.device.arrive(number.to_bytes(4, "big") * 15)
        assert bench.link.send((number.to_bytes(4, "big") * 15,), NO_OFFLOAD, 0.0)
        assert bench.received.pop()[0][:4] == bench.device.sent.pop()[1][:4] == number.to_bytes(4, "big")
    assert bench.link.statistics()["rx_used_index"] == 66000 - 65536


def test_completions_out_of_order_are_all_found() -> None:
    # There: a completion was recognized only if it was the newest, so out-of-order ones hung their senders.
    bench = Bench()
    bench.device.holding = True
    for _ in range(6):
        bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    heads = bench.device.held
    bench.device.complete([heads[3], heads[5], heads[0]], 0.1)
    bench.device.complete([heads[2], heads[0], heads[1]], 0.2)
    statistics = bench.link.statistics()
    assert (statistics["tx_completed"], statistics["tx_in_flight"]) == (6, 0)


def test_a_frame_longer_than_the_readers_expect_is_no_panic() -> None:
    # There: a slice of the reader's buffer panicked when the frame was longer.
    bench = Bench()
    bench.device.arrive(bytes(65000))
    assert len(bench.received[0][0]) == 65000
