"""Which signals the processes of a lab pass on, and which the terminal has sent to the command already."""

from __future__ import annotations

import signal
from typing import Final

FORWARDED: Final = frozenset(
    {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
"""Blocked in the lab's own processes, which wait for them."""

_SI_KERNEL: Final = 0x80


def is_from_terminal(received: signal.struct_siginfo) -> bool:
    """Return whether the kernel sent it, as for Ctrl-C: then each process of the foreground has got it.

    SIGHUP is not such a signal: the end of a terminal sends it to the leader of its session alone.
    """
    return received.si_code == _SI_KERNEL and received.si_signo != signal.SIGHUP
