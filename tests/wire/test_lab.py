"""`schemefs lab` on real namespaces and TAPs: a network of ordinary programs, as root and as an ordinary user."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemefs.errors import StartError
from schemefs.lab.running import RunningLab
from schemefs.lab.topology import Topology
from tests.support.ordinary_user import as_ordinary_user

pytestmark = [pytest.mark.needs("fuse", "tap", "root")]

LAB = [sys.executable, "-m", "schemefs", "lab"]
FOLDER = Path(__file__).parents[2]
USERS = [pytest.param(False, id="root"), pytest.param(True, id="user", marks=pytest.mark.needs("userns"))]


def lab(
    *words: str, user: bool = False, program: Sequence[str] = LAB, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run `schemefs lab`, or another program, with *words*."""
    command = [*(as_ordinary_user() if user else []), *program, *words]
    defaults = {"capture_output": True, "text": True, "timeout": 60, "check": False, "cwd": FOLDER}
    return subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]


def wait_until(true: object, what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.parametrize("user", USERS)
def test_a_command_gets_a_network_and_its_status_is_the_labs(user: bool, tmp_path: Path) -> None:
    """Names, `on`, the tree, impairments changed meanwhile, $LAB, standard input, and the machine's files."""
    script = """
        { ping -c 1 -q server && ping -c 1 -q 10.9.1.1 && ping -c 1 -q fd09:1::1; } >/dev/null || exit 3
        on server ping -c 1 -q client >/dev/null || exit 3
        on server sh -c 'cat /proc/net/route; echo $$ >$LAB/number' >$LAB/routes || exit 4
        [ -s "$LAB/number" ] || exit 5
        echo 'delay 200ms' >/scheme/netcfg/ifaces/server/impair || exit 6
        ping -c 1 -q -W 5 server | grep rtt
        echo 'a line' | on server cat
        on client on server sh -c 'echo nested >&2; exit 9'; echo "on: $?"
        on other true; echo "other: $?"
        on server nonesuch; echo "nonesuch: $?"
        on server sh -c 'kill -TERM $$'; echo "killed: $?"
        cmp /scheme/README /scheme/router/README || exit 7
        read -r line; echo "$line"; pwd; exit 42
    """
    done = lab("--", "sh", "-c", script, user=user, input="from outside\n")
    assert done.returncode == 42, (done.stdout, done.stderr)
    rtt = re.search(r"rtt min/avg/max/mdev = ([0-9.]+)", done.stdout)
    assert rtt is not None
    assert float(rtt[1]) > 200
    assert done.stdout.endswith(f"a line\non: 9\nother: 2\nnonesuch: 127\nkilled: 143\nfrom outside\n{FOLDER}\n")
    assert "nested\non: there is no host 'other'; the hosts are client, server\n" in done.stderr
    assert not os.path.exists("/lab")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--", "nonesuch"], "there is no command 'nonesuch'"),
        (["--hosts", "a,b", "--link", "c=loss 1%", "--", "true"], "there is no host 'c'; there are: a, b"),
        (["--hosts", "a,a", "--", "true"], "the name 'a' is given twice; each host and router has a name of its own"),
        (["--link", "client=los 1%", "--", "true"], "'los' in 'los 1%' is not one of"),
        (["nonesuch.toml", "--", "true"], "nonesuch.toml: No such file or directory"),
        (["--nonsense"], "No such option"),
        (["--hosts", "", "--", "true"], "'' is not a host name"),
        (["--shell", "--", "true"], "--shell and a command can't be given together"),
        (["--hosts", "a"], "there is nothing to run"),
        (["net.toml", "--hosts", "a", "--", "true"], "can't be given beside a file"),
        (["--", "/etc/passwd"], "/etc/passwd can't be run: it is not executable"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_status_2(words: list[str], sentence: str) -> None:
    done = lab(*words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert sentence in done.stderr
    assert re.fullmatch(r"schemefs: .+\n", done.stderr)


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "2>/dev/full"])
def test_an_output_that_takes_nothing_leaves_the_status_as_it_is(redirection: str) -> None:
    done = lab("-c", f'"$@" {redirection}', "sh", *LAB, "--", "sh", "-c", "exit 7", program=["sh"])
    assert (done.returncode, "Traceback" in done.stderr) == (7, False), done.stderr


def test_a_report_that_cannot_be_written_is_one_sentence() -> None:
    done = lab("--report-json", "/dev/full", "--", "true")
    assert done.returncode == 2
    assert done.stderr.endswith("\nschemefs: --report-json /dev/full: No space left on device\n")


def test_a_lab_in_a_lab_has_hosts_of_its_own() -> None:
    done = lab("--hosts", "x,y", "--", *LAB, "--hosts", "p,q", "--", "sh", "-c", "ping -c 1 -q q >&2 && on y true")
    assert done.returncode == 2, done.stderr
    assert "\non: there is no host 'y'; the hosts are p, q\n" in done.stderr


@pytest.mark.parametrize(
    ("which", "status", "user"),
    [
        pytest.param("outer", -9, True, marks=pytest.mark.needs("userns")),
        pytest.param("first", 2, True, marks=pytest.mark.needs("userns")),
        ("daemon", 2, False),
        ("command", 137, False),
        pytest.param("outer", -9, False, marks=pytest.mark.full),
        pytest.param("first", 2, False, marks=pytest.mark.full),
        pytest.param("daemon", 2, True, marks=[pytest.mark.full, pytest.mark.needs("userns")]),
    ],
)
def test_nothing_is_left_after_sigkill_of_any_process(which: str, status: int, user: bool) -> None:
    """The outer process, number 1, a router's daemon, the command."""
    mark = f"{os.getpid()}{time.monotonic_ns()}"
    script = f"on server -d sleep {mark}; (setsid sleep {mark} &); echo ready; read -r line"
    prefix = as_ordinary_user() if user else []
    with subprocess.Popen(
        [*prefix, *LAB, "--", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=FOLDER,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        wait_until(lambda: len(processes(mark)) >= 2, "the commands run")
        outer, first, daemon, command = family(process.pid)
        victims = {"outer": outer, "first": first, "daemon": daemon, "command": command}
        namespace = os.readlink(f"/proc/{first}/ns/mnt")
        os.kill(victims[which], signal.SIGKILL)
        process.wait(timeout=20)
        assert process.stderr is not None
        errors = process.stderr.read()
    wait_until(lambda: not processes(mark), f"all end after the end of {which}")
    wait_until(lambda: not in_mount_namespace(namespace), "its mounts are gone")
    assert process.returncode == status, errors
    if status == 2:
        assert re.fullmatch(r"schemefs: .* ended .*\n", errors)


def family(outer: int) -> tuple[int, int, int, int]:
    """Return the outer process, the first, the router's daemon and the command."""
    (first,) = children(outer)
    daemon, command = sorted(children(first))[:2]
    return outer, first, daemon, command


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processes(mark: str) -> list[int]:
    """Return the processes with *mark* as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def in_mount_namespace(namespace: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/mnt"):
        try:
            if os.readlink(path) == namespace:
                found.append(str(path))
        except OSError:
            continue
    return found


def test_signals_to_the_lab_reach_the_command() -> None:
    script = """
        trap 'echo INT' INT; trap 'echo HUP' HUP; trap 'echo TERM; exit 5' TERM
        echo ready; while :; do sleep 0.02; done
    """
    with subprocess.Popen([*LAB, "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True, cwd=FOLDER) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
            assert process.stdout.readline() == f"{number.name[3:]}\n"
    assert process.returncode == 5


def test_a_command_that_a_signal_ends_gives_128_and_the_signal() -> None:
    with subprocess.Popen([*LAB, "--", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130


@pytest.mark.needs("pasta", "userns")
def test_the_machines_network_is_reached_from_every_host_at_once() -> None:
    """The machine is a namespace with a server; what is lost on the links of the lab is not lost on the way out."""
    script = """
        ip link set lo up && ip link add eth0 type veth peer name eth1 && ip addr add 192.0.2.1/24 dev eth0 || exit 8
        ip link set eth0 up && ip link set eth1 up && ip route add default via 192.0.2.9 || exit 9
        ip addr add 2001:db8::1/64 dev eth0 nodad && ip route add default via 2001:db8::9 || exit 10
        mkdir /mnt/www && echo a page >/mnt/www/index.html
        python3 -m http.server --bind :: -d /mnt/www 80 >/dev/null 2>&1 & server=$!
        until curl -s -o /dev/null http://192.0.2.1/; do sleep 0.05; done
        "$@"; status=$?; kill $server; exit $status
    """
    inside = (
        "set -e; for i in 192.0.2.1 192.0.2.1 [2001:db8::1]; do for host in client server; do "
        "on $host curl -sS -m 5 http://$i/; done; done"
    )
    words = ["--internet", "--link", "client=loss 100%", "--", "sh", "-c", inside]
    machine = ["unshare", "--net", "--mount", "sh", "-c", f"mount -t tmpfs none /mnt; {script}", "sh"]
    done = subprocess.run([*machine, *LAB, *words], capture_output=True, text=True, timeout=60, check=False, cwd=FOLDER)
    assert (done.returncode, done.stdout) == (0, 6 * "a page\n"), done.stderr


def test_without_pasta_there_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "true").symlink_to("/bin/true")
    done = lab("--internet", "--", "true", env={**os.environ, "PATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (
        2,
        "schemefs: --internet needs the program pasta: apt-get install passt\n",
    )


FORBIDDING = """
    echo 0 >/proc/sys/user/max_user_namespaces || exit 9
    exec setpriv --securebits +noroot,+noroot_locked --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""


@pytest.mark.needs("userns")
def test_forbidden_namespaces_are_named() -> None:
    """In a user namespace in which there may be no further one, by a process without capabilities."""
    words = [*as_ordinary_user(), "unshare", "-Ur", "sh", "-c", FORBIDDING, "sh", *LAB, "--", "true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=FOLDER)
    sentence = "schemefs: this system forbids user namespaces: /proc/sys/user/max_user_namespaces is 0\n"
    assert (done.returncode, done.stderr) == (2, sentence)


HIDING = 'mount -t tmpfs none /proc/bus && exec "$@"'


@pytest.mark.needs("userns")
@pytest.mark.parametrize(
    "which", ["outer", pytest.param("first", marks=pytest.mark.full), pytest.param("command", marks=pytest.mark.full)]
)
def test_where_proc_is_forbidden_all_ends_too(which: str) -> None:
    """As in a container that hides parts of /proc: there is no process id namespace, and that is said."""
    mark = f"{os.getpid()}{time.monotonic_ns()}"
    script = f"on server -d sleep {mark}; (setsid sleep {mark} &); echo ready; read -r line"
    words = ["unshare", "--mount", "sh", "-c", HIDING, "sh", *as_ordinary_user(), *LAB, "--", "sh", "-c", script]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FOLDER
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        assert "forbids mounting /proc" in process.stderr.readline()
        wait_until(lambda: len(processes(mark)) >= 2, "the commands run")
        outer, first, _daemon, command = family(process.pid)
        os.kill({"outer": outer, "first": first, "command": command}[which], signal.SIGKILL)
        process.wait(timeout=20)
    wait_until(lambda: not processes(mark), "all end")
    assert process.returncode == {"outer": -9, "first": 2, "command": 137}[which]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningLab]:
    with RunningLab(Topology.from_options(["client", "server"])) as started:
        yield started


def test_a_lab_is_entered_from_outside(running: RunningLab) -> None:
    def run(host: str, *command: str) -> subprocess.CompletedProcess[str]:
        words = [*running.words(host), *command]
        return subprocess.run(
            words, env=running.environment(host), capture_output=True, text=True, timeout=20, check=False
        )

    assert run("client", "ping", "-c", "1", "-q", "server").returncode == 0
    assert run("client", "on", "server", "sh", "-c", "exit 3").returncode == 3
    (running.scheme / "netcfg/ifaces/server/impair").write_text("loss 100%")
    assert run("client", "ping", "-c", "1", "-q", "-W", "0.2", "server").returncode == 1
    (running.scheme / "netcfg/ifaces/server/impair").write_text("none")
    assert run("client", "pwd").stdout == f"{os.getcwd()}\n"
    assert run("client", "nonesuch").returncode == 127
    with pytest.raises(LookupError, match="other"):
        running.words("other")
    with subprocess.Popen([*running.words("server"), "sleep", "60"]) as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(), "it has started")
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM


def test_a_lab_that_can_not_start_says_why() -> None:
    with pytest.raises(StartError, match=r"a router can't be called 'tcp'"):
        from schemefs.lab.description import DescribedHost, DescribedLink, Description

        described = Description((DescribedHost("a"),), (DescribedHost("tcp"),), (DescribedLink(("a", "tcp")),))
        RunningLab(Topology.from_description(described)).start()
