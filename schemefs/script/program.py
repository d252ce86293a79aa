"""The program of a script: the calls on its file, by the contract that the mount uses (`schemefs/handle.py`)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.conversation.event_log import event_names
from schemefs.errors import SchemeError
from schemefs.net.buffer import total_length
from schemefs.scheme import O_RDWR, Event, FollowedFile, Handle, StreamFile, TextFile
from schemefs.script.stack import CALLER

if TYPE_CHECKING:
    from schemefs.log import LogRing
    from schemefs.script.notation import Call
    from schemefs.script.stack import Stack

AGAIN: Final = "EAGAIN"
DONE: Final = "done"


class Program:
    """One program with one conversation, and perhaps the listener that it is from. A call never waits."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._file: Handle | None = None
        self._listener: Handle | None = None
        self.events: LogRing | None = None  # the `events.json` of the conversation
        self.has_accepted = False
        self.reason = ""  # why the last call failed, in the stack's own words; empty: it did not

    def do(self, call: Call) -> str:
        """Make the call, and return its result. ValueError: the program has no file for it."""
        self.reason = ""
        try:
            return str(getattr(self, f"_{call.name}")(call))
        except SchemeError as error:
            self.reason = error.sentence
            return errno.errorcode[error.errno]

    def _open(self, call: Call) -> str:
        self._file = self._stack.tcp.open(call.argument, O_RDWR, CALLER, self._stack.now)
        self._follow()
        return DONE

    def _opened(self, _call: Call) -> str:
        return AGAIN if self._opened_file.opening(self._stack.now) else DONE

    def _listen(self, call: Call) -> str:
        self._listener = self._stack.tcp.open(call.argument, O_RDWR, CALLER, self._stack.now)
        return DONE

    def _accept(self, _call: Call) -> str:
        if self._listener is None:
            message = "nothing listens; `app: listen :80` comes before"
            raise ValueError(message)
        line = self._listener.read(4096, self._stack.now)
        if line is None:
            return AGAIN
        number = bytes(memoryview(line[0] if isinstance(line, tuple) else line)).split()[0].decode()
        self._file = self._stream(f"{number}/data")
        self.has_accepted = True
        self._follow()
        return DONE

    def _write(self, call: Call) -> str:
        taken = self._opened_file.write(memoryview(bytes(call.size)), self._stack.now)
        return AGAIN if taken is None else f"{taken} octets"

    def _read(self, call: Call) -> str:
        taken = self._opened_file.read(call.size, self._stack.now)
        if taken is None:
            return AGAIN
        count = total_length(taken if isinstance(taken, tuple) else (taken,))
        return f"{count} octets" if count else "end"

    def _poll(self, _call: Call) -> str:
        file = self._file or self._listener
        if file is None:
            return self._opened_file.name
        return "|".join(event_names(file.fevent(Event.ALL))) or "nothing"

    def _state(self, _call: Call) -> str:
        status = self._stack.tcp.lookup(self._path("status"), CALLER)
        assert isinstance(status, TextFile), "status is a text"
        return status.read(CALLER, self._stack.now).decode().partition("\n")[0].removeprefix("state=")

    def _ctl(self, call: Call) -> str:
        ctl = self._stream(self._path("ctl"))
        ctl.write(memoryview(f"{call.argument}\n".encode()), self._stack.now)
        ctl.close(self._stack.now)
        return DONE

    def _close(self, _call: Call) -> str:
        self._opened_file.close(self._stack.now)
        self._file = None
        return DONE

    @property
    def _opened_file(self) -> Handle:
        if self._file is None:
            message = "the program has no open file; `app: open HOST:PORT` or `app: accept` comes before"
            raise ValueError(message)
        return self._file

    def _path(self, name: str) -> str:
        return f"{self._opened_file.name.partition('/')[2]}/{name}"

    def _stream(self, path: str) -> Handle:
        node = self._stack.tcp.lookup(path, CALLER)
        assert isinstance(node, StreamFile), f"{path} is a stream"
        return node.open(O_RDWR, CALLER, self._stack.now)

    def _follow(self) -> None:
        events = self._stack.tcp.lookup(self._path("events.json"), CALLER)
        assert isinstance(events, FollowedFile), "events.json is a log"
        self.events = events.ring
