"""What /proc says about threads and processes."""

from __future__ import annotations

import os
import subprocess
import threading

from schemefs.fs.caller_process import process_of, shows_own_namespace


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
