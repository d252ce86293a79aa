"""Handles of one inode: they share their state, and the last close ends it."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Caller
from schemefs.shared import Shared, SharedHandle

ROOT = Caller(0)


class Counter(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.ended_at: list[float] = []

    def end(self, now: float) -> None:
        self.ended_at.append(now)


class CounterHandle(SharedHandle[Counter]):
    def fevent(self, interest: int) -> int:
        return interest


def test_the_last_close_ends_the_state() -> None:
    counter = Counter()
    first = CounterHandle(counter)
    second = first.reopen(0, ROOT, 0.0)
    assert isinstance(second, CounterHandle)
    assert second.shared is counter
    first.close(1.0)
    assert counter.ended_at == []
    second.close(2.0)
    assert counter.ended_at == [2.0]
    with pytest.raises(SchemeError) as raised:
        second.reopen(0, ROOT, 3.0)
    assert raised.value.errno == errno.ENOTCONN


def test_a_change_wakes_every_handle() -> None:
    counter = Counter()
    woken: list[str] = []
    for name in ("first", "second"):
        handle = CounterHandle(counter)
        handle.on_changed = lambda name=name: woken.append(name)  # type: ignore[misc]
    counter.changed()
    assert woken == ["first", "second"]
