"""Conversations as shells and programs see them, over a protocol that is all in one process: no network, no root."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.pipes import PipeScheme
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

SOON = 10.0


@pytest.fixture(scope="module")
def mounted(_no_leftovers: None) -> Iterator[SchemeMount]:
    with SchemeMount(schemes=[PipeScheme], log_level="info") as mount:
        yield mount
        assert "Traceback" not in mount.log()


@pytest.fixture
def pipe(mounted: SchemeMount) -> Path:
    return mounted.path / "pipe"


def bash(script: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, capture_output=True, text=True, timeout=SOON, check=False
    )
    return done.stdout + done.stderr


def test_shell_server_answers_shell_clients(pipe: Path, family: Family) -> None:
    script = family.fill(r"""
        exec 4<>:8080
        serve() {
            for i in 1 2 3; do
                read -r n peer _ <&4
                { read -r request; printf 'hello %s, you said %s\n' "$peer" "$request"; } <$n/rx >$n/tx &
            done
            wait
        }
        serve &
        for i in 1 2 3; do
            exec 3<>[LO]:8080
            printf 'request %s\nmore that is not read\n' $i >&3
            cat <&3
            exec 3>&-
        done
        wait
    """)
    out = bash(script, pipe)
    assert [line.partition("you said ")[2] for line in out.splitlines()] == ["request 1", "request 2", "request 3"], out


def test_half_close_in_a_script(pipe: Path, family: Family) -> None:
    script = family.fill(r"""
        exec 4<>:8081
        { read -r n _ <&4; tr a-z A-Z <$n/rx >$n/tx; } &
        exec 3<>clone; read -r n <&3; echo "connect [LO]:8081" >&3
        printf 'shout this' >$n/tx
        cat $n/rx
    """)
    assert bash(script, pipe) == "SHOUT THIS"


def test_one_megabyte_each_way_on_one_descriptor(pipe: Path, family: Family) -> None:
    listener = os.open(pipe / ":8082", os.O_RDWR)
    client = os.open(pipe / family.lo.at(8082), os.O_RDWR)
    number = os.read(listener, 100).split()[0].decode()
    server = os.open(pipe / number / "data", os.O_RDWR)
    data = os.urandom(1 << 20)
    got: dict[int, bytes] = {}

    def write(descriptor: int) -> None:
        assert os.write(descriptor, data) == len(data)

    def read(descriptor: int) -> None:
        octets = b""
        while len(octets) < len(data):
            octets += os.read(descriptor, 1 << 20)
        got[descriptor] = octets

    threads = [threading.Thread(target=f, args=(d,)) for f in (write, read) for d in (client, server)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert got == {client: data, server: data}
    for descriptor in (client, server, listener):
        os.close(descriptor)


def test_nonblocking_accept_and_poll(pipe: Path, family: Family) -> None:
    with pytest.raises(BlockingIOError):
        os.open(pipe / ":8083,accept", os.O_RDWR | os.O_NONBLOCK)
    listener = os.open(pipe / ":8083", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(listener, 10)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    assert poll.poll(0) == []
    client = os.open(pipe / family.lo.at(8083), os.O_RDWR)
    assert poll.poll(1000 * SOON) == [(listener, select.POLLIN)]
    accepted = os.open(pipe / ":8083,accept", os.O_RDWR | os.O_NONBLOCK)
    os.write(client, b"hello")
    assert os.read(accepted, 10) == b"hello"
    os.close(client)
    assert os.read(accepted, 10) == b""
    os.close(accepted)
    os.close(listener)


def test_errors_and_their_sentences(pipe: Path, family: Family) -> None:
    for name, number, sentence in (
        (family.lo.at(9), errno.ECONNREFUSED, "in answer to SYN"),
        ("192.0.2.1:9", errno.EHOSTUNREACH, "no route"),
        (f"{family.lo.at(80)},nonsense", errno.EINVAL, "there is no option 'nonsense'"),
    ):
        with pytest.raises(OSError) as caught:
            os.open(pipe / name, os.O_RDWR)
        assert caught.value.errno == number
        assert sentence in (pipe / "err").read_text()


def test_numbered_directory_says_all_about_a_conversation(pipe: Path, family: Family) -> None:
    listener = os.open(pipe / ":8084", os.O_RDONLY)
    client = os.open(pipe / f"{family.lo.at(8084)},read_timeout=0.2", os.O_RDWR)
    name = os.getxattr(client, "user.conversation").decode()
    directory = pipe / name.partition("/")[2]
    assert "state=ESTABLISHED\n" in (directory / "status").read_text()
    assert (directory / "remote").read_text() == f"{family.lo.at(8084)}\n"
    with pytest.raises(BlockingIOError):
        os.read(client, 1)  # read_timeout
    (directory / "settings/read_timeout").write_text("0.1\n")
    assert (directory / "settings/read_timeout").read_text() == "0.1\n"
    for path, flags in (("rx", os.O_WRONLY), ("tx", os.O_RDONLY), ("rx", os.O_RDWR)):
        with pytest.raises(PermissionError):
            os.open(directory / path, flags)
    os.close(client)
    os.close(listener)


@pytest.mark.needs("root")
def test_another_user_may_not_use_my_conversation(pipe: Path, family: Family) -> None:
    listener = os.open(pipe / ":8085", os.O_RDONLY)
    client = os.open(pipe / family.lo.at(8085), os.O_RDWR)
    number = os.getxattr(client, "user.conversation").decode().partition("/")[2]
    # From inside: the way to the mount point is its user's own.
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": pipe, "text": True, "timeout": SOON}
    for path in (f"{number}/data", f"{number}/status", f"{number}/settings/read_timeout"):
        done = subprocess.run(["cat", path], capture_output=True, check=False, **nobody)  # type: ignore[call-overload]
        assert "Permission denied" in done.stderr, path
    done = subprocess.run(["cat", "README"], capture_output=True, check=True, **nobody)  # type: ignore[call-overload]
    assert "clone" in done.stdout
    os.close(client)
    os.close(listener)


def test_signal_on_a_waiting_accept_leaves_no_listener(pipe: Path) -> None:
    assert bash("timeout 0.2 cat :8086,accept; echo $?", pipe) == "124\n"
    assert bash("exec 3<>:8086 && echo free", pipe) == "free\n"
