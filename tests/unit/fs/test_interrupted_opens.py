"""Attempts that a signal interrupted: which open joins one, and when it is abandoned."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from schemefs.fs import caller_process
from schemefs.fs.inodes import Inode
from schemefs.fs.interrupted_opens import CHECK_INTERVAL, KEPT_FOR, MOST_OF_A_UID, InterruptedOpens
from schemefs.scheme import Caller, Handle, TextFile
from schemefs.timers import Timers

RDWR = os.O_RDWR
CALLER = Caller(1000, 1000, os.getpid())
ROOT = Inode(1, TextFile(), None, None)


class Attempt(Handle):
    """Notes its calls."""

    def __init__(self, *, joinable: bool = True) -> None:
        self.joinable = joinable
        self.calls: list[str] = []

    def fevent(self, interest: int) -> int:
        return 0

    def open_interrupted(self, now: float) -> bool:
        return self.joinable

    def open_repeated(self, now: float) -> None:
        self.calls.append("repeated")

    def abandon_open(self, now: float) -> None:
        self.calls.append("abandoned")

    def close(self, now: float) -> None:
        self.calls.append("close")


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def opens(timers: Timers) -> InterruptedOpens:
    return InterruptedOpens(timers)


def inode(name: bytes = b"127.0.0.1:80", parent: Inode = ROOT) -> Inode:
    """A new one, as each lookup of a stream makes it."""
    return Inode(7, TextFile(), parent, None, name)


def pass_until(timers: Timers, end: float) -> None:
    while timers.next_deadline() <= end:
        timers.on_deadline(timers.next_deadline())


def test_a_repeated_open_joins_once(opens: InterruptedOpens, timers: Timers) -> None:
    attempt = Attempt()
    assert opens.keep(inode(), attempt, RDWR, CALLER, 0.0)
    assert opens.take(inode(), RDWR | os.O_CLOEXEC, CALLER, KEPT_FOR - 0.01) is attempt
    assert opens.take(inode(), RDWR, CALLER, 0.1) is None
    assert attempt.calls == ["repeated"]
    assert timers.pending == len(opens) == 0


@pytest.mark.parametrize(
    ("found", "flags", "caller"),
    [
        (inode(b"127.0.0.1:81"), RDWR, CALLER),
        (inode(b"127.0.0.1:80,nodelay"), RDWR, CALLER),
        (inode(parent=Inode(3, TextFile(), ROOT, None, b"tls")), RDWR, CALLER),
        (inode(), os.O_RDONLY, CALLER),
        (inode(), RDWR | os.O_NONBLOCK, CALLER),
        (inode(), RDWR, Caller(1001, 1000, CALLER.pid)),
        (inode(), RDWR, Caller(1000, 1001, CALLER.pid)),
        (inode(), RDWR, Caller(1000, 1000, 0)),
        (inode(), RDWR, Caller(1000, 1000, os.getppid())),
    ],
    ids=["port", "options", "directory", "access", "nonblock", "uid", "gid", "unknown process", "process"],
)
def test_what_differs_does_not_join(opens: InterruptedOpens, found: Inode, flags: int, caller: Caller) -> None:
    attempt = Attempt()
    assert opens.keep(inode(), attempt, RDWR, CALLER, 0.0)
    assert opens.take(found, flags, caller, 0.1) is None
    assert attempt.calls == []
    assert opens.take(inode(), RDWR, CALLER, 0.1) is attempt


@pytest.mark.parametrize(
    ("attempt", "caller"),
    [(Attempt(joinable=False), CALLER), (Attempt(), Caller(1000, 1000, 0))],
    ids=["accept", "pid 0"],
)
def test_what_can_not_be_joined_is_not_kept(opens: InterruptedOpens, attempt: Attempt, caller: Caller) -> None:
    assert not opens.keep(inode(), attempt, RDWR, caller, 0.0)
    assert len(opens) == 0
    assert attempt.calls == []


def test_the_open_of_a_process_that_is_being_killed_is_not_kept(
    opens: InterruptedOpens, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt()
    monkeypatch.setattr(caller_process, "is_killed", lambda pid: pid == CALLER.pid)
    assert not opens.keep(inode(), attempt, RDWR, CALLER, 0.0)
    assert (len(opens), attempt.calls) == (0, [])


def test_a_thread_joins_its_own_attempt_and_another_thread_the_oldest(opens: InterruptedOpens) -> None:
    numbers: list[int] = []
    end = threading.Event()

    def run() -> None:
        numbers.append(threading.get_native_id())
        end.wait()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        first, second, third = (Caller(1000, 1000, number) for number in numbers)
        attempts = [Attempt(), Attempt()]
        for attempt, caller in zip(attempts, (first, second), strict=True):
            assert opens.keep(inode(), attempt, RDWR, caller, 0.0)
        assert opens.take(inode(), RDWR, second, 0.1) is attempts[1]
        assert opens.take(inode(), RDWR, third, 0.1) is attempts[0]
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_it_is_abandoned_after_three_seconds(opens: InterruptedOpens, timers: Timers) -> None:
    attempt = Attempt()
    opens.keep(inode(), attempt, RDWR, CALLER, 0.0)
    pass_until(timers, KEPT_FOR - CHECK_INTERVAL)
    assert attempt.calls == []
    pass_until(timers, KEPT_FOR + CHECK_INTERVAL)
    assert attempt.calls == ["abandoned", "close"]
    assert timers.pending == 0


@pytest.mark.parametrize("end", [lambda process: None, lambda process: process.wait()], ids=["zombie", "gone"])
def test_it_is_abandoned_when_its_process_has_ended(
    opens: InterruptedOpens, timers: Timers, end: Callable[[subprocess.Popen[bytes]], object]
) -> None:
    attempt = Attempt()
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        opens.keep(inode(), attempt, RDWR, Caller(1000, 1000, process.pid), 0.0)
        pass_until(timers, CHECK_INTERVAL)
        assert attempt.calls == []
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        end(process)
        pass_until(timers, 2 * CHECK_INTERVAL)
        assert attempt.calls == ["abandoned", "close"]


def test_a_process_whose_first_thread_has_ended_lives() -> None:
    code = """
import ctypes, threading
def run():
    while open('/proc/self/stat').read().rpartition(') ')[2][0] != 'Z': pass
    print(flush=True)
    input()
threading.Thread(target=run).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        found = caller_process.process_of(process.pid)
        assert found is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        assert caller_process.is_alive(found)
        assert not caller_process.is_alive(replace(found, start=0))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not caller_process.is_alive(found)


def test_a_uid_has_a_bounded_number_and_the_oldest_goes_first(opens: InterruptedOpens) -> None:
    attempts = [Attempt() for _ in range(MOST_OF_A_UID + 1)]
    other = Attempt()
    opens.keep(inode(), other, RDWR, Caller(1001, 1000, CALLER.pid), 0.0)
    for attempt in attempts:
        opens.keep(inode(), attempt, RDWR, CALLER, 0.0)
    assert len(opens) == MOST_OF_A_UID + 1
    assert [attempt.calls for attempt in attempts] == [["abandoned", "close"], *[[]] * MOST_OF_A_UID]
    assert other.calls == []


def test_the_end_of_the_mount_abandons_all(opens: InterruptedOpens, timers: Timers) -> None:
    attempts = [Attempt() for _ in range(3)]
    for uid, attempt in enumerate(attempts):
        opens.keep(inode(), attempt, RDWR, Caller(uid, 0, CALLER.pid), 0.0)
    opens.abandon_all(1.0)
    assert [attempt.calls for attempt in attempts] == [["abandoned", "close"]] * 3
    assert timers.pending == 0
