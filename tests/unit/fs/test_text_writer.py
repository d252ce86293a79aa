"""What one open file writes to a text, without a mount: the writes are cut anywhere, and flushed anywhere."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.errors import SchemeError
from schemefs.fs.text_writer import LONGEST_LINE, LONGEST_TEXT, TextWriter
from schemefs.fs.writer_process import WriterProcess
from schemefs.scheme import Caller, TextFile, WriteForm

CALLER = Caller(0)
REPLACES = os.O_WRONLY | os.O_TRUNC


class Text(TextFile):
    """A text whose lines are words in lower case, ending in newlines."""

    may_be_empty = True

    def __init__(self, form: WriteForm, text: str = "") -> None:
        super().__init__(lambda: self.text, self._set, form=form)
        self.text = text
        self.commands: list[str] = []

    def _set(self, text: str, caller: Caller, now: float) -> None:
        if any(line and not line.islower() for line in text.splitlines()):
            raise SchemeError(errno.EINVAL, f"not in lower case: {text!r}")
        if self.form is WriteForm.COMMANDS:
            self.commands += text.splitlines()
        else:
            self.text = text


class Opened:
    """A descriptor: its position moves as the kernel's."""

    def __init__(
        self, node: Text, flags: int = REPLACES, position: int = 0, is_held: Callable[[], bool] = lambda: False
    ) -> None:
        self.node = node
        self.position = position
        self.writer = TextWriter(node, CALLER, flags, is_held)

    def write(self, text: str) -> None:
        data = text.encode()
        self.writer.write(self.position, data, lambda: (len(self.node.text),), 0, 0.0)
        self.position += len(data)

    def refused(self, text: str) -> str:
        with pytest.raises(SchemeError) as caught:
            self.write(text)
        return caught.value.sentence

    def flush(self) -> None:
        self.writer.flush(0.0)

    def close(self) -> None:
        self.writer.close(0.0)


