"""`schemefs wait` and `schemefs which`: readiness and conversation of a shell's open file.

Both are children of the shell and inherit its descriptors, so the number of `exec 3<>…` means the same file here.
"""

from __future__ import annotations

import errno
import math
import os
import select
from typing import Final

from schemefs.errors import StartError

CONVERSATION: Final = "user.conversation"
TIMED_OUT: Final = 124  # the exit status, as of timeout(1)
MAX_WAIT: Final = 2**31 / 1000 - 1  # seconds: poll(2) takes milliseconds in an int


def wait(descriptor: int, *, readable: bool, writable: bool, timeout: float | None) -> bool:
    """Wait until a read (a write) on *descriptor* would not block. False: the time limit has passed.

    An error and the end of file count as ready. *timeout* is in seconds; None: no limit.
    """
    poller = select.poll()
    poller.register(descriptor, (select.POLLIN if readable else 0) | (select.POLLOUT if writable else 0))
    ready = poller.poll(None if timeout is None else math.ceil(min(timeout, MAX_WAIT) * 1000))
    if ready and ready[0][1] & select.POLLNVAL:
        raise StartError(f"descriptor {descriptor} is not open")
    return bool(ready)


def which(descriptor: int) -> str:
    """Return the conversation of *descriptor*, such as `tcp/7`."""
    try:
        return os.getxattr(descriptor, CONVERSATION).decode()
    except OSError as error:
        if error.errno == errno.EBADF:
            raise StartError(f"descriptor {descriptor} is not open") from None
        raise StartError(f"descriptor {descriptor} is not a conversation of a schemefs") from None
