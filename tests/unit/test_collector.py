"""The policy of Python's collector: new objects are looked at once, all of them only when few are there."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from schemefs import collector as module
from schemefs.collector import Collector
from schemefs.idle_memory import COLLECT_EVERY, IDLE, WORKED, IdleMemory


class Cyclic:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    made.start()
    yield made
    made.stop()


def test_objects_that_were_looked_at_are_frozen(collector: Collector) -> None:
    before = gc.get_freeze_count()
    kept = [[number] for number in range(50_000)]
    assert collector.collections > 50
    # Those of the last collections of the young are still to be looked at.
    assert len(kept) - 25_000 < gc.get_freeze_count() - before <= len(kept) + 25_000
    assert 0 < collector.longest < 5


def test_all_are_collected_only_when_they_are_few(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [Cyclic() for _ in range(1000)]
    gc.collect()  # and freezes them
    lost.clear()
    gc.collect()
    assert sum(type(found) is Cyclic for found in _all_objects()) == 1000
    monkeypatch.setattr(module, "LONGEST", 0.0)
    kept = [[number] for number in range(1000)]
    assert not collector.collect_all()
    assert len(kept) == 1000
    monkeypatch.setattr(module, "LONGEST", 10.0)
    assert collector.collect_all()
    assert not any(type(found) is Cyclic for found in _all_objects())


def _all_objects() -> list[object]:
    gc.unfreeze()
    found = gc.get_objects()
    gc.freeze()
    return found


def test_stop_leaves_the_collector_as_it_was() -> None:
    before, callbacks = gc.get_threshold(), len(gc.callbacks)
    made = Collector()
    made.start()
    made.stop()
    assert (gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)) == (before, 0, callbacks)


class Counting(Collector):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def collect_all(self) -> bool:
        self.asked += 1
        return self.asked > 1


def test_memory_goes_back_once_after_work_and_only_when_idle() -> None:
    used = 1.0
    idle = IdleMemory(Counting(), lambda: used)
    assert not idle.look(1.0)  # nothing was done since the start
    used += WORKED + IDLE
    assert not idle.look(2.0)
    used += IDLE / 2
    assert idle.look(3.0)
    used += IDLE / 2
    assert not idle.look(4.0)
    used += WORKED
    assert not idle.look(5.0)
    assert idle.look(6.0)


def test_a_collection_that_would_take_long_is_tried_again_and_one_that_was_made_is_not() -> None:
    collector = Counting()
    idle = IdleMemory(collector, lambda: 1.0)
    idle.look(COLLECT_EVERY)
    idle.look(COLLECT_EVERY + 1)
    idle.look(COLLECT_EVERY + 2)
    assert collector.asked == 2
    idle.look(2 * COLLECT_EVERY + 1)
    assert collector.asked == 3
