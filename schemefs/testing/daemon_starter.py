"""Starts the daemons of tests by fork, from a process that has imported what each needs: most of a start is imports.

    pytest ──socket──> starter               imports the command line, the daemon and the plugins; it runs none of them
                          └──fork──> daemon  enters its namespace, then runs what `python -m` would have run

The starter has one thread, no event loop and no session of libfuse, so nothing is lost in a fork. As the parent of the
daemons it has their exit statuses. They end with it, and it ends with pytest.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1  # prctl(2)
CLONE_NEWNET: Final = 0x40000000  # setns(2)
LONGEST: Final = 1 << 20  # octets of a request: the arguments and the environment
LATE: Final = ("pyroute2", "dns.message", "dpkt")  # libraries that some mounts import, with their first use
ANSWER: Final = 20  # octets of a decimal number


class ForkedDaemon:
    """A daemon that the starter has forked, with the part of subprocess.Popen that a mount needs."""

    def __init__(self, starter: DaemonStarter, pid: int, out: int) -> None:
        self.pid: Final = pid
        self.stdout: Final = open(out, "rb")  # noqa: SIM115 - closed by the mount
        self._starter = starter
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; of a killed daemon, the negative number of the signal. TimeoutExpired: it runs."""
        if self._status is None:
            if not select.select([self._pidfd], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"daemon {self.pid}", timeout or 0.0)
            self._status = self._starter.status(self.pid)
            os.close(self._pidfd)
        return self._status

    def _send(self, number: signal.Signals) -> None:
        if self._status is None:
            signal.pidfd_send_signal(self._pidfd, number)


class DaemonStarter:
    """The starter, as pytest uses it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -P: the working directory is not on the module path, as for `schemefs`.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches pytest alone
                preexec_fn=end_with_parent,  # noqa: PLW1509 - two C calls, no lock of Python's
            )

    def start(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], network: str, errors: int
    ) -> ForkedDaemon:
        """Fork a daemon that runs *module* in the *network* namespace (a file; empty: ours)."""
        out, theirs = os.pipe()
        request = {"words": [module, *arguments], "environment": dict(environment), "network": network}
        try:
            pid = self._ask(request, [theirs, errors])
        except BaseException:
            os.close(out)
            raise
        finally:
            os.close(theirs)
        return ForkedDaemon(self, pid, out)

    def status(self, pid: int) -> int:
        """Return the exit status of a daemon, which has ended; its process id is free then."""
        return self._ask({"ended": pid}, [])

    def close(self) -> None:
        """End the starter, and the daemons that still run."""
        self._control.close()
        self._process.wait()

    def _ask(self, request: Mapping[str, object], descriptors: list[int]) -> int:
        socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        answer = self._control.recv(ANSWER)
        if not answer:
            message = f"the process that starts daemons has ended with status {self._process.wait()}"
            raise RuntimeError(message)
        return int(answer)


@functools.cache
def daemon_starter() -> DaemonStarter:
    """Return the starter of this process."""
    made = DaemonStarter()
    atexit.register(made.close)
    return made


def network_entered(prefix: Sequence[str]) -> str | None:
    """Return the file of the network namespace that *prefix* enters; empty: none. None: *prefix* does more."""
    match list(prefix):
        case []:
            return ""
        case ["nsenter", option, "--"] if option.startswith("--net="):
            return option.removeprefix("--net=")
    return None


def end_with_parent() -> None:
    """In a child: have the kernel send SIGTERM when the parent ends, in any way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _serve(control: socket.socket) -> str:
    """Answer requests, each by a number: the process id or the status of a daemon. Return in a daemon: its module."""
    while True:
        octets, descriptors, _, _ = socket.recv_fds(control, LONGEST, 2)
        if not octets:
            sys.exit()
        request = json.loads(octets)
        if "ended" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["ended"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                control.close()
                return _become(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(answer).encode())


def _become(request: dict[str, Any], descriptors: list[int]) -> str:
    """Be as after an exec in a session of its own: with these standard streams, arguments and environment."""
    end_with_parent()
    os.setsid()
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["network"]:
        _enter(request["network"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    sys.argv[1:] = request["words"][1:]
    return str(request["words"][0])


def _enter(network: str) -> None:
    namespace = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns", network)
    os.close(namespace)


def _import_all() -> None:
    """Import what `schemefs mount` imports. What fails here fails again in each daemon, which reports it."""
    from schemefs import daemon, plugins  # noqa: F401, PLC0415 - not for pytest
    from schemefs.command import cli, scheme_file  # noqa: F401, PLC0415

    plugins.load()
    for module in LATE:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the daemons share these pages


if __name__ == "__main__":
    _control = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    runpy.run_module(_serve(_control), run_name="__main__", alter_sys=True)
