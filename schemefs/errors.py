"""The errors of schemes (an errno for the program, a sentence for the person) and of commands.

A mistake of the caller, or a refusal by the peer, is a SchemeError. Bad octets from the network are counted and
dropped, never raised. Any other exception is a fault of ours: the caller gets EIO, the log a traceback.
"""

from __future__ import annotations

import errno as errno_names
import os
from typing import Final

_OUT_OF_DESCRIPTORS: Final = {
    errno_names.EMFILE: "the daemon has no file descriptor left: its limit (ulimit -n) must be higher",
    errno_names.ENFILE: "this machine has no room for more open files: its limit (sysctl fs.file-max) must be higher",
}


def printable(text: str) -> str:
    r"""Return *text* as one line without control sequences: what is not printable is escaped, as `\\x1b` or `\\n`.

    For every text that may quote a peer: a terminal, or a reader of lines, must not take it for more than a text.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Return *text* with each of its lines `printable`."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


class SchemeError(Exception):
    """A file operation fails: the system call with `errno`; `err` files show `sentence`, the reason in English."""

    def __init__(self, errno: int, sentence: str) -> None:
        sentence = printable(sentence)  # it may quote a peer
        super().__init__(errno, sentence)
        self.errno = errno
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.sentence} ({errno_names.errorcode.get(self.errno, self.errno)}: {os.strerror(self.errno)})"


FAULTS: Final = (Exception, SystemExit)
"""What code of a plugin may raise. A library that calls sys.exit must not end the mount, nor leave a caller waiting."""


def out_of_descriptors(error: BaseException) -> SchemeError | None:
    """Return the error for the caller if *error*, or an error behind it, is that no file descriptor is left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OUT_OF_DESCRIPTORS:
            return SchemeError(cause.errno, _OUT_OF_DESCRIPTORS[cause.errno])
        cause = cause.__cause__ or cause.__context__
    return None


def refusal_of(error: Exception) -> SchemeError | None:
    """Return *error* if it is one for the caller, or what it means for the caller; None: it is a fault of ours."""
    return error if isinstance(error, SchemeError) else out_of_descriptors(error)


class PendingError:
    """An error that exactly one later call raises, as SO_ERROR of a socket does."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: SchemeError | None = None  # None: there is none, or it was raised already

    @property
    def errno(self) -> int:
        """The number of the error that waits; 0: none does."""
        return self.error.errno if self.error is not None else 0

    def set(self, errno: int, sentence: str) -> None:
        """Let the next `raise_once` fail; an error that was not raised yet is replaced."""
        self.error = SchemeError(errno, sentence)

    def raise_kept(self) -> None:
        """Raise the error if there is one, and keep it for `raise_once`."""
        if self.error is not None:
            raise SchemeError(self.error.errno, self.error.sentence)

    def raise_once(self) -> None:
        """Raise the error if there is one, and forget it."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # the error's traceback refers to this frame: a cycle


class StartError(Exception):
    """Why a daemon cannot start or a mount cannot end: one sentence for standard error."""
