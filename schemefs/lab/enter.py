"""The program that runs a command in a host of a running lab, from outside: `enter.py PID NETWORK COMMAND…`.

    this process ── enters the namespaces ── fork ──> COMMAND: a process id of the lab, and its end with the lab

It passes signals on and ends with the status of COMMAND; COMMAND ends with it. It runs as a file, without the modules
of the site, since it starts for each command.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, NoReturn

if not __package__:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from schemefs.lab import child, namespaces  # after the module path is corrected
from schemefs.lab.signals import FORWARDED, is_from_terminal

_KINDS: Final = (("user", namespaces.NEW_USERS), ("mnt", namespaces.NEW_MOUNTS), ("pid", namespaces.NEW_PIDS))


def main(pid: str, network: str, *command: str) -> NoReturn:
    """Enter the namespaces of process *pid*, with *network* as the path that it has for a host's, and run *command*."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    directory = os.getcwd()
    try:
        _enter(pid)
        os.chdir(directory)
        process = child.start(command, network, os.environ)
    except OSError as error:
        is_there = os.path.exists(f"/proc/{pid}") or error.filename is None
        sentence = f"{command[0]}: {error.strerror}" if is_there else "the lab has ended"
        print(sentence, file=sys.stderr)  # noqa: T201 - as a shell does
        os._exit(child.NOT_FOUND)
    while True:
        received = signal.sigwaitinfo(FORWARDED)
        if received.si_signo != signal.SIGCHLD:
            if not is_from_terminal(received):
                os.kill(process, received.si_signo)
            continue
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            os._exit(child.exit_status(status))


def _enter(pid: str) -> None:
    """Enter the namespaces that this process is not in already."""
    opened = [
        (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind)
        for name, kind in _KINDS
        if not os.path.samefile(f"/proc/{pid}/ns/{name}", f"/proc/self/ns/{name}")
    ]
    for descriptor, kind in opened:
        namespaces.enter(descriptor, kind)
        os.close(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
