"""What the kernel is answered when a handler raises."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from schemefs.errors import SchemeError
from schemefs.fs import libfuse_hooks
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.operations import Operations, Request, answering
from schemefs.fs.waiting import Waiting
from schemefs.scheme import StaticDirectory
from schemefs.timers import Timers


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
    ],
)
async def test_a_failure_is_an_errno_that_the_kernel_takes(failure: Exception, number: int, unexpected: int) -> None:
    operations = Operations(StaticDirectory({}), [], Waiting(Timers(), lambda: None, trio.current_time))
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
    requests = iter([(7, os.O_NONBLOCK), (9, 0)])
    monkeypatch.setattr(libfuse_hooks, "request", lambda: next(requests))
    operations = Operations(StaticDirectory({}), [], Waiting(Timers(), lambda: None, trio.current_time))
    answers: list[Request] = []

    async def call() -> None:
        answers.append(await slow_handler(operations))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(call)
    assert sorted(answers) == [(7, os.O_NONBLOCK), (9, 0)]
