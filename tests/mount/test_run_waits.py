"""Calls that wait under `schemefs run`: signals, threads, and the end of the program, the supervisor, the daemon."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

RUN = (sys.executable, "-m", "schemefs", "run")
TIMEOUT = 30.0
SETUP = """
import errno, os, select, signal, socket, sys, threading, time
server = socket.create_server(("LO", 0), family=socket.SOCKET)
def pair():
    client = socket.create_connection(server.getsockname()[:2])
    return client, server.accept()[0]
"""


class Programs:
    """Run programs on the mount at *tree*, with a listener of *family*."""

    def __init__(self, tree: Path, family: Family) -> None:
        self.tree = tree
        self.setup = family.fill(SETUP)

    def output(self, code: str) -> str:
        words = [*RUN, "--mount", str(self.tree), "--", sys.executable, "-c", self.setup + code]
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, code: str, **more) -> subprocess.Popen[str]:
        words = [*RUN, "--mount", str(self.tree), "--", sys.executable, "-uc", self.setup + code]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def waits_in_a_call(pid: int) -> bool:
    return "seccomp_do_user_notification" in Path(f"/proc/{pid}/stack").read_text()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def programs(module_scheme_mount: SchemeMount, family: Family) -> Programs:
    return Programs(module_scheme_mount.path, family)


HANDLER = """
class Alarm(Exception): pass
def handler(number, frame): raise Alarm
signal.signal(signal.SIGALRM, handler)
client, accepted = pair()
"""


@pytest.mark.parametrize(
    "call",
    [
        "client.recv(10)",
        "client.recv(10, socket.MSG_PEEK)",
        "client.recvmsg(10)",
        "server.accept()",
        "accepted.sendall(bytes(1 << 24))",
        "local[0].recvmsg(10)",
    ],
)
def test_a_signal_ends_a_call_that_waits(programs: Programs, call: str) -> None:
    code = f"""{HANDLER}
local = socket.socketpair()
signal.setitimer(signal.ITIMER_REAL, 0.1)
begin = time.monotonic()
try:
    {call}
except Alarm:
    print(time.monotonic() - begin < 5)
client.sendall(b"after")
print(accepted.recv(10))
"""
    assert programs.output(code) == "True\nb'after'\n"


def test_what_comes_after_a_signal_is_not_lost(programs: Programs) -> None:
    code = f"""{HANDLER}
got = b""
def writer():
    for number in range(200):
        accepted.sendall(b"%03d" % number)
        time.sleep(0.001)
    accepted.close()
threading.Thread(target=writer).start()
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
while True:
    try:
        more = client.recv(1000)
        if not more:
            break
        got += more
    except Alarm:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
print(got == b"".join(b"%03d" % number for number in range(200)))
"""
    assert programs.output(code.replace("raise Alarm", "pass")) == "True\n"


def test_a_call_with_sa_restart_goes_on_after_the_handler(programs: Programs) -> None:
    code = """
import ctypes
called = []
signal.signal(signal.SIGUSR1, lambda *_: called.append(1))
signal.siginterrupt(signal.SIGUSR1, False)
client, accepted = pair()
main = threading.get_ident()
def other():
    time.sleep(0.2)
    signal.pthread_kill(main, signal.SIGUSR1)
    time.sleep(0.3)
    accepted.sendall(b"late")
threading.Thread(target=other).start()
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(10)
print(libc.recv(client.fileno(), buffer, 10, 0), buffer.value, called)
"""
    assert programs.output(code) == "4 b'late' [1]\n"


@pytest.mark.parametrize("end", ["signal.setitimer(signal.ITIMER_REAL, 0.1)", "client.setsockopt(1, 20, TIMEVAL)"])
def test_what_a_receive_of_all_has_taken_is_returned_when_it_ends_early(programs: Programs, end: str) -> None:
    code = f"""{HANDLER.replace("raise Alarm", "pass")}
import ctypes
TIMEVAL = (0).to_bytes(8, "little") + (100_000).to_bytes(8, "little")
accepted.sendall(b"abc")
{end}
buffer = ctypes.create_string_buffer(10)
print(ctypes.CDLL(None).recv(client.fileno(), buffer, 10, socket.MSG_WAITALL), buffer.value)
"""
    assert programs.output(code) == "3 b'abc'\n"


def test_a_stopped_process_with_threads_goes_on_with_its_call(programs: Programs) -> None:
    code = """
import ctypes
client, accepted = pair()
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if not child:
    threading.Thread(target=signal.pause, daemon=True).start()
    buffer = ctypes.create_string_buffer(10)
    print(libc.recv(client.fileno(), buffer, 10, 0), buffer.value, flush=True)
    os._exit(0)
