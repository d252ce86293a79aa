"""The threads that take the program's calls, and the table of handlers.

    a thread   receive ─> handler ─> reply ─> receive …
                             └ will wait (connect, accept, recv): first makes sure that another thread receives

So one thread does the work of a program that calls from one thread at a time, and a call that waits holds up no other.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from schemefs.errors import printable
from schemefs.run import control, messages, names, opening, options, tracing
from schemefs.run.architectures import Architecture
from schemefs.run.call import Call, Failed
from schemefs.run.listener import Listener, Notification
from schemefs.run.name_servers import NameServers
from schemefs.run.session import Handler, Outcome, Result, Session
from schemefs.run.tree import Tree
from schemefs.run.waits import INTERRUPT, Waits

HANDLERS: Final[Mapping[str, Handler]] = {
    "socket": opening.socket,
    "connect": opening.connect,
    "bind": opening.bind,
    "listen": opening.listen,
    "accept": opening.accept,
    "accept4": opening.accept4,
    "getsockname": names.getsockname,
    "getpeername": names.getpeername,
    "setsockopt": options.setsockopt,
    "getsockopt": options.getsockopt,
    "shutdown": control.shutdown,
    "ioctl": control.ioctl,
    "sendto": messages.sendto,
    "recvfrom": messages.recvfrom,
    "sendmsg": messages.sendmsg,
    "recvmsg": messages.recvmsg,
    "sendmmsg": messages.sendmmsg,
    "recvmmsg": messages.recvmmsg,
    "splice": messages.splice,
    "ptrace": tracing.ptrace,
    "process_vm_writev": tracing.process_vm_writev,
}
MOST_IDLE: Final = 4  # threads that wait for calls
STACK: Final = 256 << 10  # octets of a thread's stack: hundreds of calls may wait


class Supervisor:
    """Answers the calls of a program and of all its children."""

    def __init__(
        self,
        listener: Listener,
        architecture: Architecture,
        tree: Tree,
        name_servers: NameServers,
        *,
        verbose: bool,
    ) -> None:
        self._listener = listener
        self._handlers = {architecture.numbers[name]: (name, handler) for name, handler in HANDLERS.items()}
        self._verbose = verbose
        self._lock = threading.Lock()
        self._idle = 0
        self._said: set[tuple[str, str]] = set()
        waits = Waits(self._ensure_receiver)
        self._session = Session(listener, tree, waits, name_servers, self._explain, records=verbose)
        threading.stack_size(STACK)

    def start(self) -> None:
        """Begin to take calls."""
        self._ensure_receiver()

    def _ensure_receiver(self) -> None:
        """Have a thread receive, other than the caller's."""
        with self._lock:
            if self._idle:
                return
            self._idle += 1
        try:
            threading.Thread(target=self._serve, name="calls", daemon=True).start()
        except RuntimeError:  # no thread or memory is left: the next call that waits tries again
            with self._lock:
                self._idle -= 1
            raise Failed(errno.ENOBUFS, "no thread is left for this call") from None

    def _serve(self) -> None:
        """Take calls until there are threads enough. The thread is counted as idle when this begins.

        The signals of the process are the main thread's: one that came here would end a reply to the program halfway.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {INTERRUPT})
        while (notification := self._listener.receive()) is not None:
            with self._lock:
                self._idle -= 1
            self._answer(notification)
            with self._lock:
                if self._idle >= MOST_IDLE:
                    return
                self._idle += 1

    def _answer(self, notification: Notification) -> None:
        name, handler = self._handlers[notification.number]
        call = Call(self._listener, notification, name)
        number, sentence, expected = 0, "", False
        result: Result = 0
        try:
            result = handler(self._session, call)
        except Failed as failure:
            number, sentence, expected = failure.errno, failure.sentence, failure.expected
        except OSError as error:
            number = error.errno or errno.EIO
        except Exception:  # noqa: BLE001 - a fault of ours must not leave the program waiting
            traceback.print_exc()
            number = errno.EIO
        try:
            if result is Outcome.NATIVE:
                self._listener.let_pass(notification)
            elif result is not Outcome.REPLIED:
                assert isinstance(result, int)
                self._listener.reply(notification, result, number)
            self._report(call, result, number, sentence, expected=expected)
        finally:
            call.close()

    def _report(self, call: Call, result: Result, number: int, sentence: str, *, expected: bool) -> None:
        if self._verbose:
            value = call.value if result is Outcome.REPLIED else result
            words = "native" if result is Outcome.NATIVE else _outcome(value, number)
            reason = f": {sentence}" if sentence else ""
            _say(f"[{call.thread}] {call.name}({call.about or _shown(call)}) = {words}{reason}")
        elif sentence and not expected:
            self._explain(call, f"{sentence} ({errno.errorcode.get(number, number)})")

    def _explain(self, call: Call, sentence: str) -> None:
        """Print a sentence about a call, once in a run."""
        if (call.name, sentence) not in self._said:
            self._said.add((call.name, sentence))
            _say(f"schemefs run: {_program(call)}: {call.name}: {sentence}")


def _outcome(result: Result, number: int) -> str:
    if number:
        return f"-1 {errno.errorcode.get(number, number)}"
    return str(result)


def _shown(call: Call) -> str:
    return ", ".join(f"{argument:#x}" if argument > 0xFFFF else str(argument) for argument in call.arguments[:3])


def _program(call: Call) -> str:
    try:
        return f"{Path(f'/proc/{call.thread}/comm').read_text().strip()} ({call.thread})"
    except OSError:
        return str(call.thread)


def _say(line: str) -> None:
    """Print a line in one write, as the program shares standard error."""
    text = f"{printable(line)}\n".encode(errors="replace")
    try:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, text)
    except OSError:
        return
