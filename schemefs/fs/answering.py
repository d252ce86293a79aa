"""The answer to a request whose handler raises: an errno, and for `err` the sentence.

A SchemeError has both. Any other exception is a fault of this program or of a plugin: it is logged with its traceback,
counted and answered with EIO, and the mount goes on.

A handler that may park (`may_park`) is run by `Waiting`. When it has parked, pyfuse3 is told that the request is
answered, and the answer is sent later without it.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar, TypeVarTuple

from schemefs.errors import FAULTS, SchemeError, out_of_descriptors
from schemefs.fs import libfuse_hooks
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.waiting import PARKED

if TYPE_CHECKING:
    from schemefs.fs.waiting import Waiting
    from schemefs.net.buffer import Buffer, Chunks

log = logging.getLogger("schemefs.fs")

# FUSE's unique; the flags of the open file at this moment, for read and write; the caller's pid (of the thread) and uid
Request = tuple[int, int, int, int]
MAX_ERRNO: Final = 511  # the kernel refuses a reply with a larger one, and the caller would wait for ever


class HasHandlers(Protocol):
    """The object that has the handlers."""

    unexpected: int  # exceptions other than SchemeError
    waiting: Waiting

    def record_failure(self, call: str, request: Request, args: tuple[Any, ...], failure: SchemeError) -> None:
        """Record for `err` that the handler *call* has failed with *args*."""


Handlers = TypeVar("Handlers", bound=HasHandlers)
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
Call = Coroutine[Any, None, "Buffer | Chunks"]


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
        except FAULTS as error:  # `errno_of` logs those that are no SchemeErrors
            raise pyfuse3.FUSEError(errno_of(error, self, handler.__name__, request, args)) from None

    return answer


def may_park(
    handler: Callable[[Handlers, Request, *Arguments], Call],
) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
    """As `answering`, for a *handler* that may park. What it returns is sent by `answer_now`, not by pyfuse3."""

    @functools.wraps(handler)
    async def answer(self: Handlers, *args: *Arguments) -> NoReturn:
        answer_now(self, handler, libfuse_hooks.request(), *args)
        raise pyfuse3.FUSEError(libfuse_hooks.ANSWERED)

    return answer


def answer_now(
    handlers: Handlers, handler: Callable[[Handlers, Request, *Arguments], Call], request: Request, *args: *Arguments
) -> None:
    """Run *handler*, and answer the request now, or once the call that has parked ends."""
    name = handler.__name__
    try:
        answer = handlers.waiting.begin(handler(handlers, request, *args), _finish, handlers, name, request, args)
        if answer is not PARKED:
            send(request[0], 0, answer)
    except FAULTS as error:  # `errno_of` logs those that are no SchemeErrors
        send(request[0], -errno_of(error, handlers, name, request, args), b"")


def _finish(
    handlers: HasHandlers,
    name: str,
    request: Request,
    args: tuple[Any, ...],
    answer: Buffer | Chunks,
    failure: BaseException | None,
) -> None:
    """Answer a request whose handler had parked."""
    try:
        if failure is not None:
            raise failure
        send(request[0], 0, answer)
    except FAULTS as error:
        send(request[0], -errno_of(error, handlers, name, request, args), b"")


def send(unique: int, error: int, octets: Buffer | Chunks) -> None:
    """Send the answer of a request: a negative errno, or 0 and its octets. TypeError: one of them is no buffer."""
    failure = libfuse_hooks.reply(unique, error, octets)
    if failure not in (0, errno.ENOENT):  # ENOENT: the request is gone, as after `umount -f`
        log.error("the answer to request %d could not be sent: %s", unique, os.strerror(failure))


def errno_of(error: BaseException, handlers: HasHandlers, name: str, request: Request, args: tuple[Any, ...]) -> int:
    """Return the errno for the caller of the handler *name*, which has raised *error*, and record it."""
    failure = _failure(error, name)
    if failure is None:
        handlers.unexpected += 1
        log.error("unexpected failure in %s%r", name, args, exc_info=error)
        failure = SchemeError(errno.EIO, "a fault of the daemon; logging/net/schemefs.log has the traceback")
    handlers.record_failure(name, request, args, failure)
    return failure.errno


def _failure(error: BaseException, call: str) -> SchemeError | None:
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
