"""What the kernel is answered when a handler raises."""

from __future__ import annotations

import errno

import pytest
import trio

from schemefs.errors import SchemeError
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.operations import Operations, answering
from schemefs.fs.waiting import Waiting
from schemefs.scheme import StaticDirectory
from schemefs.timers import Timers


@answering
async def handler(_operations: Operations, failure: Exception) -> None:
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
