"""`err` as processes read it: shells in parallel, reads that fail, threads, and the `err` of all schemes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture
def scheme(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path


def run(scheme: Path, *command: str, new_session: bool = False) -> str:
    done = subprocess.run(
        command, cwd=scheme, check=False, capture_output=True, text=True, timeout=60, start_new_session=new_session,
        env=os.environ | {"SCHEME": str(scheme), "PYTHON": sys.executable},
    )  # fmt: skip
    return done.stdout + done.stderr


def shell(scheme: Path, script: str) -> str:
    return run(scheme, "bash", "-c", script, new_session=True)


def python(scheme: Path, program: str) -> str:
    head = "import os, select, subprocess, threading, time\n"
    head += "def err(scheme='tcp'): return open(scheme + '/err').read().strip()\n"
    head += (
        "def fails(path, flags=os.O_RDWR):\n    try: os.open(path, flags)\n    except OSError: return\n    assert 0\n"
    )
    return run(scheme, sys.executable, "-S", "-c", head + textwrap.dedent(program), new_session=True)


@pytest.mark.parametrize(
    "command",
    [
        "cat tcp/[LO]:{} 2>/dev/null || cat tcp/err",
        "cat tcp/[LO]:{} 2>/dev/null; cat tcp/err",
        "cat tcp/[LO]:{} 2>/dev/null || cat err",
        "cat tcp/[LO]:{} 2>/dev/null || why=$(cat tcp/err); echo $why",
        "cat tcp/[LO]:{} 2>/dev/null || { read -r why <tcp/err; echo $why; }",
        "{ true <>tcp/[LO]:{}; } 2>/dev/null || cat tcp/err",
        "exec 3<>tcp/[LO]:{} || cat tcp/err",
        "cat tcp/[LO]:1 2>/dev/null; timeout 20 cat tcp/[LO]:{} 2>/dev/null || cat tcp/err",
    ],
)
def test_sixty_failures_in_parallel_have_sixty_right_sentences(scheme: Path, command: str, family: Family) -> None:
    assert_all_right(scheme, family, command, 60)


@pytest.mark.parametrize("command", ["nc LO {}", "get http://[LO]:{}/", "nc -c LO {}"])
def test_tools_in_parallel_print_their_own(scheme: Path, command: str, family: Family) -> None:
    assert_all_right(scheme, family, f"$PYTHON -m schemefs {command} 2>&1", 8)


def assert_all_right(scheme: Path, family: Family, command: str, number: int) -> None:
    command = family.fill(command)
    script = (
        f"seq 9001 {9000 + number} | xargs -P 20 -I{{}} bash -c '{{ {command}; }} 2>/dev/null | sed \"s/^/{{}} /\"'"
    )
    lines = shell(scheme, script).splitlines()
    assert len(lines) == number
    wrong = [line for line in lines if f"RST from {family.lo.at(line.split()[0])} " not in line]
    assert wrong == []


def test_a_success_of_the_same_process_leaves_nothing(scheme: Path, family: Family) -> None:
    program = f"fails('tcp/{family.lo.at(9)}'); open('tcp/stats').read(); print([err(), err('.')])"
    assert python(scheme, program) == "['', '']\n"
    program = f"{HELPERS}fails('tcp/{family.lo.at(9)}'); open('tcp/stats'); print([err()])"
    said = shell(scheme, f'seq 30 | xargs -P 10 -I{{}} $PYTHON -S -c "{program}"')
    assert said.replace("\n", "") == "['']" * 30  # PYTHONUNBUFFERED writes a line in two parts


HELPERS = """
import os
def err(scheme='tcp'): return open(scheme + '/err').read().strip()
def fails(path):
    try: os.open(path, os.O_RDWR)
    except OSError: pass
