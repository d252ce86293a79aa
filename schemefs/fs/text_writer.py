"""What one open file writes to a text: joins the writes of a program, and decides when they take effect.

    write      at offset 0 begins a text, at its end continues it; complete lines take effect (`WriteForm`)
    flush      close(2) of a descriptor: an unfinished line or a document takes effect, unless its opener holds another
    finish     fsync, the last close: it takes effect in any case
    truncate   ftruncate, O_TRUNC: the text is empty if nothing is written until the last close

Shells flush before the first write, and after each command of `{ a; b; } >file`. Builtins of shells, awk, and Python
without close ignore the error of close(2). So every error that can be an error of write(2) is one.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError, refusal_of
from schemefs.fs.writer_process import WriterProcess
from schemefs.scheme import WriteForm

if TYPE_CHECKING:
    from schemefs.scheme import Caller, TextFile

log = logging.getLogger("schemefs.fs")

Lengths = Callable[[], Container[int]]
"""Returns the lengths of the text, as the writer may have read it."""

LONGEST_LINE: Final = 4096  # octets of a command
LONGEST_TEXT: Final = 4 << 20  # octets of one open


class TextWriter:
    """The octets that one open file has written to *node*, and how far they are in force."""

    def __init__(self, node: TextFile, caller: Caller, flags: int, is_held: Callable[[], bool] = lambda: False) -> None:
        """*is_held* returns whether the process that opened the file can still write to it."""
        self._node = node
        self._is_held = is_held
        self._caller = caller
        self._appends = bool(flags & os.O_APPEND)
        self._adds = self._appends  # the octets add to the text in force; else they replace it
        self._is_emptied = bool(flags & os.O_TRUNC)  # and nothing was written since
        self._is_new = not self._is_emptied  # nothing was written or truncated yet
        self._text = bytearray()
        self._taken = 0  # octets written since the beginning of the text
        self._end = 0  # the offset that continues the text
        self._done = 0  # octets of _text that are in force
        self._tail = ""  # the unfinished line, if it is in force and may still be continued
        self._waits = False  # for `flush`
        self._refusal = ""  # why a part of the text is missing; no more of it is taken
        self._before: str | None = None  # the text in force before this open put anything in force
        self._put = ""  # the text in force after it did
        self._own = ""  # the lines that it has added
        self._process = WriterProcess()
        if self._is_emptied and node.may_be_empty:
            self._process.note(caller.pid)

    def write(self, offset: int, data: bytes, lengths: Lengths, thread: int, now: float) -> None:
        """Take *data*, which *thread* writes. SchemeError: none of it was taken."""
        node = self._node
        self._is_emptied = False
        if node.form is WriteForm.VALUE:
            node.write(data, self._caller, now)
            return
        try:
            if self._waits and self._process.thread != thread:
                self._drop_of_killed(now)
            self._place(offset, lengths)
            if len(self._text) + len(data) > LONGEST_TEXT:
                raise SchemeError(errno.EFBIG, f"a text has at most {LONGEST_TEXT} octets")
            if node.form is WriteForm.DOCUMENT or not data.endswith(b"\n"):
                self._process.note(thread)
            self._text += data
            if node.form is WriteForm.COMMANDS:
                self._apply_commands(now)
            elif node.form is WriteForm.LINES:
                self._put_in_force(self._text.rfind(b"\n") + 1, now)
        except (SchemeError, OSError) as error:
            self._refuse(data, self._refusal or _sentence(error), now)
            raise
        self._is_new = False
        self._taken += len(data)
        self._end += len(data)
        self._waits = len(self._text) > self._done

    def flush(self, now: float) -> None:
        """Do `finish`, unless a command of `{ a; b; } >file` has ended and the shell can start another."""
        if self._waits and not self._seen(self._is_held, now):
            self.finish(now)
        elif self._waits:
            self._drop_of_killed(now)

    def finish(self, now: float) -> None:
        """Put an unfinished line or a document in force. SchemeError: nothing of the text is in force."""
        if self._waits:
            self._drop_of_killed(now)
        if not self._waits:
            return
        self._waits = False
        if self._node.form is WriteForm.COMMANDS:
            line = bytes(self._text)
            self._text.clear()
            self._node.write(line, self._caller, now)
        else:
            try:
                self._put_in_force(len(self._text), now)
            except SchemeError:
                self._take_back(now)
                raise

    def truncate(self, size: int, lengths: Lengths) -> None:
        """Set the length: 0 begins an empty text. EINVAL: it is not the length that the text has."""
        if size == 0:
            self._begin()
            self._is_emptied, self._is_new = True, False
        elif size != self._end and not (self._is_new and size in lengths()):
            raise SchemeError(errno.EINVAL, f"a text can be made empty, but not {size} octets long")

    def close(self, now: float) -> None:
        """Do what is left at the last close. SchemeError: as `flush`."""
        try:
            self.finish(now)
            if self._is_emptied and self._node.may_be_empty and not self._process.was_killed():
                self._node.write(b"", self._caller, now)
        finally:
            self._process.close()

    def _seen(self, question: Callable[[], bool], now: float) -> bool:
        """Return the answer about a process. OSError: no descriptor is left to look, and what waits is dropped."""
        try:
            return question()
        except OSError as error:
            self._refuse(b"", _sentence(error), now)
            raise

    def _drop_of_killed(self, now: float) -> None:
        """Drop what waits if the process that wrote it was killed."""
        if self._seen(self._process.was_killed, now):
            del self._text[self._done :]
            self._waits = False
            self._refusal = "the process that wrote the beginning of this text was killed"

    def _place(self, offset: int, lengths: Lengths) -> None:
        """Decide what a write at *offset* does to the text. Commands, and a file in append mode, have no offsets."""
        is_command = self._node.form is WriteForm.COMMANDS
        if offset == 0 and not self._appends:
            self._begin()
        elif offset != self._end and not self._appends and not is_command:
            if not self._is_new or offset not in lengths():
                message = f"a text is written from its beginning, or continued at {self._end}; not at {offset}"
                raise SchemeError(errno.EINVAL, message)
            self._adds = True
            self._end = offset
        if self._refusal:
            what = "line" if is_command else "text"
            raise SchemeError(errno.EINVAL, f"{self._refusal}; write the {what} again from its beginning")

    def _begin(self) -> None:
        self._text.clear()
        self._taken = self._end = self._done = 0
        self._adds = self._appends
        self._tail = self._own = ""
        self._waits = False
        self._refusal = ""

    def _apply_commands(self, now: float) -> None:
        done = self._text.rfind(b"\n") + 1
        if len(self._text) - done > LONGEST_LINE:
            raise SchemeError(errno.EINVAL, f"the line is longer than {LONGEST_LINE} octets")
        lines = bytes(self._text[:done])
        if lines.strip() or (lines and not self._taken):  # an empty line is an error unless it follows a command
            self._node.write(lines, self._caller, now)
        del self._text[:done]

    def _put_in_force(self, done: int, now: float) -> None:
        """Put the first *done* octets of the text in force. An unfinished line gets its newline."""
        if done <= self._done:
            return
        node, caller = self._node, self._caller
        in_force = node.in_force(caller, now)
        if self._before is None:
            self._before = self._put = in_force
        text = bytes(self._text[:done])
        is_unfinished = not text.endswith(b"\n")
        if is_unfinished and node.form is WriteForm.LINES:
            text += b"\n"
        if self._adds:
            if self._tail:  # it is continued: the longer line replaces it
                in_force = _without(in_force, self._tail)
                node.write(in_force.encode(), caller, now)
                self._own = _without(self._own, self._tail)
            node.extend(text[self._done :], caller, now)
            added = node.in_force(caller, now)
            self._own += added.removeprefix(in_force) if added.startswith(in_force) else ""
        elif node.form is WriteForm.LINES and self._done and not self._tail and in_force == self._put:
            node.extend(text[self._done :], caller, now)
        else:
            node.write(text, caller, now)
        self._put = node.in_force(caller, now)
        self._tail = self._put[self._put.rstrip("\n").rfind("\n") + 1 :] if is_unfinished else ""
        self._done = self._text.rfind(b"\n") + 1 if is_unfinished else done

    def _refuse(self, data: bytes, sentence: str, now: float) -> None:
        """Drop the text. What continues it is refused, too: it would follow a gap."""
        if self._node.form is WriteForm.COMMANDS:
            has_gap = not data.endswith(b"\n")
        else:
            self._take_back(now)
            has_gap = self._taken > 0
        self._refusal = sentence if has_gap else ""
        self._text.clear()
        self._waits = False

    def _take_back(self, now: float) -> None:
        """Put in force what was before this open; lines that others have added meanwhile stay."""
        node, caller, before, own = self._node, self._caller, self._before, self._own
        self._before, self._own, self._tail, self._done = None, "", "", 0
        if before is None:
            return
        in_force = node.in_force(caller, now)
        try:
            if self._adds:
                if own:
                    node.write(_without(in_force, own).encode(), caller, now)
            elif before != in_force == self._put:
                node.write(before.encode(), caller, now)
        except SchemeError as error:
            log.error("a text could not be put back as it was: %s", error.sentence)  # noqa: TRY400 - no fault here


def _sentence(error: Exception) -> str:
    refusal = refusal_of(error)
    return str(error) if refusal is None else refusal.sentence


def _without(text: str, lines: str) -> str:
    """Return *text* without the last occurrence of each of *lines*."""
    gone = Counter(lines.splitlines(keepends=True))
    kept = []
    for line in reversed(text.splitlines(keepends=True)):
        if gone[line] > 0:
            gone[line] -= 1
        else:
            kept.append(line)
    return "".join(reversed(kept))
