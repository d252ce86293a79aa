"""The name of a conversation, such as `tcp/7`: as an argument, or that of an open file."""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from schemefs.errors import StartError

_ATTRIBUTE: Final = "user.conversation"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*/\d+")


def is_conversation_name(text: str) -> bool:
    """Return whether *text* is such a name; there need be no conversation of it."""
    return _NAME.fullmatch(text) is not None


def conversation_of(descriptor: int) -> str:
    """Return the conversation of *descriptor*. OSError: it has none, or its mount has ended."""
    return os.getxattr(descriptor, _ATTRIBUTE).decode()


def conversation_of_argument(descriptor: int) -> str:
    """Return the conversation of a descriptor that the user has named. StartError: it has none, or is not open."""
    try:
        return conversation_of(descriptor)
    except (OSError, OverflowError) as error:  # OverflowError: it is no int of C
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            raise StartError(f"descriptor {descriptor} is not open") from None
        raise StartError(f"descriptor {descriptor} is not a conversation of a schemefs") from None
