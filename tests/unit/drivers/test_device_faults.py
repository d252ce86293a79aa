"""A device that breaks the rules on purpose: what the driver bears, what it counts, and that all is well afterwards."""

from __future__ import annotations

import pytest
from virtio_devices import Bench

from schemefs.alarm import Alarm
from schemefs.net.impaired_link import ImpairedLink
from schemefs.net.impairment import parse_impairment
from schemefs.net.offload import NO_OFFLOAD

FRAMES = 300


class Broken(Bench):
    """A bench whose device does what a line says."""

    def __init__(self, line: str) -> None:
        super().__init__(sizes=(16, 64))
        self.alarm = Alarm()
        self.impaired = ImpairedLink(self.link, (parse_impairment(f"{line} seed 1"),), self.alarm)
        self.impaired.begin(0.0)

    @property
    def statistics(self) -> dict[str, int]:
        return {name: value for name, value in self.link.statistics().items() if isinstance(value, int)}

    def send(self, count: int = FRAMES) -> int:
        return sum(self.link.send((number.to_bytes(60, "big"),), NO_OFFLOAD, 0.0) for number in range(count))

    def arrive(self, count: int = FRAMES) -> int:
        """Receive as many as there are buffers for; return how many that were."""
        taken = 0
        for number in range(count):
            if not self.device.fill(number.to_bytes(60, "big")):
                break
            taken += 1
            if self.device.receive_queue.needs_interrupt():
                self.device.interrupt(0, 0.0)
        return taken

    def heals(self) -> None:
        self.impaired.remove(1.0)
        assert self.statistics["tx_in_flight"] == 0
        assert self.statistics["rx_in_flight"] == 16
        before = len(self.received)
        self.device.arrive(b"again".ljust(60, b"."))
        assert len(self.received) == before + 1
        assert self.link.send((bytes(60),), NO_OFFLOAD, 2.0)
        self.link.transmitting.reap(2.0)
        assert self.statistics["tx_in_flight"] == 0


def test_lost_completions_fill_the_ring_and_come_back_at_the_end() -> None:
    broken = Broken("lose_completion 10%")
    sent, taken = broken.send(), broken.arrive()
    assert sent > 64
    assert 16 <= taken < FRAMES  # every lost one is a buffer less
    assert len(broken.received) == taken - broken.statistics["rx_in_flight"]
    broken.heals()
    assert len({frame for frame, _, _ in broken.received}) == taken + 1


def test_completions_out_of_order_are_all_found() -> None:
    broken = Broken("late_completion 30%")
    assert broken.arrive() == FRAMES
    numbers = [int.from_bytes(frame, "big") for frame, _, _ in broken.received]
    assert numbers != sorted(numbers)
    assert broken.send() == FRAMES
    broken.heals()
    assert {int.from_bytes(frame, "big") for frame, _, _ in broken.received[:FRAMES]} == set(range(FRAMES))


def test_identifiers_out_of_range_are_counted() -> None:
    broken = Broken("bad_id 5%")
    broken.send()
    broken.arrive()
    assert broken.statistics["device_bogus_ids"] > 5
    broken.heals()


def test_an_index_that_jumps_is_counted_and_no_frame_is_lost() -> None:
    broken = Broken("bad_index 10%")
    arrived, now = 0, 0.0
    while arrived < FRAMES:
        arrived += broken.arrive(FRAMES - arrived)
        now += 0.1
        broken.link.on_deadline(now)  # no interrupt comes for what was used when the index was wrong
    assert broken.send() == FRAMES
    assert broken.statistics["device_used_index_jumps"] > 5
    broken.heals()
    assert len(broken.received) == FRAMES + 1


def test_lost_interrupts_of_the_transmit_queue_are_made_up_for() -> None:
    broken = Broken("lose_interrupt 100% direction out")
    broken.device.holding = True
    broken.send(10)
    broken.device.complete(broken.device.held, 0.5)
    assert broken.statistics["tx_in_flight"] == 10
    broken.link.on_deadline(1.0)
    assert broken.statistics["tx_in_flight"] == 0
    broken.device.holding = False
    broken.heals()


def test_a_full_ring_refuses_until_its_time_is_over() -> None:
    broken = Broken("full_ring 25% direction out")
    assert broken.send() < FRAMES
    assert not broken.link.has_room
    assert broken.spaces == []
    broken.alarm.on_deadline(0.25)
    assert broken.spaces == [0.25]
    assert broken.send(10) == 10
    broken.alarm.on_deadline(1.0)
    assert broken.send() < FRAMES
    broken.heals()
    assert broken.alarm.pending == 0


def test_the_same_seed_is_the_same_story() -> None:
    stories = []
    for _ in range(2):
        broken = Broken("lose_completion 2% late_completion 10% bad_id 1% bad_index 2%")
        broken.arrive()
        broken.send()
        stories.append(list(broken.impaired.lines()))
    assert stories[0] == stories[1]
    assert stories[0][0].startswith("# device in: lose_completion=")


@pytest.mark.parametrize(
    "line", ["lose_completion 5%", "bad_id 5% bad_index 5% late_completion 20% lose_interrupt 20%"]
)
def test_whatever_it_does_the_driver_goes_on_afterwards(line: str) -> None:
    broken = Broken(line)
    broken.send()
    broken.arrive()
    broken.heals()
