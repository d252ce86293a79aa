"""The tree under real shells and tools: what a person types works, and says what is wrong when it does not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

both_shells = pytest.mark.parametrize("sh", ["bash", "dash"], indirect=True)


class Shell:
    """Runs scripts in which $S is the mount."""

    def __init__(self, scheme: Path, shell: str) -> None:
        self.command = ["env", f"S={scheme}", shell, "-c"]
        self.started: list[subprocess.Popen[str]] = []

    def start(self, script: str) -> subprocess.Popen[str]:
        """Start a script, which is killed at the end of the test if it still runs."""
        process = subprocess.Popen(
            [*self.command, script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def serve(self, script: str) -> subprocess.Popen[str]:
        """Start a script and wait until it says `listening`."""
        process = self.start(script)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        return process

    def close(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def run(self, script: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.command, script], check=False, capture_output=True, text=True, timeout=timeout)

    def says(self, script: str) -> str:
        done = self.run(script)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture
def sh(module_scheme_mount: SchemeMount, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell: bash, or what the test's parameter says."""
    made = Shell(module_scheme_mount.path, getattr(request, "param", "bash"))
    yield made
    made.close()


@both_shells
def test_two_shells_talk_over_tcp(sh: Shell, family: Family) -> None:
    server = sh.serve(
        """exec 4<>$S/tcp/:7001; echo listening; read -r n peer local <&4
        { read -r question; echo "you said $question"; } <$S/tcp/$n/rx >$S/tcp/$n/tx"""
    )
    assert sh.says(f"exec 3<>$S/tcp/{family.lo.at(7001)}; echo hello >&3; cat <&3") == "you said hello\n"
    assert server.communicate(timeout=10) == ("", "")


@both_shells
def test_two_shells_talk_over_udp(sh: Shell, family: Family) -> None:
    server = sh.serve("exec 4<>$S/udp/:7002; echo listening; head -c 6 <&4")
    sh.says(f"echo hello >$S/udp/{family.lo.at(7002)}")
    assert server.communicate(timeout=10) == ("hello\n", "")


@both_shells
def test_one_shot_accept(sh: Shell, family: Family) -> None:
    server = sh.start("cat <$S/tcp/:7003,accept")
    # The listener is there when the accepting open is parked: netstat-like, tcp/*/local says so.
    while ":7003" not in sh.run("cat $S/tcp/[0-9]*/local 2>/dev/null").stdout:
        assert server.poll() is None
    sh.says(f"echo once >$S/tcp/{family.lo.at(7003)}")
    assert server.communicate(timeout=10) == ("once\n", "")


@both_shells
def test_reading_and_writing_one_descriptor_in_two_processes(sh: Shell, family: Family) -> None:
    """A parked `cat <&3` must not hold the file position's lock, or every `echo >&3` would hang."""
    server = sh.serve(
        """exec 4<>$S/tcp/:7004; echo listening; read -r n _ <&4
        exec 3<>$S/tcp/$n/data; while read -r line <&3; do echo "[$line]" >&3; done"""
    )
    script = family.fill("""exec 3<>$S/tcp/[LO]:7004; head -c 20 <&3 & reader=$!
        for word in one two three; do echo $word >&3; done; wait $reader""")
    assert sh.says(script) == "[one]\n[two]\n[three]\n"
    server.communicate(timeout=10)


@both_shells
def test_half_close(sh: Shell, family: Family) -> None:
    server = sh.serve(
        "exec 4<>$S/tcp/:7005; echo listening; read -r n _ <&4; exec 3<>$S/tcp/$n/data; cat <&3 | tr a-z A-Z >&3"
    )
    script = family.fill("""exec 3<>$S/tcp/clone; read -r n <&3; echo "connect [LO]:7005" >&3
        printf 'to the end' >$S/tcp/$n/tx; cat $S/tcp/$n/rx""")
    assert sh.says(script) == "TO THE END"
    server.communicate(timeout=10)


