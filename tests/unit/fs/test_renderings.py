"""One rendering serves the stat, the open and the first read of a caller, while nothing has changed and for 50 ms."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.errors import SchemeError
from schemefs.failures import Failures, Process
from schemefs.fs.inodes import Inode
from schemefs.fs.open_files import OpenText
from schemefs.fs.renderings import KEPT, SERVES, Renderings
from schemefs.scheme import Caller, FailureFile, TextFile, WriteForm

CALLER = Caller(1000, 1000, 4711)


class Counted(TextFile):
    """A text that says how often it was rendered."""

    def __init__(self) -> None:
        super().__init__(write=lambda _text, _caller, _now: None, form=WriteForm.VALUE)
        self.renderings = 0

    def read(self, caller: Caller, now: float) -> bytes:
        self.renderings += 1
        return b"x" * self.renderings


class Calls:
    """The requests of one caller for one text."""

    def __init__(self) -> None:
        self.node = Counted()
        self.renderings = Renderings()

    def stat(self, now: float = 0.0, caller: Caller = CALLER) -> int:
        return self.renderings.length(self.node, caller, now)

    def open(self, now: float = 0.0, caller: Caller = CALLER, flags: int = os.O_RDONLY) -> OpenText:
        return OpenText(Inode(2, self.node, None, None), caller, self.node, now, flags, renderings=self.renderings)


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def read(file: OpenText, offset: int = 0, now: float = 0.0) -> bytes:
    return await file.read(offset, 100, 1, 0, now)


async def test_stat_open_fstat_and_first_read_are_one_rendering(calls: Calls) -> None:
    assert calls.stat() == 1
    file = calls.open()
    assert calls.stat() == 1
    assert await read(file) == b"x"
    assert await read(file, 1) == b""
    assert calls.node.renderings == 1


async def test_second_read_at_the_beginning_is_of_now(calls: Calls) -> None:
    file = calls.open()
    assert await read(file) == b"x"
    assert await read(file) == b"xx"


async def test_each_open_after_a_read_or_another_open_is_of_now(calls: Calls) -> None:
    assert await read(calls.open()) == b"x"
    calls.open()
    assert await read(calls.open()) == b"xxx"


async def test_rendering_serves_for_a_limited_time(calls: Calls) -> None:
    calls.stat()
    file = calls.open(SERVES)
    assert calls.node.renderings == 1
    assert await read(file, 0, SERVES * 1.01) == b"xx"


async def test_late_fstat_and_first_read_agree_wherever_the_read_begins(calls: Calls) -> None:
    """What tail does after a pause: it seeks to the end that fstat shows."""
    file = calls.open()
    assert calls.stat(1.0) == 2
    assert await read(file, 1, 1.0) == b"x"


async def test_first_read_inside_the_text_is_of_the_open(calls: Calls) -> None:
    file = calls.open()
    calls.node.changed()
    assert await read(file, 0) == b"xx"
    file = calls.open()
    calls.node.changed()
    assert await read(file, 2) == b"x"


async def test_new_version_ends_a_rendering(calls: Calls) -> None:
    calls.stat()
    calls.node.changed()
    assert calls.stat() == 2
    file = calls.open()
    calls.node.changed()
    assert await read(file) == b"xxx"


async def test_request_that_can_change_texts_ends_the_rendering_of_a_stat_alone(calls: Calls) -> None:
    calls.stat()
    calls.renderings.changes += 1
    file = calls.open()
    assert calls.node.renderings == 2
    calls.renderings.changes += 1
    assert calls.stat() == 2
    assert await read(file) == b"xx"
    assert calls.stat() == 3


async def test_callers_have_renderings_of_their_own(calls: Calls) -> None:
    others = [Caller(1001, 1000, 4711), Caller(1000, 1001, 4711), Caller(1000, 1000, 4712)]
    calls.stat()
    assert [calls.stat(caller=other) for other in others] == [2, 3, 4]
    assert await read(calls.open()) == b"x"


async def test_own_write_ends_the_rendering_of_the_open(calls: Calls) -> None:
    file = calls.open(flags=os.O_RDWR)
    await file.write(0, b"x", 1, 0, 0.0)
    assert calls.stat() == 2
    assert await read(file) == b"xxx"


async def test_open_to_write_renders_nothing(calls: Calls) -> None:
    file = calls.open(flags=os.O_WRONLY)
    await file.write(0, b"x", 1, 0, 0.0)
    file.flush(0.0)
    assert calls.node.renderings == 0
    calls.stat()
    file.release(0.0)
    assert calls.stat() == 2


def test_text_that_cannot_be_read_has_length_0_and_does_not_open(calls: Calls) -> None:
    def fail() -> str:
        raise SchemeError(errno.ENOENT, "gone")

    node = TextFile(fail)
    assert calls.renderings.length(node, CALLER, 0.0) == 0
    with pytest.raises(SchemeError, match="gone"):
        calls.renderings.for_open(node, CALLER, 0.0)


def test_kept_renderings_are_limited_in_number_and_time(calls: Calls) -> None:
    for thread in range(2 * KEPT):
        calls.stat(caller=Caller(0, 0, thread))
    kept = calls.renderings._kept
    assert len(kept) == KEPT
    calls.stat(2 * SERVES)
    assert len(kept) == 1


class Err(FailureFile):
    """`err` of a caller that fails, and then succeeds."""

    def __init__(self) -> None:
        super().__init__(Failures(lambda pid: Process(pid, 1, 1, 1, 9.0), lambda: 1.0), "tcp")
        self.record(CALLER, "it failed")


def test_err_shows_a_success_that_came_after_a_stat() -> None:
    err, renderings = Err(), Renderings()
    assert renderings.length(err, CALLER, 1.0) == len("it failed\n")
    err.successes.note(CALLER.pid, 1.0)
    assert renderings.for_open(err, CALLER, 1.0).octets == b""
    assert renderings.length(err, CALLER, 1.0) == 0
