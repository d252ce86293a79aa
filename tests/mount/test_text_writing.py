"""When a write to a text takes effect: killed writers, appenders at once, descriptors that stay open, offsets."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

PAGE = Path(__file__).parents[2] / "docs/programs.md"
PATIENCE = 10.0
ONE = "10.0.0.1 one\n"


@pytest.fixture
def netcfg(module_scheme_mount):
    netcfg = module_scheme_mount.path / "netcfg"
    (netcfg / "resolv/hosts").write_text(ONE)
    (netcfg / "resolv/nameserver").write_text("10.0.2.3\n")
    return netcfg


def run(command, **options):
    return subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=20, **options)


def wait_until_closed(netcfg):
    """Wait until the daemon has released every file but the one that is read for it."""
    with (netcfg.parent / "stats").open("rb", buffering=0) as stats:
        os.pread(stats.fileno(), 4096, 0)  # what the open rendered; each later read renders anew
        wait_until(lambda: b"\nfiles=1\n" in os.pread(stats.fileno(), 4096, 0), "a file is still open")


WRITES_THEN_WAITS = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | (os.O_APPEND if sys.argv[2] == "append" else os.O_TRUNC))
for part in sys.argv[3:]:
    os.write(fd, part.encode())
print("written", flush=True)
time.sleep(60)
"""