@both_shells
def test_write_only_into_an_echo_server_ends_well(sh: Shell, tmp_path: Path, family: Family) -> None:
    """`cat big >tcp/HOST:PORT`: nobody reads the echo, and yet everything arrives and is no reset."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(1 << 16) * 128)  # 8 MiB, more than every buffer on the way
    server = sh.serve(
        f"""exec 4<>$S/tcp/:7006; echo listening; read -r n _ <&4
        exec 3<>$S/tcp/$n/data; tee {tmp_path}/received <&3 >&3; echo status $?"""
    )
    sh.says(f"cat {big} >$S/tcp/{family.lo.at(7006)}")
    output, errors = server.communicate(timeout=30)
    assert (output, errors) == ("status 0\n", "")
    assert hashlib.sha256((tmp_path / "received").read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()


@both_shells
def test_one_byte_at_a_time_and_in_blocks(sh: Shell, family: Family) -> None:
    """`read` takes one octet at a time from what can't seek, so head and cat get exactly the rest."""
    server = sh.serve(
        """exec 4<>$S/tcp/:7007; echo listening; read -r n _ <&4
        printf 'first line\\nsecond line\\n0123456789the rest' >$S/tcp/$n/tx"""
    )
    script = family.fill("""exec 3<>$S/tcp/[LO]:7007; read -r a <&3; read -r b <&3; echo "$a|$b"
        head -c 10 <&3; echo; dd bs=4 count=1 status=none <&3; echo; cat <&3""")
    assert sh.says(script) == "first line|second line\n0123456789\nthe \nrest"
    server.communicate(timeout=10)


@both_shells
def test_read_timeout_says_so_and_end_of_file_is_silent(sh: Shell, family: Family) -> None:
    server = sh.serve("exec 4<>$S/tcp/:7008; echo listening; read -r n _ <&4; cat $S/tcp/$n/rx >/dev/null")
    done = sh.run(f"exec 3<>$S/tcp/{family.lo.at(7008)},read_timeout=0.2; read -r x <&3; echo status $?")
    assert done.stdout == "status 1\n"
    if sh.command[2] == "bash":
        assert "Resource temporarily unavailable" in done.stderr
    server.communicate(timeout=10)


@both_shells
def test_the_same_conversation_through_dev_fd(sh: Shell, family: Family) -> None:
    server = sh.serve(
        """exec 4<>$S/tcp/:7009; echo listening; read -r n _ <&4
        exec 3<>$S/tcp/$n/data; read -r line <&3; echo "$line" >&3"""
    )
    assert sh.says(f"exec 3<>$S/tcp/{family.lo.at(7009)}; echo joined >/dev/fd/3; cat /proc/self/fd/3") == "joined\n"
    server.communicate(timeout=10)


@both_shells
@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("cat $S/tcp", "Is a directory"),
        ("cat $S/tcp/[LO]:7999", "Connection refused"),
        ("exec 3<>$S/tcp/[LO]:7999", "Connection refused|cannot create"),
        ("cat $S/tcp/[LO]:x", "Invalid argument"),
        ("cat $S/tcp/[LO]:1,frobnicate", "Invalid argument"),
        ("cat $S/nothing", "No such file or directory"),
        ("echo x >$S/nothing", "Permission denied|No such file|Operation not permitted|cannot create"),
        ("echo x >$S/tcp/nothing", "Permission denied|No such file|Operation not permitted|cannot create"),
        ("mkdir $S/tcp/new", "Permission denied|not permitted|not implemented|Read-only"),
        ("rm $S/README", "Permission denied|not permitted|not implemented|Read-only"),
        ("echo nonsense >$S/netcfg/iface/lo/addr", "Invalid argument|I/O error"),
    ],
)
def test_what_can_not_be_done_is_said(sh: Shell, command: str, complaint: str, family: Family) -> None:
    done = sh.run(family.fill(command))
    assert done.returncode != 0
    assert re.search(complaint, done.stderr)


@both_shells
def test_redirection_with_its_create_and_truncate_writes_a_node(sh: Shell, family: Family) -> None:
    script = """echo LO >$S/netcfg/resolv/nameserver; cat $S/netcfg/resolv/nameserver
        echo ABSENT >|$S/netcfg/resolv/nameserver; cat $S/netcfg/resolv/nameserver"""
    assert sh.says(family.fill(script)) == family.fill("LO\nABSENT\n")


@both_shells
def test_looking_makes_nothing(sh: Shell, family: Family) -> None:
    """ls, stat, find and test -e: no conversation, no listener, no name resolved."""
    count = "ls $S/tcp | grep -c '^[0-9]*$'"
    script = f"""{count}; test -e $S/tcp/{family.lo.at(7010)}; stat $S/tcp/:7011 >/dev/null
        ls -l $S/tcp/{family.lo.at(7012)} $S/udp >/dev/null; find $S -maxdepth 2 >/dev/null; {count}"""
    before, after = sh.run(script).stdout.split()
    assert before == after


