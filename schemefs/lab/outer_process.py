"""The outer process of a lab: it makes the namespaces, starts the first process, and passes signals on to it.

    this process ── fork ──> first process (number 1 inside) ──> routers' daemons, commands

The first process gets SIGKILL when this one ends, and the kernel kills every process of a namespace with its number 1.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from schemefs.errors import StartError
from schemefs.lab import descendants, namespaces
from schemefs.lab.requirements import ForbiddenError
from schemefs.lab.signals import FORWARDED, is_from_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.lab.first_process import FirstProcess

WRONG_LAB: Final = 2  # the exit status for what is wrong with the lab itself

_WITHOUT_PIDS: Final = "schemefs: this container forbids mounting /proc: the lab goes without process ids of its own"
_RUNNING: Final = "running"
_USERS: Final = "/proc/sys/user/max_user_namespaces"
_APPARMOR: Final = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


class Interrupted(Exception):
    """A signal has ended the lab before the command began."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(first: FirstProcess, on_running: Callable[[int], None] = lambda _pid: None) -> int:
    """Run the lab and return the exit status. *on_running* gets the id of the first process when the command runs.

    StartError: the lab could not be made, or a part of it has ended. Interrupted: before the command began.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    make_namespaces(first)
    reports, reports_of_first = os.pipe()
    alive_of_first, alive = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reports)
        os.close(alive)
        _be_first(first, reports_of_first, alive_of_first)
    os.close(reports_of_first)
    os.close(alive_of_first)
    try:
        with open(reports, encoding="utf-8", errors="replace") as lines:
            _wait_until_running(lines, pid)
            on_running(pid)
            status = _wait(pid)
            _raise_failure(lines.readline())
        return status
    finally:
        if not first.own_processes:
            descendants.kill_all()
        os.close(alive)


def _be_first(first: FirstProcess, reports: int, alive: int) -> NoReturn:
    """Be the first process. *alive* ends when the parent ends."""
    status = WRONG_LAB
    try:
        if first.own_processes:
            namespaces.end_with_parent(signal.SIGKILL)
        else:  # SIGKILL would leave all others: SIGTERM ends them
            namespaces.adopt_orphans()
            namespaces.end_with_parent(signal.SIGTERM)
        if select.select([alive], [], [], 0)[0]:  # the parent has ended before the line above
            os._exit(status)
        os.set_inheritable(reports, False)
        try:
            first.alive = alive
            first.make_network()
            os.write(reports, f"{_RUNNING}\n".encode())
            status = first.run_command()
        except StartError as error:
            with suppress(BrokenPipeError):  # the parent has ended
                os.write(reports, f"failed {' '.join(str(error).split())}\n".encode())
        first.end()
    except BaseException:  # noqa: BLE001 - the last place that can print it; _exit follows
        traceback.print_exc()
    finally:
        with suppress(OSError):  # full, or a pipe without a reader: the status is that of the command
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


def _wait_until_running(lines: TextIO, pid: int) -> None:
    """Wait until the command is about to run. A signal before ends all."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    for number in FORWARDED - {signal.SIGCHLD}:
        signal.signal(number, interrupt)
    line = ""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED - {signal.SIGCHLD})
        select.select([lines], [], [])
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        line = lines.readline()
    except Interrupted as interrupted:
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        line = lines.readline() if select.select([lines], [], [], 0)[0] else ""
        if line.strip() != _RUNNING:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        os.kill(pid, interrupted.number)
    if line.strip() != _RUNNING:
        os.waitpid(pid, 0)
        _raise_failure(line or "failed the first process of the lab ended during the start")


def _wait(pid: int) -> int:
    """Pass signals on until the first process has ended; return its exit status."""
    while True:
        received = signal.sigwaitinfo(FORWARDED)
        if received.si_signo != signal.SIGCHLD:
            if not is_from_terminal(received):
                os.kill(pid, received.si_signo)
            continue
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                raise StartError(
                    f"the first process of the lab was ended by {signal.Signals(os.WTERMSIG(status)).name}"
                )
            return os.WEXITSTATUS(status)


def _raise_failure(line: str) -> None:
    key, _, sentence = line.strip().partition(" ")
    if key == "failed":
        raise StartError(sentence)


def make_namespaces(first: FirstProcess) -> None:
    """Move to a user namespace unless this is root, and let children have process ids of their own.

    ForbiddenError: this system forbids user namespaces.
    """
    first.is_root = namespaces.may_administer()
    if not first.is_root:
        try:
            namespaces.become_root_of_new_users()
        except OSError as error:
            raise ForbiddenError(refusal(error)) from None
    first.own_processes = namespaces.may_mount_proc()
    if first.own_processes:
        namespaces.unshare(namespaces.NEW_PIDS)
    else:
        namespaces.adopt_orphans()
        print(_WITHOUT_PIDS, file=sys.stderr, flush=True)  # noqa: T201 - for the user, beside what the command says


def refusal(error: OSError) -> str:
    """Return why a user namespace could not be made."""
    if _number(_USERS) == 0:
        return f"this system forbids user namespaces: {_USERS} is 0"
    if error.errno == errno.ENOSPC:
        return f"there are as many user namespaces as {_USERS} allows"
    if _number(_APPARMOR):
        return f"AppArmor keeps users from namespaces: sysctl kernel.{os.path.basename(_APPARMOR)}=0, or run it as root"
    return f"a user namespace can't be made: {error.strerror}"


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
