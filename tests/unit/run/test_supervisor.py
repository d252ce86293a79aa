"""The threads of the supervisor of `schemefs run`: signals, and what happens when no thread is left."""

from __future__ import annotations

import errno
import signal
import threading
from pathlib import Path
from typing import cast

import pytest

from schemefs.run.architectures import X86_64
from schemefs.run.call import Failed
from schemefs.run.listener import Listener
from schemefs.run.name_servers import NameServers
from schemefs.run.supervisor import Supervisor
from schemefs.run.tree import Tree
from schemefs.run.waits import INTERRUPT


class NoCalls:
    """A listener whose program has ended."""

    def __init__(self) -> None:
        self.blocked: set[int] = set()
        self.asked = threading.Event()

    def receive(self) -> None:
        self.blocked = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
        self.asked.set()


class NoTree:
    mount = 0
    path = Path("/")


def supervisor(listener: NoCalls) -> Supervisor:
    tree = cast("Tree", NoTree())
    servers = NameServers(tree, Path("/dev/null"))
    stack = threading.stack_size()
    try:
        return Supervisor(cast("Listener", listener), X86_64, tree, servers, verbose=False)
    finally:
        threading.stack_size(stack)  # of the other tests' threads


def test_a_thread_takes_no_signal_of_the_process() -> None:
    listener = NoCalls()
    supervisor(listener).start()
    assert listener.asked.wait(10)
    assert {signal.SIGCHLD, signal.SIGTERM, signal.SIGWINCH} <= listener.blocked
    assert INTERRUPT not in listener.blocked


def test_without_a_thread_a_call_fails_and_the_next_one_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = NoCalls()
    made = supervisor(listener)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _self: (_ for _ in ()).throw(RuntimeError("no thread")))
        with pytest.raises(Failed) as refused:
            made.start()
        assert refused.value.errno == errno.ENOBUFS
    made.start()
    assert listener.asked.wait(10)
