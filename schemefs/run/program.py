"""CMD as a child process under the filter: its start, the signals that reach it, and its exit status.

The child is in the process group of `schemefs run`, so the terminal's signals reach it by themselves, and the
supervisor ignores them. It forwards those that a process sends to its own process id, SIGINT too. When CMD is stopped
at a terminal, the supervisor stops too, so that a shell's job control sees it. Otherwise it runs on: only CMD may be
sent the SIGCONT.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

from schemefs.errors import StartError
from schemefs.run.architectures import Architecture
from schemefs.run.listener import Listener, install, libc

_INTERRUPTING: Final = (signal.SIGINT, signal.SIGQUIT)
_SIGNAL: Final = struct.Struct("=I4xi116x")  # struct signalfd_siginfo: the number and the code
_SI_KERNEL: Final = 0x80
_OF_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_PIDFD_GETFD: Final = 438
_PR_SET_CHILD_SUBREAPER: Final = 36


class Program:
    """A started program. `listener` has its calls."""

    def __init__(self, command: Sequence[str], architecture: Architecture) -> None:
        """Start *command*; it waits at its first notified call. StartError: it can't be started, or not filtered."""
        # Children that CMD leaves behind stay descendants: Yama lets a process read the memory of no other.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        reports, reports_of_child = os.pipe()
        go_of_child, go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, architecture, reports_of_child, go_of_child)
        self._follow_signals()
        os.close(reports_of_child)
        os.close(go_of_child)
        try:
            self.listener = Listener(self._take_listener(reports))
            os.write(go, b"x")
            report = os.read(reports, 4096)  # empty: exec has closed the child's end
            if report:
                raise StartError(report.decode())
        except BaseException:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise
        finally:
            os.close(reports)
            os.close(go)

    def _take_listener(self, reports: int) -> int:
        """Duplicate the listener: the child can't send it, as its own filter would notify the call."""
        octets = os.read(reports, 4096)
        if len(octets) != 4:
            raise StartError(octets.decode(errors="replace") or "the program ended before it was started")
        process = os.pidfd_open(self.pid)
        try:
            listener = libc.syscall(_PIDFD_GETFD, process, struct.unpack("=i", octets)[0], 0)
        finally:
            os.close(process)
        if listener < 0:
            why = os.strerror(ctypes.get_errno())
            raise StartError(f"the descriptors of a child process can't be read: {why} (kernel.yama.ptrace_scope)")
        return int(listener)

    def _follow_signals(self) -> None:
        """Forward signals from now on; ignore those of the terminal, which reach the program by themselves.

        Each signal makes `_signals` or `_interrupts` readable: one that comes just before the supervisor waits must not
        wait with it. SIGINT and SIGQUIT are read with their origin, so they stay blocked.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTING)
        mask = sum(1 << number - 1 for number in _INTERRUPTING)
        self._interrupts = libc.signalfd(-1, ctypes.byref(ctypes.c_uint64(mask)), os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _OF_TERMINAL:
            signal.signal(number, signal.SIG_IGN)
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _forward(self, number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end of the program; return its exit status, as a shell gives it for a signal."""
        poller = select.poll()
        poller.register(self._signals, select.POLLIN)
        poller.register(self._interrupts, select.POLLIN)
        while (status := self._ended()) is None:
            poller.poll()
            with suppress(BlockingIOError):
                os.read(self._signals, 4096)
            with suppress(BlockingIOError):
                self._forward_interrupt(os.read(self._interrupts, _SIGNAL.size))
        return status

    def _forward_interrupt(self, octets: bytes) -> None:
        """Forward a SIGINT or SIGQUIT that another process has sent here alone; the terminal's come from the kernel."""
        number, code = _SIGNAL.unpack(octets)
        if code != _SI_KERNEL:
            self._forward(number, None)

    def _ended(self) -> int | None:
        """Look at the children; return the program's exit status if it has ended. Stop when it has stopped."""
        while True:
            pid, status = os.waitpid(-1, os.WUNTRACED | os.WNOHANG)
            if not pid:
                return None
            if pid != self.pid:
                continue  # a child that the program has left behind
            if not os.WIFSTOPPED(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if os.WSTOPSIG(status) in _OF_TERMINAL or self._is_in_foreground():
                os.kill(os.getpid(), signal.SIGSTOP)
                self._forward(signal.SIGCONT, None)

    def _is_in_foreground(self) -> bool:
        """Return whether a terminal waits for the program."""
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return os.tcgetpgrp(terminal) in (os.getpgrp(), os.getpgid(self.pid))
        finally:
            os.close(terminal)


def _become(command: Sequence[str], architecture: Architecture, reports: int, go: int) -> NoReturn:
    """In the child: put the filter in force and become the program."""
    try:
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        listener = install(architecture)
        os.write(reports, struct.pack("=i", listener))
        os.read(go, 1)
        os.close(listener)
        os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted
    except StartError as error:
        os.write(reports, str(error).encode())
    except OSError as error:
        os.write(reports, f"{command[0]}: {error.strerror}".encode())
    finally:
        os._exit(2)
