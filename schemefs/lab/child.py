"""A program started in a host of the lab, by fork and exec: its namespace, variables, folder, and its exit status."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from schemefs.lab import namespaces

_CHANGED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)
NOT_FOUND: Final = 127  # the exit status of a shell for a command that can't be run


def start(
    command: Sequence[str],
    network: str,
    environment: Mapping[str, str],
    *,
    directory: str = "",
    background: bool = False,
) -> int:
    """Start *command* in the network namespace at *network* and return its process id. OSError: it can't be started.

    *background*: it reads nothing, and a Ctrl-C does not reach it.
    """
    failures, failures_of_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(command, network, environment, directory, failures_of_child, background=background)
    os.close(failures_of_child)
    with open(failures, encoding="ascii") as lines:
        failure = lines.read()
    if failure:
        os.waitpid(pid, 0)
        number = int(failure)
        raise OSError(number, os.strerror(number))
    return pid


def exit_status(status: int) -> int:
    """Return the exit status that a shell shows for a status of waitpid: 128 and the signal of a killed process."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _become(
    command: Sequence[str],
    network: str,
    environment: Mapping[str, str],
    directory: str,
    failures: int,
    *,
    background: bool,
) -> NoReturn:
    try:
        namespaces.end_with_parent(signal.SIGKILL)
        namespaces.enter(os.open(network, os.O_RDONLY | os.O_CLOEXEC), namespaces.NEW_NETWORK)
        if directory:
            os.chdir(directory)
        if background:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in _CHANGED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(command[0], [*command], environment)  # noqa: S606 - the user's own command
    except OSError as error:
        os.write(failures, str(error.errno).encode())
    finally:
        os._exit(NOT_FOUND)
