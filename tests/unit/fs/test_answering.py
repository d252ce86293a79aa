"""What the kernel is answered when a handler raises."""

from __future__ import annotations

import errno
import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from schemefs.errors import SchemeError
from schemefs.failures import ANY, Failures
from schemefs.fs import libfuse_hooks
from schemefs.fs.answering import Request, answering, may_park
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.operations import Operations
from schemefs.fs.waiting import Waiters
from schemefs.scheme import FailureFile, StaticDirectory
from tests.support.running_calls import new_waiting


def no_schemes() -> Operations:
    return Operations(StaticDirectory({}), [], FailureFile(Failures(), ANY), new_waiting())


@answering
async def handler(_operations: Operations, _request: Request, failure: BaseException) -> None:
    raise failure


@pytest.mark.parametrize(
    ("failure", "number", "unexpected"),
    [
        (SchemeError(errno.ENOENT, "not there"), errno.ENOENT, 0),
        (SchemeError(511, "the last one the kernel takes"), 511, 0),
        (SchemeError(512, "the kernel refuses it, and the caller would wait for ever"), errno.EIO, 1),
        (SchemeError(0, "no failure"), errno.EIO, 1),
        (SchemeError(-errno.ENOENT, "negated"), errno.EIO, 1),
        (ValueError("ours"), errno.EIO, 1),
        (SystemExit(3), errno.EIO, 1),
        (MemoryError(), errno.ENOMEM, 0),
    ],
)
async def test_a_failure_is_an_errno_that_the_kernel_takes(
    failure: BaseException, number: int, unexpected: int
) -> None:
    operations = no_schemes()
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handler(operations, failure)
    assert caught.value.errno == number
    assert operations.unexpected == unexpected


@answering
async def slow_handler(_operations: Operations, request: Request) -> Request:
    await trio.lowlevel.checkpoint()
    return request


async def test_a_handler_keeps_its_own_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that arrive while a handler waits do not change what it was given."""
    requests = iter([(7, os.O_NONBLOCK, 20, 0), (9, 0, 21, 1000)])
    monkeypatch.setattr(libfuse_hooks, "request", lambda: next(requests))
    operations = no_schemes()
    answers: list[Request] = []

    async def call() -> None:
        answers.append(await slow_handler(operations))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(call)
    assert sorted(answers) == [(7, os.O_NONBLOCK, 20, 0), (9, 0, 21, 1000)]


class Recorded:
    """An object with one handler, and what it recorded."""

    def __init__(self) -> None:
        self.unexpected = 0
        self.waiting = new_waiting()
        self.failures: list[tuple[str, tuple[object, ...], int, str]] = []

    def record_failure(self, call: str, request: Request, args: tuple[object, ...], failure: SchemeError) -> None:
        del request
        self.failures.append((call, args, failure.errno, failure.sentence))

    @answering
    async def read(self, _request: Request, failure: Exception) -> None:
        raise failure


@pytest.mark.parametrize(
    ("failure", "number", "sentence"),
    [
        (SchemeError(errno.ENOENT, "not there"), errno.ENOENT, "not there"),
        (OSError(errno.EMFILE, "too many"), errno.EMFILE, "the daemon has no file descriptor left"),
        (ValueError("ours"), errno.EIO, "a fault of the daemon; logging/net/schemefs.log has the traceback"),
    ],
)
async def test_every_failure_has_a_sentence(failure: Exception, number: int, sentence: str) -> None:
    recorded = Recorded()
    with pytest.raises(pyfuse3.FUSEError):
        await recorded.read(failure)
    ((call, args, errno_, told),) = recorded.failures
    assert (call, args, errno_) == ("read", (failure,), number)
    assert told.startswith(sentence)


class Replies:
    """Replaces `libfuse_hooks.reply`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[int, int, object]] = []
        monkeypatch.setattr(libfuse_hooks, "reply", self._reply)
        monkeypatch.setattr(libfuse_hooks, "request", lambda: (7, 0, 20, 0))

    def _reply(self, unique: int, error: int, octets: object) -> int:
        if isinstance(octets, str):
            message = "no buffer"
            raise TypeError(message)
        self.sent.append((unique, error, octets))
        return 0


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Replies:
    return Replies(monkeypatch)


async def test_a_failure_with_a_number_that_the_mount_does_not_have_is_answered(replies: Replies) -> None:
    operations = no_schemes()
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.read(4711, 0, 1)
    assert caught.value.errno == libfuse_hooks.ANSWERED
    assert replies.sent == [(7, -errno.EIO, b"")]
    assert operations.unexpected == 1


class Parking(Recorded):
    """An object with a handler that may park."""

    def __init__(self) -> None:
        super().__init__()
        self.waiters = Waiters()
        self.answers: list[bytes | BaseException] = []

    def _take(self, _now: float) -> bytes | None:
        answer = self.answers.pop() if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @may_park
    async def read(self, request: Request, _fh: int) -> bytes:
        return await self.waiting.until(self._take, self.waiters, request[0], 0.0)


@pytest.mark.parametrize("is_parked", [False, True])
@pytest.mark.parametrize(
    ("answer", "error", "octets", "unexpected"),
    [
        (b"octets", 0, b"octets", 0),
        (SchemeError(errno.ECONNRESET, "reset"), -errno.ECONNRESET, b"", 0),
        (ValueError("ours"), -errno.EIO, b"", 1),
        (SystemExit(3), -errno.EIO, b"", 1),
        ("no buffer", -errno.EIO, b"", 1),
    ],
)
async def test_a_handler_that_may_park_is_answered_once(
    replies: Replies, answer: bytes | BaseException, error: int, octets: bytes, unexpected: int, *, is_parked: bool
) -> None:
    handlers = Parking()
    if not is_parked:
        handlers.answers.append(answer)
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handlers.read(3)
    assert caught.value.errno == libfuse_hooks.ANSWERED
    if is_parked:
        assert replies.sent == []
        handlers.answers.append(answer)
        handlers.waiters.wake()
        await wait_all_tasks_blocked()
    assert replies.sent == [(7, error, octets)]
    assert handlers.unexpected == unexpected
    assert len(handlers.failures) == (error != 0)
