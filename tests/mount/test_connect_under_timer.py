"""A connect that signals interrupt: the repeated open joins it, and what is not repeated is reset."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family
from tests.support.tls_certificates import self_signed

pytestmark = pytest.mark.needs("fuse")

# Python repeats an open after EINTR by itself, unless the handler raises.
SETUP = """
import os, signal, sys, threading, time
port = sys.argv[1]
interrupts = 0
class GivenUp(Exception): pass
def count(*_):
    global interrupts
    interrupts += 1
def give_up(*_):
    raise GivenUp
def every(seconds, handler=count):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
def once(seconds):
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
def given_up(path):
    once(0.05)
    try: os.open(path, os.O_RDWR)
    except GivenUp: print('given up', flush=True)
"""


@pytest.fixture
def distant(module_scheme_mount: SchemeMount) -> Iterator[Path]:
    """The mount, with a round trip of 200 ms."""
    impair = module_scheme_mount.path / "netcfg/ifaces/lo/impair"
    impair.write_text("delay 100ms direction out\n")
    yield module_scheme_mount.path
    impair.write_text("none\n")


def start(root: Path, family: Family, code: str, port: int) -> subprocess.Popen[str]:
    program = SETUP + textwrap.dedent(family.fill(code))
    return subprocess.Popen(
        [sys.executable, "-S", "-c", program, str(port)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def listener(root: Path, scheme: str = "tcp", options: str = "") -> tuple[int, int]:
    """Return its descriptor and its port."""
    file = os.open(root / f"{scheme}/:0{options}", os.O_RDWR)
    name = os.getxattr(file, "user.conversation").decode()
    return file, int((root / name / "local").read_text().strip().rpartition(":")[2])


def states(root: Path) -> list[str]:
    """The states of every connection of tcp."""
    found = []
    for number in filter(str.isdecimal, os.listdir(root / "tcp")):
        try:
            found.append((root / "tcp" / number / "status").read_text())
        except FileNotFoundError:
            continue
    return [text.partition("state=")[2].split()[0] for text in found]


def connecting(root: Path) -> int:
    return states(root).count("SYN_SENT")


def accepted(file: int, expected: int) -> int:
    """Wait for *expected* connections, and return how many there are a round trip and more later."""
    os.set_blocking(file, False)
    count, end = 0, time.monotonic() + 10.0
    while time.monotonic() < end:
        try:
            os.read(file, 100)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            count += 1
        if count == expected:
            end = min(end, time.monotonic() + 0.5)
            expected = -1
    return count


@pytest.mark.parametrize(("scheme", "trust"), [("tcp", ""), ("tls", ",verify=no"), ("tls", ",sni=here,ca=")])
def test_a_connect_under_a_timer_shorter_than_the_round_trip_completes_once(
    distant: Path, tmp_path: Path, scheme: str, trust: str, family: Family
) -> None:
    certificate = str(self_signed(tmp_path, "here")).replace("/", "%2F")
    options = f"{trust}{certificate}" if trust.endswith("=") else trust  # the file of ca= is read by a process
    file, port = listener(distant, scheme, f",cert={certificate}" if scheme == "tls" else "")
    try:
        program = start(
            distant,
            family,
            f"""
            every(0.02)
            began = time.monotonic()
            file = os.open(f'{scheme}/[LO]:{{port}}{options}', os.O_RDWR)
            took = time.monotonic() - began
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(interrupts, took)
            os.write(file, b'x')
            sys.stdin.read()
            """,
            port,
        )
        number, *_ = os.read(file, 100).split()
        data = os.open(distant / scheme / number.decode() / "data", os.O_RDWR)
        assert os.read(data, 10) == b"x"
        out, _ = program.communicate(timeout=20)
        interrupts, took = out.split()
        assert int(interrupts) >= 5
        assert 0.2 <= float(took) < 2.0
        assert accepted(file, 0) == 0  # one connection, however many opens
        os.close(data)
    finally:
        os.close(file)


def test_an_open_that_is_not_repeated_is_reset_after_three_seconds(distant: Path, family: Family) -> None:
    file, port = listener(distant)
    with start(distant, family, "given_up(f'tcp/[LO]:{port}'); sys.stdin.read()", port) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "given up\n"
        began = time.monotonic()
        number, *_ = os.read(file, 100).split()  # the handshake goes on
        data = os.open(distant / "tcp" / number.decode() / "data", os.O_RDWR)
        with pytest.raises(ConnectionResetError):
            os.read(data, 10)
        assert 2.5 < time.monotonic() - began < 5.0
        os.close(data)
        os.close(file)


def test_the_open_of_a_process_that_is_killed_is_given_up_at_once(
    module_scheme_mount: SchemeMount, family: Family
) -> None:
    root = module_scheme_mount.path
    file, port = listener(root, options=",backlog=1")
    first = os.open(root / f"tcp/{family.lo.at(port)}", os.O_RDWR)  # the backlog is full: the next SYN is not answered
    program = start(root, family, "every(0.02); os.open(f'tcp/[LO]:{port}', os.O_RDWR)", port)
    wait_until(lambda: connecting(root) == 1, lambda: states(root))
    time.sleep(0.2)  # some interrupts
    assert connecting(root) == 1
    began = time.monotonic()
    program.kill()
    program.communicate()
    wait_until(lambda: connecting(root) == 0, lambda: states(root))
    assert time.monotonic() - began < 2.0
    os.close(first)
    os.close(file)


def test_two_threads_that_open_one_path_get_a_connection_each(distant: Path, family: Family) -> None:
    file, port = listener(distant)
    program = start(
        distant,
        family,
        """
        every(0.02)
        def kick():
            while not done:
                for thread in threads: signal.pthread_kill(thread.ident, signal.SIGUSR1)
                time.sleep(0.02)
        signal.signal(signal.SIGUSR1, count)
        done, files = False, []
        def connect(): files.append(os.open(f'tcp/[LO]:{port}', os.O_RDWR)); gate.wait()
        gate = threading.Event()
        threads = [threading.Thread(target=connect) for _ in range(2)]
        for thread in threads: thread.start()
        kicker = threading.Thread(target=kick); kicker.start()
        while len(files) < 2: time.sleep(0.01)
        done = True; kicker.join(); gate.set()
        for thread in threads: thread.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(len({os.getxattr(file, 'user.conversation') for file in files}), interrupts)
        sys.stdout.flush(); sys.stdin.read()
        """,
        port,
    )
    with program:
        assert program.stdout is not None
        connections, interrupts = map(int, program.stdout.readline().split())
        assert connections == 2
        assert interrupts >= 5
        assert accepted(file, 2) == 2
        program.communicate()
    os.close(file)


@pytest.mark.parametrize(("change", "joins"), [("", True), ("os.seteuid(0); os.seteuid(1001)", False)])
def test_another_uid_does_not_join(distant: Path, change: str, family: Family, *, joins: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("privileged")
    file, port = listener(distant)
    program = start(
        distant,
        family,
        f"""
        os.seteuid(1000)
        given_up(f'tcp/[LO]:{{port}}')
        time.sleep(0.5)
        {change}
        began = time.monotonic()
        os.open(f'tcp/[LO]:{{port}}', os.O_RDWR)
        print(time.monotonic() - began, flush=True)
        sys.stdin.read()
        """,
        port,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "given up\n"
        took = float(program.stdout.readline())
        assert took < 0.1 if joins else took >= 0.2
        expected = 1 if joins else 2
        assert accepted(file, expected) == expected
        program.communicate()
    os.close(file)


def test_o_nonblock_joins_nothing(distant: Path, family: Family) -> None:
    file, port = listener(distant)
    program = start(
        distant,
        family,
        """
        given_up(f'tcp/[LO]:{port}')
        file = os.open(f'tcp/[LO]:{port}', os.O_RDWR | os.O_NONBLOCK)
        try: os.write(file, b'x')
        except OSError as error: print(error.errno)
        """,
        port,
    )
    out, _ = program.communicate(timeout=20)
    assert out.split()[-1] == str(errno.EAGAIN)
    os.close(file)