time.sleep(0.2)
os.kill(child, signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
os.kill(child, signal.SIGCONT)
accepted.sendall(b"on")
os.waitpid(child, 0)
"""
    assert programs.output(code) == "2 b'on'\n"


def test_a_program_that_is_stopped_and_continued_without_a_terminal_keeps_its_sockets(programs: Programs) -> None:
    code = "print(os.getpid())\nfor line in sys.stdin: print(socket.socket().fileno() > 0)"
    with programs.start(code, stdin=subprocess.PIPE, start_new_session=True) as run_process:
        assert run_process.stdin is not None
        assert run_process.stdout is not None
        program = int(run_process.stdout.readline())
        os.kill(program, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{program}/stat").read_text().rpartition(") ")[2].startswith("T"))
        os.kill(program, signal.SIGCONT)
        assert run_process.communicate("once\n", timeout=TIMEOUT)[0] == "True\n"


def test_many_threads_wait_at_once(programs: Programs) -> None:
    code = """
pairs = [pair() for _ in range(40)]
got = []
threads = [threading.Thread(target=lambda client=client: got.append(client.recv(10))) for client, _ in pairs]
for thread in threads:
    thread.start()
for number, (_, accepted) in enumerate(pairs):
    accepted.sendall(b"%d" % number)
for thread in threads:
    thread.join()
print(sorted(map(int, got)) == list(range(40)))
"""
    assert programs.output(code) == "True\n"


def test_a_blocking_connect_waits_and_a_signal_ends_it(
    mount_scheme: Callable[..., SchemeMount], family: Family
) -> None:
    mount = mount_scheme("--driver", "loopback")
    (mount.path / "netcfg/ifaces/lo/impair").write_text("loss 100%\n")
    code = """
class Alarm(Exception): pass
def handler(number, frame): raise Alarm
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
client = socket.socket(server.family)
try:
    client.connect(server.getsockname())
except Alarm:
    print("alarm")
client.setblocking(False)
print(client.connect_ex(server.getsockname()) == errno.EALREADY)
client = socket.socket(server.family)
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (0).to_bytes(8, "little") + (100_000).to_bytes(8, "little"))
print(client.connect_ex(server.getsockname()) == errno.EINPROGRESS)
"""
    assert Programs(mount.path, family).output(code) == "alarm\nTrue\nTrue\n"


def test_a_receive_time_out_is_eagain(programs: Programs) -> None:
    code = """
client, accepted = pair()
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (0).to_bytes(8, "little") + (100_000).to_bytes(8, "little"))
for call in (lambda: client.recv(1), lambda: client.recv(1, socket.MSG_PEEK), lambda: os.read(client.fileno(), 1)):
    try:
        call()
    except BlockingIOError:
        print("again")
"""
    assert programs.output(code) == "again\nagain\nagain\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_run_reaches_the_program(programs: Programs, number: signal.Signals) -> None:
    code = "client, accepted = pair()\nprint('ready')\nclient.recv(1)"
    with programs.start(code) as run_process:
        assert run_process.stdout is not None
        assert run_process.stdout.readline() == "ready\n"
        run_process.send_signal(number)
        assert run_process.wait(TIMEOUT) == 128 + number


def test_the_program_is_left_without_sockets_when_run_is_killed(programs: Programs) -> None:
    code = """
client, accepted = pair()
print(os.getpid())
try:
    client.recv(1)
except OSError as error:
    print(error.errno == errno.ENOSYS, file=sys.stderr)
"""
    with programs.start(code) as run_process:
        assert run_process.stdout is not None
        assert run_process.stderr is not None
        pid = int(run_process.stdout.readline())
        if os.getuid() == 0:
            until(lambda: waits_in_a_call(pid))
        run_process.kill()
        assert run_process.stderr.read() == "True\n"


def test_the_end_of_the_daemon_is_an_error(mount_scheme: Callable[..., SchemeMount], family: Family) -> None:
    mount = mount_scheme("--driver", "loopback")
    code = """
client, accepted = pair()
print("ready")
for call in (lambda: client.recv(1), lambda: socket.socket()):
    try:
        call()
    except OSError as error:
        print(error.errno in (errno.ENOTCONN, errno.ECONNABORTED), file=sys.stderr)
"""
    with Programs(mount.path, family).start(code) as run_process:
        assert run_process.stdout is not None
        assert run_process.stderr is not None
        assert run_process.stdout.readline() == "ready\n"
        os.kill(mount.pid, signal.SIGKILL)
        assert run_process.stderr.read() == "True\nTrue\n"
        assert run_process.wait(TIMEOUT) == 0
    subprocess.run(["umount", "-l", mount.path], check=False)
    mount.close(check=False)


def test_job_control_of_a_shell(programs: Programs) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.environ |= {"PS1": "", "TERM": "dumb"}
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    shown = ""

    def expect(text: str) -> None:
        nonlocal shown
        end = time.monotonic() + TIMEOUT
        while text not in shown:
            assert select.select([terminal], [], [], max(end - time.monotonic(), 0))[0], shown
            shown += os.read(terminal, 4096).decode()
        shown = shown.partition(text)[2]

    def enter(line: str) -> None:
        os.write(terminal, f"{line}\n".encode())

    try:
        program = f'{sys.executable} -uc \'import time; print("be" + "gun"); time.sleep(100)\''
        enter(f"{' '.join(RUN)} --mount {programs.tree} -- {program}")
        expect("begun")
        os.write(terminal, b"\x1a")  # Ctrl-Z
        expect("Stopped")
        enter("jobs; fg")
        expect("Stopped")
        expect("schemefs run")
        os.write(terminal, b"\x03")  # Ctrl-C
        enter('echo "status $?"')
        expect("status 130")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)
