"""Each fault that can be switched on at the rings: it is seen, the link recovers or goes down, and nothing leaks."""

from __future__ import annotations

import re

import pytest

from drivers.virtio.queue import DeviceQueue
from drivers.virtio.ring_fault import parse_ring_fault
from schemefs.net.offload import NO_OFFLOAD
from tests.support.virtio_devices import Bench


def switch_on(bench: Bench, rule: str) -> None:
    assert bench.link.faults_on_purpose(1).switch_on(rule.split(), bench.now)


def lines(bench: Bench) -> list[str]:
    return list(bench.link.faults_on_purpose(1).lines())


def send(bench: Bench, count: int = 1, first: int = 0) -> list[bool]:
    return [bench.link.send((bytes([number]) * 60,), NO_OFFLOAD, bench.now) for number in range(first, first + count)]


def arrive(bench: Bench, *numbers: int) -> None:
    bench.device.arrive(*(bytes([number]) * 60 for number in numbers), now=bench.now)


def received(bench: Bench) -> list[int]:
    return [frame[0] for frame, _, _ in bench.received]


def is_whole(bench: Bench) -> bool:
    """Return whether the driver and the device have every buffer again, and plain queues."""
    statistics = bench.link.statistics()
    return (
        statistics["rx_in_flight"] == 8
        and statistics["tx_in_flight"] == 0
        and bench.link.transmitting.queue.free == 64
        and all(type(queue) is DeviceQueue for queue in bench.link.queues())
    )


def test_a_withheld_completion_holds_up_nothing_else() -> None:
    bench = Bench()
    switch_on(bench, "withhold completion tx 2 for 500ms")
    assert send(bench, 4) == [True] * 4
    assert [frame[0] for _, frame in bench.device.sent] == [0, 1, 2, 3]
    assert bench.link.statistics()["tx_in_flight"] == 1
    bench.now = 0.2
    assert bench.link.statistics()["tx_oldest_age"] == 0.2
    bench.until(0.5)
    assert is_whole(bench)
    assert lines(bench) == ["# ended: withhold completion tx 2 for 500ms: seen 2, effects 1"]


def test_a_completion_that_never_comes_is_reported_and_comes_when_the_rules_are_cleared(caplog) -> None:
    bench = Bench()
    switch_on(bench, "withhold completion rx 1")
    arrive(bench, 1, 2, 3)
    assert received(bench) == [2, 3]
    bench.until(100.0)
    assert received(bench) == [2, 3]
    bench.link.faults_on_purpose(1).clear(bench.now)
    assert received(bench) == [2, 3, 1]
    assert is_whole(bench)
    assert "the completion of descriptor 7 is withheld (withhold completion rx 1)" in caplog.text


def test_a_lost_interrupt_is_made_good_by_the_next_one() -> None:
    bench = Bench()
    switch_on(bench, "lose interrupt rx 1")
    arrive(bench, 1)
    assert received(bench) == []
    arrive(bench, 2)
    assert received(bench) == [1, 2]
    bench.until(0.0)
    assert is_whole(bench)


def test_a_lost_interrupt_of_the_transmit_queue_is_found_after_a_second(caplog) -> None:
    bench = Bench()
    bench.device.holding = True
    switch_on(bench, "lose interrupt tx 1")
    send(bench)
    bench.device.complete(bench.device.held, 0.1)
    assert bench.link.statistics()["tx_in_flight"] == 1
    bench.until(1.0)
    assert "the transmit queue's interrupt was lost" in caplog.text
    assert is_whole(bench)


def test_completions_in_another_order_are_all_found() -> None:
    bench = Bench()
    switch_on(bench, "reorder completions rx")
    arrive(bench, *range(8))
    arrive(bench, *range(8, 16))
    assert sorted(received(bench)) == list(range(16))
    assert received(bench) != list(range(16))
    assert lines(bench) == ["reorder completions rx  # seen 16, effects 2"]
    bench.link.faults_on_purpose(1).clear(0.0)
    arrive(bench, *range(16, 24))
    assert received(bench)[16:] == list(range(16, 24))
    assert is_whole(bench)


def test_the_order_repeats_with_the_seed() -> None:
    orders = []
    for _ in range(2):
        bench = Bench()
        bench.link.faults_on_purpose(1).set_seed(7)
        switch_on(bench, "reorder completions rx")
        arrive(bench, *range(8))
        orders.append(received(bench))
    assert orders[0] == orders[1]


@pytest.mark.parametrize("rule", ["double completion", "bad id", "jump used"])
@pytest.mark.parametrize("queue", ["rx", "tx"])
def test_a_device_that_lies_is_reset_and_nothing_leaks(rule, queue, caplog) -> None:
    bench = Bench()
    switch_on(bench, f"{rule} {queue} 1")
    arrive(bench, 1)
    send(bench)
    assert bench.earlier
    bench.until(0.0)
    statistics = bench.link.statistics()
    assert bool(statistics["device_bogus_ids"]) or bool(statistics["device_used_index_jumps"])
    assert statistics["device_resets"] == 1
    assert "the device is reset: " in caplog.text
    assert is_whole(bench)
    arrive(bench, 2)
    assert received(bench)[-1] == 2
    assert send(bench) == [True]
    assert bench.device.sent[-1][1][0] == 0


