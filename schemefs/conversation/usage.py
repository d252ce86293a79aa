"""Which process uses a conversation: the last one that read or wrote, or the one that the opener has named.

The mount stores the thread of each read and write (`schemefs.handle.Usage`), and the process is looked up when `status`
is read. A process that acts for others, as `schemefs run` does, names the other one with the verb `owner`; its name is
shown until a third process has read or written itself.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.scheme import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    ProgramOf = Callable[[int], Program | None]

LONGEST_NAME: Final = 64
HELP: Final = "show this process in `status`; only for the process that opened the conversation"


class UsedConversation:
    """The part of a conversation that remembers which process uses it. A thread is 0 while none is known."""

    __slots__ = ("made_by", "owner_named", "used_by")

    def __init__(self) -> None:
        self.made_by = 0  # the thread that opened it: by clone, an address or accept
        self.used_by = 0  # the thread whose read or write was the last
        self.owner_named: Program | None = None  # by the process of `made_by`


def program(conversation: UsedConversation, program_of: ProgramOf) -> Program | None:
    """Return the process to show; None: none has used it, or it is gone."""
    named = conversation.owner_named
    if not conversation.used_by:
        return named or program_of(conversation.made_by)
    user = program_of(conversation.used_by)
    if named is None or (user is not None and not _is_same(user, program_of(conversation.made_by))):
        return user
    return named


def _is_same(one: Program, other: Program | None) -> bool:
    return other is not None and one.pid == other.pid


def name_owner(conversation: UsedConversation, text: str, thread: int, program_of: ProgramOf) -> None:
    """Execute the verb for *thread*, which opened the ctl. EACCES: it is not of the process that opened it all."""
    maker, caller = program_of(conversation.made_by), program_of(thread)
    if thread != conversation.made_by and (caller is None or not _is_same(caller, maker)):
        raise SchemeError(errno.EACCES, "only the process that opened the conversation names its owner")
    number, _, name = text.partition(" ")
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 1 << 22):
        raise SchemeError(errno.EINVAL, f"owner takes PID [NAME], not {text!r}")
    found = program_of(int(number)) if not name else None
    conversation.owner_named = Program(int(number), (found.name if found else name)[:LONGEST_NAME])
