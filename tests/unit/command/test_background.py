"""A daemon in a session of its own, and a command that returns with its word. Real processes, no mount."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

# Each test runs a little program of its own: forking pytest itself would fork its threads and captures.
PROGRAM = """
import os, sys, signal
from schemefs.command import background
from schemefs.errors import StartError

def serve(report):
    {body}

try:
    print("line:", background.run(serve, {log!r}), flush=True)
except StartError as error:
    print("sentence:", error, flush=True)
"""


def run(body: str, log: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(body=body.replace("\n", "\n    "), log=log)
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=20, **options
    )


def wait_gone(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([pidfd], [], [], 10)[0], f"{pid} lives"
    os.close(pidfd)


def test_the_line_comes_when_it_is_ready_and_the_daemon_stays(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # capture_output waits for the pipes to close: it returns only because the daemon has let go of them.
    done = run(
        f"report(f'ready {{os.getpid()}} {{os.getsid(0)}} {{os.getcwd()}}')\nopen({str(fifo)!r}).read()\nreturn 0"
    )
    _, _, pid, session, directory = done.stdout.split()
    assert directory == "/"
    assert session != str(os.getsid(0))
    assert session != pid  # not the leader: it can't get a terminal
    os.kill(int(pid), 0)
    fifo.write_text("end")
    wait_gone(int(pid))


def test_a_start_error_is_the_sentence() -> None:
    assert run("raise StartError('there is\\nno such thing')").stdout == "sentence: there is no such thing\n"


def test_what_libfuse_wrote_is_the_cause() -> None:
    body = "os.write(2, b'fuse: device not found\\nnoise\\n')\nraise StartError('it can not be mounted')"
    assert run(body).stdout == "sentence: it can not be mounted (fuse: device not found)\n"


def test_a_crash_is_one_sentence_with_its_last_line() -> None:
    assert run("1 / 0").stdout == (
        "sentence: the daemon ended before it was ready (ZeroDivisionError: division by zero)\n"
    )


def test_a_killed_daemon_is_one_sentence() -> None:
    assert run("os.kill(os.getpid(), signal.SIGKILL)").stdout == "sentence: the daemon ended before it was ready\n"


def test_standard_error_goes_to_the_log_file_afterwards(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run("report(str(os.getpid()))\nos.write(2, b'late complaint')\nreturn 0", log=str(log))
    wait_gone(int(done.stdout.split()[1]))
    assert log.read_text() == "late complaint"


def test_descriptors_of_the_caller_are_left() -> None:
    read, write = os.pipe()
    done = run("report(f'ready {os.getpid()}')\nsignal.pause()", pass_fds=(write,))
    os.close(write)
    try:
        # End of file on the pipe: nobody holds its other end, though the daemon lives.
        assert select.select([read], [], [], 10)[0]
        assert os.read(read, 1) == b""
    finally:
        os.kill(int(done.stdout.split()[-1]), signal.SIGKILL)
        os.close(read)


def test_ctrl_c_while_waiting_ends_the_daemon(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = f"open({str(fifo)!r}, 'w').write(str(os.getpid()))\nsignal.pause()"
    program = PROGRAM.format(body=body.replace("\n", "\n    "), log="")
    command = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    pid = int(fifo.read_text())
    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=10)
    assert b"KeyboardInterrupt" in complaint
    wait_gone(pid)