@both_shells
def test_the_log_is_followed(sh: Shell) -> None:
    tail = sh.start("exec tail -n +1 -f $S/logging/net/schemefs.log")
    assert tail.stdout is not None
    assert re.match(r"\+\d+\.\d+ [A-Z]+ ", tail.stdout.readline())
    tail.kill()
    assert sh.says("cat $S/logging/net/schemefs.log").count("\n") >= 1


def test_bashs_background_jobs_and_coprocesses(sh: Shell, family: Family) -> None:
    script = family.fill("""exec 4<>$S/tcp/:7013
        { read -r n _ <&4; cat $S/tcp/$n/rx; } & server=$!
        coproc cat >$S/tcp/[LO]:7013
        echo through the coprocess >&${COPROC[1]}; eval "exec ${COPROC[1]}>&-"; wait $server""")
    done = sh.run(script)
    assert done.stdout == "through the coprocess\n"


@pytest.mark.parametrize("tool", ["cat", "dd bs=1M status=none", "cp /dev/stdin /dev/stdout", "tee", "head -c 3000000"])
def test_tools_move_everything(sh: Shell, tmp_path: Path, tool: str, family: Family) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    server = sh.serve(f"exec 4<>$S/tcp/:7014; echo listening; read -r n _ <&4; {tool} <$S/tcp/$n/rx >{tmp_path}/out")
    sh.says(f"{tool} <{tmp_path}/in >$S/tcp/{family.lo.at(7014)}")
    assert server.communicate(timeout=30) == ("", "")
    assert (tmp_path / "out").read_bytes() == data


@both_shells
def test_here_documents(sh: Shell, family: Family) -> None:
    server = sh.serve("exec 4<>$S/tcp/:7015; echo listening; read -r n _ <&4; cat $S/tcp/$n/rx")
    sh.says(f"cat <<END >$S/tcp/{family.lo.at(7015)}\nfrom $((6 * 7))\n  a here-document\nEND\n")
    assert server.communicate(timeout=10) == ("from 42\n  a here-document\n", "")


def test_bashs_here_strings_and_substitutions(sh: Shell, family: Family) -> None:
    server = sh.serve("exec 4<>$S/tcp/:7016; echo listening; read -r n _ <&4; cat $S/tcp/$n/rx")
    sh.says(f'tee $S/tcp/{family.lo.at(7016)} <<<"a string" >/dev/null')
    assert server.communicate(timeout=10) == ("a string\n", "")
    server = sh.serve("exec 4<>$S/tcp/:7017; echo listening; read -r n _ <&4; echo the answer >$S/tcp/$n/tx")
    assert sh.says(f'answer=$(<$S/tcp/{family.lo.at(7017)}); echo "[$answer]"') == "[the answer]\n"
    server.communicate(timeout=10)


SHOUTER = """exec 4<>$S/tcp/:{port}; echo listening; read -r n _ <&4
    exec 3<>$S/tcp/$n/data; while read -r line <&3; do echo "${{line^^}}!" >&3; done"""


@pytest.mark.needs("socat")
def test_socat_relays_both_ways(sh: Shell, family: Family) -> None:
    server = sh.serve(SHOUTER.format(port=7018))
    script = family.fill('{ echo one; echo two; } | socat -t 5 - "FILE:$S/tcp/[LO]!7018" | head -n 2')
    assert sh.says(script) == "ONE!\nTWO!\n"
    server.communicate(timeout=10)


@pytest.mark.needs("ncat")
def test_ncat_serves_a_command_that_uses_the_mount(sh: Shell, tmp_path: Path, family: Family) -> None:
    """Any listener's connections go anywhere: here from a Unix socket, whose command relays in both directions."""
    server = sh.serve(SHOUTER.format(port=7019))
    path = tmp_path / "socket"
    relay = f"exec 3<>$S/tcp/{family.lo.at(7019)}; cat <&3 & exec cat >&3"
    sh.start(f"exec ncat -lU {path} -c '{relay}'")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        wait_until(lambda: not client.connect_ex(str(path)), "ncat does not listen")
        client.sendall(b"through ncat\n")
        assert client.makefile().readline() == "THROUGH NCAT!\n"
    server.kill()
