"""The answer to a request whose handler raises: an errno, and for `err` the sentence.

A SchemeError has both. Any other exception is a fault of this program or of a plugin: it is logged with its traceback,
counted and answered with EIO, and the mount goes on.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from schemefs.errors import SchemeError, out_of_descriptors
from schemefs.fs import libfuse_hooks
from schemefs.fs.libfuse_hooks import pyfuse3

log = logging.getLogger("schemefs.fs")

# FUSE's unique; the flags of the open file at this moment, for read and write; the caller's pid (of the thread) and uid
Request = tuple[int, int, int, int]
MAX_ERRNO: Final = 511  # the kernel refuses a reply with a larger one, and the caller would wait for ever


class RecordsFailures(Protocol):
    """The object that has the handlers."""

    unexpected: int  # exceptions other than SchemeError

    def record_failure(self, call: str, request: Request, args: tuple[Any, ...], failure: SchemeError) -> None:
        """Record for `err` that the handler *call* has failed with *args*."""


Handlers = TypeVar("Handlers", bound=RecordsFailures)
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


def answering(
    handler: Callable[[Handlers, Request, *Arguments], Awaitable[Result]],
) -> Callable[..., Coroutine[Any, Any, Result]]:
    """Give *handler* the current request, and turn what it raises into an errno for the kernel."""

    @functools.wraps(handler)
    async def answer(self: Handlers, *args: *Arguments) -> Result:
        # The hooks hold the current request only until the first await, so it is read here and passed on.
        request = libfuse_hooks.request()
        try:
            return await handler(self, request, *args)
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            failure = _failure(error, handler.__name__)
            if failure is None:
                self.unexpected += 1
                log.exception("unexpected failure in %s%r", handler.__name__, args)
                failure = SchemeError(errno.EIO, "a fault of the daemon; logging/net/schemefs.log has the traceback")
            self.record_failure(handler.__name__, request, args, failure)
            raise pyfuse3.FUSEError(failure.errno) from None

    return answer


def _failure(error: Exception, call: str) -> SchemeError | None:
    """Return the error for the caller; None: *error* is a fault."""
    if isinstance(error, SchemeError) and 0 < error.errno <= MAX_ERRNO:
        return error
    failure = out_of_descriptors(error)
    if isinstance(error, MemoryError):  # of this request alone: what it would have needed is free again
        failure = SchemeError(errno.ENOMEM, "the daemon could not allocate memory for this call")
    if failure is not None:
        log.warning("%s: %s", call, failure.sentence)
    return failure


def refuse(name: str) -> Any:
    """Return the handler of an operation that this tree does not have: it answers EPERM."""

    async def answer(_self: object, *_args: object) -> None:
        raise pyfuse3.FUSEError(errno.EPERM)

    answer.__name__ = name
    return answer