"""


def test_a_stat_is_no_success_and_a_refused_lookup_a_failure(scheme: Path, family: Family) -> None:
    program = family.fill("""
        fails('tcp/[LO]:9'); os.stat('tcp/[LO]:10'); os.stat('tcp/stats'); os.listdir('tcp'); print(err())
        try: os.stat('tcp/[LO]:70000')
        except OSError: print(err())
    """)
    refused, malformed = python(scheme, program).splitlines()
    assert refused.startswith(f"RST from {family.lo.at(9)} ")
    assert "70000" in malformed


def test_a_read_that_fails_is_explained_to_its_process(scheme: Path, family: Family) -> None:
    program = family.fill("""
        listener = os.open('tcp/:0', os.O_RDWR)
        name = os.getxattr(listener, 'user.conversation').decode()
        port = int(open(name + '/local').read().rpartition(':')[2])
        client = os.open(f'tcp/[LO]:{port}', os.O_RDWR)
        peer = 'tcp/' + os.read(listener, 99).split()[0].decode()
        fails('tcp/[LO]:9')
        open(peer + '/ctl', 'w').write('hangup')
        cat = subprocess.run('cat 2>/dev/null || cat tcp/err', shell=True, stdin=client, capture_output=True, text=True)
        print(cat.stdout, end='')
        again = os.open('tcp/[LO]:%d,read_timeout=0.1' % port, os.O_RDWR)
        try: os.read(again, 1)
        except BlockingIOError: print(err())
        os.set_blocking(again, False)
        fails('tcp/[LO]:9')
        try: os.read(again, 1)
        except BlockingIOError: print(err())
    """)
    reset, late, refused = python(scheme, program).splitlines()
    assert reset.startswith(f"RST from {family.lo.host}:")
    assert "in state ESTABLISHED" in reset
    assert late == "nothing happened within the time-out of 0.1 s"
    assert refused.startswith(f"RST from {family.lo.at(9)} in answer to SYN")  # a read that would block is no failure


def test_a_signal_is_no_failure(scheme: Path) -> None:
    program = """
        import signal
        def handle(*_): raise InterruptedError
        file = os.open('udp/:0', os.O_RDWR)
        signal.signal(signal.SIGALRM, handle); signal.setitimer(signal.ITIMER_REAL, 0.05)
        try: os.read(file, 1)
        except InterruptedError: print([err('udp')])
    """
    assert python(scheme, program) == "['']\n"


def test_a_read_of_tls_that_fails_is_explained(scheme: Path, family: Family) -> None:
    program = family.fill("""
        listener = os.open('tcp/:0', os.O_RDWR)
        name = os.getxattr(listener, 'user.conversation').decode()
        port = int(open(name + '/local').read().rpartition(':')[2])
        client = os.open(f'tls/[LO]:{port},verify=no', os.O_RDWR | os.O_NONBLOCK)
        peer = os.open('tcp/' + os.read(listener, 99).split()[0].decode() + '/data', os.O_RDWR)
        fails('tls/[LO]:9')
        os.write(peer, b'no TLS at all')
        poll = select.poll(); poll.register(client, select.POLLIN); poll.poll(10_000)
        try: os.read(client, 1)
        except OSError: print(err('tls')); print(err('.'))
    """)
    own, top = python(scheme, program).splitlines()
    assert "TLS failed" in own
    assert top == f"tls: {own}"


def test_a_write_of_a_child_to_a_descriptor_of_the_shell(scheme: Path) -> None:
    script = "exec 3<>udp/:0; cat README >&3 || cat udp/err"
    assert "has no peer" in shell(scheme, script)


def test_threads_of_one_process_each_have_their_own(scheme: Path, family: Family) -> None:
    program = family.fill("""
        said = {}
        barrier = threading.Barrier(20)
        def call(port):
            barrier.wait(); fails(f'tcp/[LO]:{port}'); barrier.wait(); said[port] = err()
        threads = [threading.Thread(target=call, args=(port,)) for port in range(9001, 9021)]
        [thread.start() for thread in threads]; [thread.join() for thread in threads]
        print([port for port in said if f'RST from [LO]:{port} ' not in said[port]], len(said))
        print(err().startswith('RST from [LO]:90'))
    """)
    assert python(scheme, program) == "[] 20\nTrue\n"


def test_a_process_of_another_session_is_told_for_three_seconds(scheme: Path, family: Family) -> None:
    script = f"cat tcp/{family.lo.at(9)} 2>/dev/null; setsid -f sh -c 'cat tcp/err; echo .'; sleep 0.5"
    assert shell(scheme, script).startswith(f"RST from {family.lo.at(9)} ")
    script = f"cat tcp/{family.lo.at(9)} 2>/dev/null; sleep 3.2; cat tcp/err; setsid -w sh -c 'cat tcp/err; echo .'"
    own, other = shell(scheme, script).splitlines()
    assert own.startswith(f"RST from {family.lo.at(9)} ")
    assert other == "."


def test_the_top_has_err_and_its_readme_names_it(scheme: Path) -> None:
    assert shell(scheme, "cat udp/nothing 2>/dev/null || cat err").startswith("udp: there is no 'nothing'")
    assert shell(scheme, "cat tpc/x 2>/dev/null || cat err").startswith("there is no 'tpc' here; there are: ")
    assert "\nerr " in (scheme / "README").read_text()
    assert "err" in os.listdir(scheme)


@pytest.mark.needs("root")
def test_a_user_is_not_told_of_the_failures_of_root(scheme: Path, family: Family) -> None:
    script = f"cat tcp/{family.lo.at(9)} 2>/dev/null; setpriv --reuid 65534 --clear-groups cat tcp/err; echo ."
    assert shell(scheme, script) == ".\n"


def test_a_process_without_relatives_that_failed_is_told_nothing(scheme: Path) -> None:
    assert shell(scheme, "sleep 3.1; cat tcp/err err; echo .") == ".\n"


@pytest.mark.needs("root")
def test_with_a_daemon_in_a_pid_namespace_a_caller_outside_goes_by_uid(family: Family) -> None:
    with SchemeMount("--driver", "loopback", prefix=["unshare", "--pid", "--fork"]) as mounted:
        assert shell(mounted.path, f"cat tcp/{family.lo.at(9)} 2>/dev/null || cat tcp/err").startswith(
            f"RST from {family.lo.at(9)} "
        )
        said = shell(mounted.path, "setpriv --reuid 65534 --clear-groups cat tcp/err; cat tcp/err err")
        subprocess.run(["fusermount3", "-u", mounted.path], check=True)  # a SIGTERM would end unshare alone
    assert said.count(f"RST from {family.lo.at(9)} ") == 2
    assert "\ntcp: RST" in said


def test_memory_stays_bounded(scheme: Path) -> None:
    def fail() -> None:
        for number in range(500):
            with pytest.raises(OSError):
                os.stat(scheme / "tcp" / f"x{number}")

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fail()
    assert (scheme / "tcp/err").read_text() == "there is no 'x499'; an address is HOST:PORT or :PORT\n"