def killed(node, mode, *parts, number=signal.SIGKILL):
    """Have a process write *parts* and die of a signal before it closes."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_THEN_WAITS, node, mode, *parts], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(number)
        assert writer.wait(PATIENCE) == -number


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("mode", "parts", "left"),
    [
        ("truncate", ["10.0.0.2 two\n10.0.0.3 th"], "10.0.0.2 two\n"),
        ("truncate", ["10.0.0.2 two\n", "10.0.0.3 th"], "10.0.0.2 two\n"),
        ("truncate", ["10.0.0.3 th"], ONE),
        ("truncate", [], ONE),
        ("append", ["10.0.0.2 two\n10.0.0.3 th"], f"{ONE}10.0.0.2 two\n"),
    ],
)
def test_complete_lines_of_a_killed_writer_stay(netcfg, mode, parts, left, number):
    killed(netcfg / "resolv/hosts", mode, *parts, number=number)
    wait_until_closed(netcfg)
    assert (netcfg / "resolv/hosts").read_text() == left


def test_half_a_document_of_a_killed_writer_is_never_in_force(netcfg):
    config = netcfg / "config"
    before = config.read_text()
    killed(config, "truncate", "forward = true\n")
    wait_until_closed(netcfg)
    assert config.read_text() == before


def test_a_killed_command_of_a_group_is_not_completed_by_the_shell(netcfg):
    config = netcfg / "config"
    before = config.read_text()
    done = run(
        f"{{ {sys.executable} -c 'import os; os.write(1, b\"forward = true\"); os.kill(os.getpid(), 9)'; }} >{config}"
    )
    assert done.returncode == 137
    wait_until_closed(netcfg)
    assert config.read_text() == before


@pytest.mark.parametrize("by", ["/bin/cat", "cat"])
def test_a_part_of_a_document_is_not_in_force_when_the_command_that_wrote_it_ends(netcfg, tmp_path, by):
    """The part would be a document: of no interface but lo."""
    (tmp_path / "a").write_text("forward = true\n")
    (tmp_path / "b").write_text("x")
    config = netcfg / "config"
    before = config.read_text()
    done = run(f"{{ {by} a; {by} {config} >c; {by} b; }} >{config}", cwd=tmp_path)
    assert done.stderr == ""
    assert (tmp_path / "c").read_text() == before
    wait_until_closed(netcfg)
    assert config.read_text() == before
    assert "config: refused at close: not TOML" in (netcfg.parent / "logging/net/schemefs.log").read_text()
    (tmp_path / "b").write_text('search = ["example.org"]\n')
    assert run(f"exec 3>{config}; {by} a >&3; cat {config} >c; {by} b >&3; exec 3>&-", cwd=tmp_path).returncode == 0
    assert (tmp_path / "c").read_text() == before
    assert 'search = ["example.org"]\nhosts' in config.read_text()
    config.write_text(before)


def test_two_appenders_at_once_lose_nothing(netcfg):
    hosts = netcfg / "resolv/hosts"
    loop = f"for n in $(seq 100); do echo 10.$1.0.$n name-$1-$n >>{hosts}; done"
    block = f"for n in $(seq 100); do echo 10.$1.0.$n name-$1-$n; done | tee -a {hosts}"
    writers = [
        subprocess.Popen(["bash", "-c", script, "bash", str(n)], stdout=subprocess.DEVNULL)
        for n, script in enumerate((loop, loop, block, block), 1)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    added = [f"10.{writer}.0.{n} name-{writer}-{n}" for writer in range(1, 5) for n in range(1, 101)]
    lines = hosts.read_text().splitlines()
    assert lines[0] == ONE.strip()
    assert sorted(lines[1:]) == sorted(added)


def test_a_refused_appender_takes_back_its_own_lines_alone(netcfg):
    hosts = netcfg / "resolv/hosts"
    done = run(f"{{ echo 10.0.0.2 two; echo 10.0.0.3 three >>{hosts}; echo nonsense; echo 10.0.0.4 four; }} >>{hosts}")
    assert done.stderr.count("Invalid argument") == 2  # what follows the refused line is refused with it
    assert hosts.read_text() == f"{ONE}10.0.0.3 three\n"


def test_complete_lines_are_in_force_while_the_file_stays_open(netcfg):
    with (netcfg / "resolv/nameserver").open("wb", 0) as file:
        file.write(b"10.0.2.4\n")
        assert (netcfg / "resolv/nameserver").read_text() == "10.0.2.4\n"
        file.write(b"10.0.2.")
        assert (netcfg / "resolv/nameserver").read_text() == "10.0.2.4\n"
        file.write(b"5")
        os.fsync(file.fileno())
        assert (netcfg / "resolv/nameserver").read_text() == "10.0.2.4\n10.0.2.5\n"
        file.write(b"5\n")
        assert (netcfg / "resolv/nameserver").read_text() == "10.0.2.4\n10.0.2.55\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("echo nonsense >$F", 1),
        ("printf '10.0.2.4\\nnonsense\\n10.0.2.5\\n' >$F", 1),
        ("printf '10.0.2.4\\nnonsense\\n10.0.2.5\\n' >>$F", 1),
        ("printf '10.0.2.4\\n10.0.2.' | cat >$F", 1),
        ("printf '10.0.2.4\\n10.0.2.' | tee $F", 1),
        ("printf '10.0.2.4\\n10.0.2.' | dd bs=4 of=$F", 1),
        ("printf '10.0.2.4\\n10.0.2.' | sed -n \"w $F\"", 4),
        ("printf '10.0.2.4\\n10.0.2.' >$F", 0),  # bash ignores the error of close(2)
    ],
)
def test_a_refused_text_leaves_what_was_in_force(netcfg, command, status):
    nameserver = netcfg / "resolv/nameserver"
    done = run(f"{command}\nstatus=$?; cat {netcfg}/err; exit $status", env=os.environ | {"F": str(nameserver)})
    assert (done.returncode, "Invalid argument" in done.stderr) == (status, bool(status))
    assert "is not an IP address" in done.stdout
    assert nameserver.read_text() == "10.0.2.3\n"


def test_a_refusal_at_close_is_in_the_log(netcfg):
    run(f"printf 10.9.9. >{netcfg}/resolv/nameserver")
    assert "nameserver: refused at close: '10.9.9.' is not" in (netcfg.parent / "logging/net/schemefs.log").read_text()


@pytest.mark.parametrize(
    ("command", "hosts", "nameserver"),
    [
        (": >resolv/hosts", "", "10.0.2.3\n"),
        ("truncate -s 0 resolv/nameserver", ONE, "Not configured\n"),
        (f"{sys.executable} -c 'import os; os.truncate(\"resolv/hosts\", 0)'", "", "10.0.2.3\n"),
        ("cat missing >resolv/hosts", "", "10.0.2.3\n"),
        ("cat resolv/nameserver 1<>resolv/nameserver", ONE, "10.0.2.3\n"),
        ("exec 3>resolv/hosts; cat resolv/hosts >/dev/null; echo 10.0.0.2 two >&3", "10.0.0.2 two\n", "10.0.2.3\n"),
    ],
)
def test_truncation(netcfg, command, hosts, nameserver):
    run(command, cwd=netcfg)
    wait_until_closed(netcfg)
    assert (netcfg / "resolv/hosts").read_text() == hosts
    assert (netcfg / "resolv/nameserver").read_text() == nameserver


@pytest.mark.parametrize("node", ["config", "iface/lo/addr", "ifaces/lo/impair", "iface/lo/mtu", "route/add"])
def test_a_text_that_must_not_be_empty_survives_a_truncation(netcfg, node):
    before = (netcfg / node).read_text()
    assert run(f": >{node}", cwd=netcfg).returncode == 0
    wait_until_closed(netcfg)
    assert (netcfg / node).read_text() == before


def test_offsets(netcfg):
    hosts = netcfg / "resolv/hosts"
    with hosts.open("r+b", 0) as file:
        for offset in (1, len(ONE) - 1, len(ONE) + 1):
            with pytest.raises(OSError) as caught:
                os.pwrite(file.fileno(), b"10.0.0.2 two\n", offset)
            assert caught.value.errno == errno.EINVAL
        assert hosts.read_text() == ONE
        os.pwrite(file.fileno(), b"10.0.0.2 two\n", len(ONE))
        os.pwrite(file.fileno(), b"10.0.0.3 three\n", len(ONE) + 13)
        assert hosts.read_text() == f"{ONE}10.0.0.2 two\n10.0.0.3 three\n"
        os.pwrite(file.fileno(), b"10.0.0.4 four\n", 0)
        assert hosts.read_text() == "10.0.0.4 four\n"
        with pytest.raises(OSError) as caught:
            os.ftruncate(file.fileno(), 5)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("command", "routes"),
    [
        ("printf '10.61.0.0/16 dev lo\\n10.62.0.0/16 dev lo\\n' >route/add", 2),
        ("printf '10.61.0.0/16 dev lo\\n10.62.0.0/16 dev lo' | dd bs=1 of=route/add", 2),
        ("{ /bin/echo -n '10.61.0.0/16 '; /bin/echo dev lo; } >route/add", 1),
        ("{ echo -n '10.61.0.0/16 '; echo dev lo; } >>route/add", 1),
        ("printf '10.61.0.0/16 dev lo\\nnonsense\\n10.62.0.0/16 dev lo\\n' >route/add", 2),
        ("printf '10.61.0.0/16 dev lo\\nnonsense\\n10.62.0.0/16 dev lo\\n' | dd of=route/add", 0),
    ],
)
def test_commands(netcfg, command, routes):
    run(command, cwd=netcfg)
    listed = (netcfg / "route/list").read_text()
    assert listed.count("10.61.") + listed.count("10.62.") == routes
    run("echo 10.61.0.0/16 >route/rm; echo 10.62.0.0/16 >route/rm", cwd=netcfg)


def test_addresses_and_impairments_are_texts_of_lines(netcfg):
    assert run("printf '127.0.0.1/8\\n127.0.0.5/8\\n' >iface/lo/addr", cwd=netcfg).returncode == 0
    assert (netcfg / "iface/lo/addr").read_text() == "127.0.0.1/8\n127.0.0.5/8\n"
    assert run("echo 127.0.0.6/8 >>iface/lo/addr; echo 127.0.0.7/8 >>ifaces/lo/addr/set", cwd=netcfg).returncode == 0
    assert (netcfg / "iface/lo/addr").read_text() == "127.0.0.1/8\n127.0.0.5/8\n127.0.0.6/8\n127.0.0.7/8\n"
    assert run("printf '127.0.0.9/8\\nnonsense\\n' >iface/lo/addr", cwd=netcfg).returncode == 1
    assert run("echo 127.0.0.1/8 >iface/lo/addr", cwd=netcfg).returncode == 0
    both = "direction in loss 1%\ndirection out delay 1ms\n"
    assert run(f"printf '{both.replace('%', '%%')}' >ifaces/lo/impair", cwd=netcfg).returncode == 0
    shown = [line for line in (netcfg / "ifaces/lo/impair").read_text().splitlines() if line[0] != "#"]
    assert len(shown) == 2
    assert run("echo none >ifaces/lo/impair; echo 'delay 1ms' >>ifaces/lo/impair", cwd=netcfg).returncode == 0
    assert (netcfg / "ifaces/lo/impair").read_text().startswith("delay")
    assert run("echo none >ifaces/lo/impair", cwd=netcfg).returncode == 0


def test_what_was_read_can_be_written_back(netcfg):
    nameserver = netcfg / "resolv/nameserver"
    assert run(f": >{nameserver}").returncode == 0
    wait_until_closed(netcfg)
    assert nameserver.read_text() == "Not configured\n"
    nameserver.write_text(nameserver.read_text())
    with nameserver.open("r+") as file:
        file.write(f"{file.read()}10.0.2.9\n"[len("Not configured\n") :])
    assert nameserver.read_text() == "10.0.2.9\n"


INSTEAD = re.findall(r"^\| `(.*?)` \| .*: (E\w+) \| `(.*?)` \|$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.needs("rsync", "perl")
@pytest.mark.parametrize(("command", "number", "instead"), INSTEAD)
def test_what_needs_another_name_fails_and_the_page_says_what_works(netcfg, tmp_path, command, number, instead):
    (tmp_path / "new").write_text("10.0.0.2 two\n")

    def type_in(line):
        line = re.sub(r"\bnew\b", str(tmp_path / "new"), line.replace("s/a/b/", "s/one/two/"))
        return run(line, cwd=netcfg / "resolv", env=os.environ | {"LC_ALL": "C"})

    done = type_in(command)
    assert done.returncode != 0 or command.startswith("perl")  # which warns
    assert os.strerror(getattr(errno, number)) in done.stderr
    assert (netcfg / "resolv/hosts").read_text() == ONE
    assert (type_in(instead).returncode, "two" in (netcfg / "resolv/hosts").read_text()) == (0, True)


def test_the_page_has_these_programs():
    assert [command.split()[0] for command, *_ in INSTEAD] == ["sed", "perl", "install", "mv", "cp", "rsync"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("mv hosts other", "Operation not permitted"),
        ("rm -f hosts", "Operation not permitted"),
        ("ln hosts other", "Operation not permitted"),
        ("mkdir other", "Operation not permitted"),
        ("touch other", "No such file or directory"),
        ("echo 10.0.0.2 two >other", "No such file or directory"),
    ],
)
def test_names_can_not_be_changed(netcfg, command, words):
    done = run(command, cwd=netcfg / "resolv", env=os.environ | {"LC_ALL": "C"})
    assert done.returncode != 0
    assert words in done.stderr
    assert (netcfg / "resolv/hosts").read_text() == ONE
