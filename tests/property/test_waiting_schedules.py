"""Random schedules of everything that can happen to open files, checked against what must always hold.

A schedule is a seed, under virtual time. Between any two steps the woken calls may or may not get to run, as in the
daemon, where a burst of frames, signals and timers is handled before the first woken call. What must hold:

    whenever all is quiet, nobody is parked while fevent says that its call would not block      no lost wake-up
    the octets read are the octets written, in order, none lost, none twice                      also across signals
    an interrupted call ends at once; a time-out only ends a call whose time is over
    a poll handle is notified at the next change, once; and a poll that got "no" is notified of a later "yes"
    at the end nothing is left: no parked call, no timer, no unique
"""

from __future__ import annotations

import errno
import os
import random

import pytest

from schemefs.call_soon import CallSoonQueue
from schemefs.errors import SchemeError
from schemefs.fs.inodes import Inode
from schemefs.fs.open_files import OpenStream
from schemefs.fs.waiting import Waiting
from schemefs.scheme import Caller, Event, Handle, StreamFile
from schemefs.timers import Timers

QUICK, FULL = 10_000, 100_000
ROOM = 10  # octets that a pipe holds
CALLER = Caller(0)


class Pipe(Handle):
    """A loop of octets that says "changed" as a scheme does: after each call that changed something."""

    def __init__(self) -> None:
        self.queue = bytearray()
        self.ended = False

    def read(self, size: int, now: float) -> bytes | None:
        if not self.queue:
            return b"" if self.ended else None
        taken = bytes(self.queue[:size])
        del self.queue[:size]
        self.changed()
        return taken

    def write(self, data: memoryview, now: float) -> int | None:
        if self.ended:
            raise SchemeError(errno.EPIPE, "ended")
        count = min(ROOM - len(self.queue), len(data))
        if not count:
            return None
        self.queue += data[:count]
        self.changed()
        return count

    def fevent(self, interest: int) -> int:
        readable = Event.IN if self.queue or self.ended else 0
        return (readable | (Event.OUT if len(self.queue) < ROOM or self.ended else 0)) & interest

    def queued(self) -> int | None:
        return len(self.queue)

    def close(self, now: float) -> None:
        self.ended = True


class Polled:
    """A poll handle, and what the kernel was answered when it gave it."""

    def __init__(self) -> None:
        self.notified = 0

    def notify(self) -> None:
        self.notified += 1


class Node(StreamFile):
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        raise NotImplementedError


