"""What a scheme raises at its caller (an errno for the program, a sentence for the person), and what a command says.

Who is to blame decides what happens: a caller's mistake (or a peer's refusal) is a SchemeError; bad octets from the
network are counted and dropped, never raised; our own faults raise anything else and become EIO with a traceback.
"""

from __future__ import annotations

import errno as errno_names
import os


class SchemeError(Exception):
    """The answer to a file operation that can't be carried out.

    `errno` is what the system call fails with; `sentence` says why in English, and is what `err` files show.
    """

    def __init__(self, errno: int, sentence: str) -> None:
        super().__init__(errno, sentence)
        self.errno = errno
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.sentence} ({errno_names.errorcode.get(self.errno, self.errno)}: {os.strerror(self.errno)})"


class PendingError:
    """An error that exactly one later call raises, as SO_ERROR of a socket does."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: SchemeError | None = None  # None: there is none, or it was raised already

    def set(self, errno: int, sentence: str) -> None:
        """Let the next `raise_once` fail; an error that was not raised yet is replaced."""
        self.error = SchemeError(errno, sentence)

    def raise_once(self) -> None:
        """Raise the error if there is one, and forget it."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class StartError(Exception):
    """What keeps a daemon from starting or a mount from ending: one clear sentence for whoever typed the command."""