def test_a_device_that_lies_again_and_again_takes_the_link_down() -> None:
    bench = Bench()
    faults: list[str] = []
    bench.link.on_fault = lambda _now: faults.append(bench.link.fault)
    for _ in range(11):
        switch_on(bench, "bad id tx 1")
        send(bench)
        bench.until(bench.now + 0.1)
    assert bench.link.statistics()["device_resets"] == 10
    assert faults == [
        "the device was wrong again after resets: it returned descriptor 127, which it does not have",
    ]
    switch_on(bench, "reset device")
    assert faults[1:] == [""]
    assert is_whole(bench)


def test_a_full_ring_refuses_frames_and_reports_space_once() -> None:
    bench = Bench()
    switch_on(bench, "fill ring tx for 2s")
    assert send(bench, 3) == [False] * 3
    assert bench.device.sent == []
    assert bench.link.statistics()["tx_refused_ring_full"] == 3
    bench.until(1.9)
    assert bench.spaces == []
    bench.until(2.0)
    assert bench.spaces == [2.0]
    assert send(bench) == [True]
    assert is_whole(bench)


def test_a_driver_that_does_not_recycle_stops_after_one_ring() -> None:
    bench = Bench()
    switch_on(bench, "stop recycling rx")
    arrive(bench, *range(8))
    assert not bench.device.fill(bytes(60))
    statistics = bench.link.statistics()
    assert (statistics["rx_completed"], statistics["rx_recycled"]) == (8, 0)
    assert statistics["reception"] == "stopped: the device has no buffer; 8 used ones were not posted again"
    bench.link.faults_on_purpose(1).clear(bench.now)
    assert bench.link.statistics()["reception"] == "running"
    arrive(bench, 9)
    assert received(bench) == [*range(8), 9]
    assert is_whole(bench)


def test_a_reset_loses_the_frames_in_flight_and_counts_them() -> None:
    bench = Bench()
    bench.device.holding = True
    send(bench, 3)
    switch_on(bench, "reset device")
    bench.device.holding = False
    statistics = bench.link.statistics()
    assert (statistics["device_resets"], statistics["lost_at_resets"]) == (1, 3)
    assert is_whole(bench)
    arrive(bench, 1)
    assert received(bench) == [1]


def test_rules_survive_a_reset() -> None:
    bench = Bench()
    switch_on(bench, "withhold completion tx 2 for 1s")
    switch_on(bench, "reset device")
    send(bench, 2)
    assert bench.link.statistics()["tx_in_flight"] == 1
    bench.until(1.0)
    assert is_whole(bench)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("withhold completion", "'withhold completion' is followed by rx or tx"),
        ("withhold completion tx", "'' is not a number from 1 to 65535"),
        ("withhold completion tx 0", "'0' is not a number from 1 to 65535"),
        ("withhold completion tx 1 for", "'' is not a time up to 60 s, such as 20ms"),
        ("fill ring rx", "'fill ring' is followed by tx"),
        ("stop recycling rx 3", "'3' is too much after 'stop recycling'; the rules are: "),
        ("reset device now", "'now' is too much after 'reset device'; the rules are: "),
    ],
)
def test_a_rule_that_is_wrong_gets_a_sentence(rule, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        parse_ring_fault(rule.split())


def test_other_words_are_no_rule_of_the_rings() -> None:
    assert parse_ring_fault(["late", "timer"]) is None


def test_at_most_a_hundred_rules_are_in_force() -> None:
    bench = Bench()
    for _ in range(100):
        switch_on(bench, "withhold completion tx 9")
    with pytest.raises(ValueError, match="100 rules are in force; 'clear' removes them"):
        bench.link.faults_on_purpose(1).switch_on("bad id tx 1".split(), 0.0)


@pytest.mark.parametrize("withheld", ["withhold completion rx 1", "withhold completion rx 1 for 10s"])
def test_a_withheld_completion_does_not_keep_the_ring_full(withheld) -> None:
    bench = Bench()
    switch_on(bench, withheld)
    arrive(bench, 1)
    switch_on(bench, "fill ring tx for 1s")
    assert send(bench) == [False]
    bench.until(1.0)
    assert send(bench) == [True]


def test_the_longer_of_two_fills_counts() -> None:
    bench = Bench()
    switch_on(bench, "fill ring tx for 2s")
    switch_on(bench, "fill ring tx for 1s")
    bench.until(1.5)
    assert send(bench) == [False]
    bench.until(2.0)
    assert send(bench) == [True]


def test_rules_of_one_queue_count_the_same_completions() -> None:
    bench = Bench()
    for number in (2, 2, 4):
        switch_on(bench, f"withhold completion rx {number}")
    arrive(bench, 1, 2, 3, 4, 5)
    assert received(bench) == [1, 5]


def test_rules_of_one_queue_count_the_same_interrupts() -> None:
    bench = Bench()
    for number in (1, 2):
        switch_on(bench, f"lose interrupt rx {number}")
    seen = []
    for number in (1, 2, 3):
        arrive(bench, number)
        seen.append(len(received(bench)))
    assert seen == [0, 0, 3]


def test_a_reset_ends_a_fill() -> None:
    bench = Bench()
    switch_on(bench, "fill ring tx for 1s")
    switch_on(bench, "reset device")
    bench.until(0.1)
    assert send(bench) == [True]
    assert not [line for line in lines(bench) if not line.startswith("# ended")]