class Schedule:
    """One open file, its calls and one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.timers = Timers()
        self.callbacks = CallSoonQueue()
        self.waiting = Waiting(self.timers, self.callbacks.call_soon, lambda: self.now)
        self.pipe = Pipe()
        self.file = OpenStream(Inode(2, Node(), None, None), CALLER, self.pipe, self.waiting)
        self.unique = 0
        self.parked: dict[int, str] = {}  # by unique: "read" or "write"
        self.interrupted: set[int] = set()
        self.timeouts: dict[int, float] = {}
        self.accepted = bytearray()  # what writes said they took
        self.received = bytearray()
        self.polled: Polled | None = None
        self.polled_state = 0
        self.next_octet = 0

    def start(self, kind: str) -> None:
        self.unique += 2
        self.parked[self.unique] = kind
        flags = os.O_NONBLOCK if self.random.random() < 0.2 else 0
        timeout = self.random.choice((0.0, 0.0, 1.0, 3.0))
        self.waiting.begin(self._call(kind, self.unique, flags, timeout), self._finished)

    def _finished(self, _answer: None, failure: Exception | None) -> None:
        if failure is not None:
            self.failure = failure  # an assertion of `_call`

    failure: Exception | None = None

    async def _call(self, kind: str, unique: int, flags: int, timeout: float) -> None:
        if timeout:
            self.timeouts[unique] = self.now + timeout
        self.pipe.read_timeout = self.pipe.write_timeout = timeout
        try:
            if kind == "read":
                size = self.random.randrange(1, 20)
                octets = await self.file.read(0, size, unique, flags, self.now)
                assert len(octets) <= size
                assert octets or self.pipe.ended
                self.received += octets
            elif kind == "write":
                await self._write(unique, flags)
        except SchemeError as error:
            self._judge(error.errno, unique, flags)
        finally:
            del self.parked[unique]

    async def _write(self, unique: int, flags: int) -> None:
        # One writer at a time, as the kernel's inode lock has it: octets of two would mix, which is not the question.
        size = self.random.randrange(1, 30)
        data = bytes((self.next_octet + number) % 251 for number in range(size))
        count = await self.file.write(0, data, unique, flags, self.now)
        assert 0 < count <= size
        self.accepted += data[:count]
        self.next_octet = (self.next_octet + count) % 251

    def _judge(self, number: int, unique: int, flags: int) -> None:
        if number == errno.EAGAIN:
            due = self.timeouts.get(unique)
            assert flags & os.O_NONBLOCK or (due is not None and self.now >= due)
        elif number == errno.EINTR:
            assert unique in self.interrupted
        elif number == errno.ENOTCONN:
            assert self.waiting.ended
        else:
            assert number == errno.EPIPE and self.pipe.ended

    def step(self) -> None:
        """Do one thing; no task runs meanwhile."""
        kind = self.random.choice(("read", "read", "write", "write", "signal", "signal", "wake", "poll", "time", "end"))
        if kind == "read":
            self.start("read")
        elif kind == "write" and "write" not in self.parked.values():
            self.start("write")
        elif kind == "signal":
            unique = self.random.randrange(self.unique + 3)  # live, answered, or never there
            if unique in self.waiting.by_unique:
                self.interrupted.add(unique)
            self.waiting.interrupt(unique)
        elif kind == "wake":
            self.pipe.changed()
        elif kind == "poll":
            self.polled = Polled()
            self.file.keep_poll_handle(self.polled)
            self.polled_state = self.file.poll(self.now)
        elif kind == "time":
            self.now += self.random.choice((0.5, 1.0, 2.0))
            if self.timers.next_deadline() <= self.now:
                self.timers.on_deadline(self.now)
        elif kind == "end" and self.random.random() < 0.05:
            self.pipe.ended = True
            self.pipe.changed()

    def run_woken(self) -> None:
        """Run the calls that were woken, until all is quiet."""
        while self.callbacks:
            self.callbacks.run(self.now)

    def check_quiet(self) -> None:
        assert self.failure is None
        assert not self.callbacks.failed
        state = self.pipe.fevent(Event.ALL)
        for kind in self.parked.values():
            assert not state & (Event.IN if kind == "read" else Event.OUT), f"a {kind} sleeps though it would not block"
        assert set(self.parked) == set(self.waiting.by_unique)
        assert not self.interrupted & set(self.parked), "interrupted, and still parked"
        late = {unique for unique, due in self.timeouts.items() if due <= self.now}
        assert self.timers.next_deadline() > self.now or not late & set(self.parked)
        if self.polled is not None:
            assert self.polled.notified <= 1
            news = state & ~self.polled_state
            assert self.polled.notified or not news, "poll was not notified of a change"
        assert self.received + self.pipe.queue == self.accepted + self._taken_by_parked_write()

    def _taken_by_parked_write(self) -> bytes:
        """A parked write may have had part taken, which it will answer for later."""
        extra = len(self.received) + len(self.pipe.queue) - len(self.accepted)
        assert extra == 0 or "write" in self.parked.values()
        assert extra >= 0
        return bytes((self.next_octet + number) % 251 for number in range(extra))


def run_schedule(seed: int) -> None:
    schedule = Schedule(seed)
    for _ in range(schedule.random.randrange(5, 40)):
        schedule.step()
        luck = schedule.random.random()
        if luck < 0.3:
            schedule.callbacks.run(schedule.now)
        elif luck < 0.5:
            schedule.run_woken()
            schedule.check_quiet()
    schedule.run_woken()
    schedule.check_quiet()
    how = schedule.random.random()
    if how < 0.4:
        schedule.pipe.ended = True
        schedule.pipe.changed()
    elif how < 0.8:
        for unique in tuple(schedule.waiting.by_unique):
            schedule.interrupted.add(unique)
            schedule.waiting.interrupt(unique)
    else:
        schedule.waiting.end_all()
        assert not schedule.parked
    schedule.run_woken()
    assert not schedule.parked
    assert not schedule.waiting.by_unique
    assert not schedule.file.waiters.calls
    assert schedule.timers.pending == 0
    assert schedule.received + schedule.pipe.queue == schedule.accepted
    assert schedule.failure is None
    assert not schedule.callbacks.failed


def run_many(first: int, count: int) -> None:
    for seed in range(first, first + count):
        try:
            run_schedule(seed)
        except BaseException as error:
            error.add_note(f"schedule {seed}")
            raise


def test_schedules() -> None:
    run_many(0, QUICK)


@pytest.mark.full
def test_a_hundred_thousand_schedules() -> None:
    run_many(QUICK, FULL - QUICK)