@st.composite
def written(draw):
    """Return lines and the pieces in which they are written; None is a flush."""
    text = "".join(f"{line}\n" for line in draw(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1)))
    if draw(st.booleans()):
        text = text[:-1]
    cuts = sorted(draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    pieces: list[str | None] = []
    for start, end in pairwise(cuts):
        pieces += [text[start:end], *draw(st.sampled_from([(), (None,), (None, None)]))]
    return text, pieces


@given(written(), st.sampled_from([WriteForm.LINES, WriteForm.DOCUMENT]), st.sampled_from(["replace", "append", "r+"]))
def test_pieces_and_flushes_make_the_same_text(text_and_pieces, form, mode) -> None:
    text, pieces = text_and_pieces
    node = Text(form, "before\n")
    flags = {"replace": REPLACES, "append": os.O_WRONLY | os.O_APPEND, "r+": os.O_RDWR}[mode]
    opened = Opened(node, flags, len(node.text) if mode == "r+" else 0)
    base = "" if mode == "replace" else "before\n"
    so_far = ""
    for piece in pieces:
        if piece is None:
            opened.flush()
        else:
            opened.write(piece)
            so_far += piece
            if form is WriteForm.LINES and so_far.endswith("\n"):
                assert node.text == base + so_far
    opened.close()
    newline = "" if text.endswith("\n") or form is WriteForm.DOCUMENT else "\n"
    assert node.text == f"{base}{text}{newline}"


@given(written())
def test_commands_are_applied_line_by_line(text_and_pieces) -> None:
    text, pieces = text_and_pieces
    node = Text(WriteForm.COMMANDS)
    opened = Opened(node)
    for piece in filter(None, pieces):
        opened.write(piece)
        complete = text[: opened.position].rpartition("\n")[0]
        assert node.commands == complete.splitlines()
    opened.close()
    assert node.commands == text.splitlines()


@given(written(), st.booleans(), st.booleans())
def test_a_refusal_leaves_the_text_as_it_was(text_and_pieces, appends, ends_in_newline) -> None:
    _, pieces = text_and_pieces
    node = Text(WriteForm.LINES, "before\n")
    opened = Opened(node, os.O_WRONLY | os.O_APPEND if appends else REPLACES)
    for piece in pieces:
        if piece is None:
            opened.flush()
        else:
            opened.write(piece)
    if ends_in_newline:
        opened.refused("\nBAD\n")
        assert node.text == "before\n"
        assert "BAD" in opened.refused("more\n")
    else:
        opened.write("\nBAD")
        with pytest.raises(SchemeError):
            opened.flush()
    opened.close()
    assert node.text == "before\n"


def test_a_text_replaced_meanwhile_stays_when_this_one_is_refused() -> None:
    node = Text(WriteForm.LINES, "before\n")
    opened = Opened(node)
    opened.write("one\n")
    other = Opened(node)
    other.write("other\n")
    other.close()
    opened.refused("BAD\n")
    opened.close()
    assert node.text == "other\n"


def test_a_text_replaced_meanwhile_is_replaced_again_as_a_whole() -> None:
    node = Text(WriteForm.LINES, "before\n")
    opened = Opened(node)
    opened.write("one\n")
    Opened(node).write("other\n")
    opened.write("two\n")
    assert node.text == "one\ntwo\n"


def test_nothing_is_in_force_if_no_descriptor_is_left_to_look_at_the_writer() -> None:
    def fail() -> bool:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    node = Text(WriteForm.LINES, "before\n")
    opened = Opened(node, is_held=fail)
    opened.write("one\ntwo")
    with pytest.raises(OSError, match="Too many open files"):
        opened.flush()
    assert node.text == "before\n"
    assert "no file descriptor" in opened.refused("more\n")
    opened.close()
    assert node.text == "before\n"


def test_an_empty_command_is_an_error_only_at_the_beginning() -> None:
    node = TextFile(write=lambda text, _caller, _now: text.strip() or pytest.fail("empty"))
    writer = TextWriter(node, CALLER, REPLACES)
    writer.write(0, b"up\n", tuple, 0, 0.0)
    writer.write(3, b"\n", tuple, 0, 0.0)
    writer.close(0.0)


def test_the_rest_of_a_refused_line_is_no_command() -> None:
    node = Text(WriteForm.COMMANDS)
    opened = Opened(node)
    opened.write("one\n")
    opened.refused("BAD\ntw")
    opened.refused("o\n")
    opened.write("three\n")
    assert node.commands == ["one", "three"]


def test_limits() -> None:
    command = Opened(Text(WriteForm.COMMANDS))
    command.refused("a" * (LONGEST_LINE + 1))
    document = Opened(Text(WriteForm.DOCUMENT))
    document.write("a" * LONGEST_TEXT)
    document.refused("a")
    document.close()
    assert document.node.text == ""


def test_octets_are_whole_writes_at_any_offset() -> None:
    values = []
    node = TextFile(write=lambda text, _caller, _now: values.append(text), form=WriteForm.VALUE)
    writer = TextWriter(node, CALLER, REPLACES)
    writer.write(0, b"\x01", tuple, 0, 0.0)
    writer.write(7, b"\x02\x03", tuple, 0, 0.0)
    writer.close(0.0)
    assert values == ["\x01", "\x02\x03"]


@pytest.mark.parametrize("is_reaped", [False, True])
@pytest.mark.parametrize("knows_the_gone", [False, True])
@pytest.mark.parametrize("number", [0, signal.SIGKILL, signal.SIGTERM])
def test_a_writer_is_known_to_be_killed(monkeypatch, is_reaped, knows_the_gone, number) -> None:
    writer = WriterProcess()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        writer.note(process.pid)
        assert not writer.was_killed()
        if number:
            process.send_signal(number)
        else:
            process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | (0 if is_reaped else os.WNOWAIT))
        if not knows_the_gone:
            monkeypatch.setattr(writer, "_code_of_gone", lambda: 0)
        elif is_reaped and not writer._code_of_gone() and number:
            pytest.skip("Linux before 6.15 forgets how a process ended")
        assert writer.was_killed() == (bool(number) and (knows_the_gone or not is_reaped))
    writer.close()


def test_a_writer_that_cannot_be_seen_is_not_known_to_be_killed() -> None:
    writer = WriterProcess()
    writer.note(0)
    writer.note(2**22 + 1)  # above the largest id
    assert not writer.was_killed()
    writer.close()
