"""What the kernel is answered when a handler raises."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from schemefs.errors import SchemeError
from schemefs.failures import ANY, Failures
from schemefs.fs import libfuse_hooks
from schemefs.fs.answering import Request, answering
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.operations import Operations
from schemefs.fs.waiting import Waiting
from schemefs.scheme import FailureFile, StaticDirectory
from schemefs.timers import Timers


def no_schemes() -> Operations:
    waiting = Waiting(Timers(), lambda: None, trio.current_time)
    return Operations(StaticDirectory({}), [], FailureFile(Failures(), ANY), waiting)


@answering
async def handler(_operations: Operations, _request: Request, failure: Exception) -> None:
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
        (MemoryError(), errno.ENOMEM, 0),
    ],
)
async def test_a_failure_is_an_errno_that_the_kernel_takes(failure: Exception, number: int, unexpected: int) -> None:
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


async def test_a_failure_with_a_number_that_the_mount_does_not_have_is_answered() -> None:
    operations = no_schemes()
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await operations.read(4711, 0, 1)
    assert (caught.value.errno, operations.unexpected) == (errno.EIO, 1)
