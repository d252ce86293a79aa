"""What /proc says about threads and processes."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from schemefs.fs import caller_process
from schemefs.fs.caller_process import is_alive, is_killed, process_of, shows_own_namespace


def test_a_process_with_a_name_that_looks_like_fields() -> None:
    assert shows_own_namespace()
    script = "import os, sys; open('/proc/self/comm', 'w').write(') S 1 2 3'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        ["python3", "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = process_of(child.pid)
        child.communicate()
    assert process is not None
    assert (process.pid, process.parent, process.session) == (child.pid, os.getpid(), child.pid)
    assert 0 <= process.age < 60


def test_a_thread_has_the_process_of_the_others() -> None:
    own = process_of(os.getpid())
    found = []

    def look() -> None:
        number = threading.get_native_id()
        found.append((number, process_of(number)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    ((number, process),) = found
    assert number != os.getpid()
    assert own is not None
    assert process is not None
    assert process.is_same(own)


def test_a_process_that_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert process_of(child.pid) is None
    assert process_of(0) is None


def test_a_process_that_is_being_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for an answer of the mount has SIGKILL pending until it is answered."""
    lines = {"pending": b"Name:\tcat\nTgid:\t7\nSigPnd:\t0000000000000100\n", "none": b"Name:\tcat\nSigPnd:\t0\n"}
    for signals, expected in (("pending", True), ("none", False)):
        monkeypatch.setattr(caller_process, "_read", lambda _path, signals=signals: lines[signals])
        assert is_killed(7) is expected


def test_a_signal_with_a_handler_kills_nothing() -> None:
    assert not is_killed(os.getpid())


def test_a_process_that_has_ended_is_killed_and_not_alive() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        process = process_of(child.pid)
        assert process is not None
        assert is_alive(process)
        assert not is_killed(child.pid)
        child.kill()
        child.wait()
        assert is_killed(child.pid)
        assert not is_alive(process)
