"""What the open files of a conversation show as extended attributes: for a process that has only the descriptor.

user.conversation   tcp/7
user.local          127.0.0.1:49152; empty: no address yet
user.remote         127.0.0.1:80; empty: no peer
user.error          the errno that the next call fails with, 0: none; reading it takes nothing, unlike SO_ERROR
user.peek           the octets, or the datagram, that the next read returns, at most 64 KiB; they stay
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.conversation.protocol import Peekable
from schemefs.errors import SchemeError
from schemefs.net.buffer import joined

if TYPE_CHECKING:
    from schemefs.conversation.conversation import Conversation

LARGEST: Final = 1 << 16  # octets of an extended attribute (XATTR_SIZE_MAX)


def local(conversation: Conversation) -> str:
    """Return the local address; empty: there is none yet."""
    side = conversation.engine or conversation.listener
    return side.local if side is not None else ""


def remote(conversation: Conversation) -> str:
    """Return the peer's address; empty: there is no peer."""
    return conversation.engine.remote if conversation.engine is not None else ""


def attribute(conversation: Conversation, name: str, now: float) -> bytes | None:
    """Return `user.NAME`, for the names above but the first; None: there is no such name.

    `peek` has no octets at the end of file, and raises EAGAIN where a read would block.
    """
    match name:
        case "local":
            return local(conversation).encode()
        case "remote":
            return remote(conversation).encode()
        case "error":
            return b"%d" % _pending_errno(conversation)
        case "peek":
            return _peek(conversation, now)
        case _:
            return None


def _pending_errno(conversation: Conversation) -> int:
    engine = conversation.engine
    if engine is None or not isinstance(engine, Peekable):
        return 0
    return engine.pending_errno


def _peek(conversation: Conversation, now: float) -> bytes | None:
    engine = conversation.connected()
    if not isinstance(engine, Peekable):
        return None
    found = engine.peek(LARGEST, now)
    if found is None:
        raise SchemeError(errno.EAGAIN, f"{conversation.name} has nothing to read yet")
    return joined(found)
