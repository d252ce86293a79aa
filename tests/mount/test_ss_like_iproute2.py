"""`schemefs ss` beside iproute2's ss: the same conversations in a kernel's namespace and on a mount."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import Family
from tests.support.tools_in_process import call

pytestmark = pytest.mark.needs("root", "fuse", "ss")

# A listener, a connection with 5 unread octets, a bound socket of UDP and a connected one, with fixed ports.
KERNEL = """
import socket, sys
listener = socket.create_server(("LO", 5000), family=socket.SOCKET)
client = socket.socket(socket.SOCKET); client.bind(("LO", 40001)); client.connect(("LO", 5000))
client.send(b"12345")
server, _ = listener.accept()
bound, connected = (socket.socket(socket.SOCKET, socket.SOCK_DGRAM) for _ in range(2))
bound.bind(("LO", 5001)); connected.bind(("LO", 40002)); connected.connect(("LO", 5001))
print("ready", flush=True); sys.stdin.read()
"""
STATES = {"ESTABLISHED": "ESTAB", "CONNECTED": "ESTAB", "BOUND": "UNCONN"}

Row = tuple[str, ...]


class Both:
    """The conversations of KERNEL, on a kernel and on a mount."""

    def __init__(self, tree: Path, family: Family, kernel: Namespace) -> None:
        self.tree = tree
        self.family = family
        self.kernel = kernel
        self.process = kernel.start(
            [sys.executable, "-c", family.fill(KERNEL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        paths = ("tcp/[LO]:5000,listen", "tcp/[LO]:5000,from=[LO]:40001",
                 "udp/[LO]:5001,bind,headers", "udp/[LO]:5001,from=[LO]:40002")  # fmt: skip
        self.files = [os.open(tree / family.fill(path), os.O_RDWR) for path in paths]
        number = os.read(self.files[0], 100).split()[0].decode()
        self.files.append(os.open(tree / f"tcp/{number}/data", os.O_RDWR))
        os.write(self.files[1], b"12345")

    def ours(self, options: list[str], status: int = 0) -> set[Row]:
        rows = set()
        for line in call(self.tree, "ss", *options, status=status).splitlines():
            name, state, received, sent, local, remote, *_ = line.split()
            if "/" in name:
                shown = STATES.get(state, state)
                remote = self.family.any.at("*") if remote == "-" else remote
                rows.add((name.partition("/")[0], shown, received, sent, local, remote))
        return rows

    def theirs(self, options: list[str]) -> set[Row]:
        # With one kind of socket or of state ss leaves a column out: so all kinds are asked for, and sorted out here.
        text = self.kernel.run(["ss", "-n", *options], stderr=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
        header, *lines = text.splitlines()
        rows = set()
        for line in lines:
            words = line.split()
            if not header.startswith("Netid"):
                words.insert(0, "udp" if "-u" in options or "-ua" in options else "tcp")
            if "State" not in header:
                words.insert(1, "")
            if words[0] in ("tcp", "udp"):  # netlink and UNIX sockets are the kernel's alone
                rows.add(tuple(words[:6]))
        return rows


@pytest.fixture(scope="module")
def both(module_scheme_mount: SchemeMount, module_family: Family) -> Iterator[Both]:
    kernel = Namespace()
    made = Both(module_scheme_mount.path, module_family, kernel)
    yield made
    for file in made.files:
        os.close(file)
    made.process.communicate()
    kernel.close()


@pytest.mark.parametrize(
    "command",
    [
        "", "-t", "-u", "-l", "-a", "-tl", "-ta", "-tua", "-ua", "-w", "-4", "-6", "-n -p -a",
        "state established", "state listening", "state unconnected", "state closed", "state all", "state connected",
        "state synchronized", "state bucket", "state big", "state syn-recv", "exclude established",
        "sport = :5000", "-a sport = :5000", "-t dst [LO]:5000", "dport > :4999", "dport geq 5000",
        "-a not sport = :5000", "-a dst LO/BITS", "-a ( sport = :5000 or dport = :5000 )", "dport neq :5000",
        "-ta sport lt 5001", "-a src [LO]:5001", "-a src ABSENT/BITS", "state established sport = :40001",
    ],
)  # fmt: skip
def test_the_same_conversations_are_shown(both: Both, command: str) -> None:
    words = both.family.fill(command).split()
    ours, theirs = both.ours(words), both.theirs(words)
    if any(not row[1] for row in theirs):  # the state is in no column: it was asked for
        ours = {(row[0], "", *row[2:]) for row in ours}
    assert {row[:1] + row[1:3] + row[4:] for row in ours} == {row[:1] + row[1:3] + row[4:] for row in theirs}


def test_the_summary_has_the_same_numbers(both: Both) -> None:
    ours = call(both.tree, "ss", "-s").splitlines()
    theirs = both.kernel.run(["ss", "-s"]).stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in theirs[3:] if line}
    assert {line.split()[0]: line.split()[1:] for line in ours[3:]} == {name: rows[name] for name in
                                                                       ("Transport", "RAW", "UDP", "TCP")}  # fmt: skip
    established = re.compile(r"\(estab (\d+),")
    assert established.search(ours[1])[1] == established.search(theirs[1])[1]  # type: ignore[index]
    summary = json.loads(call(both.tree, "ss", "-s", "--json"))
    shown = [[row["transport"], row["total"], row["ipv4"], row["ipv6"]] for row in summary["transports"]]
    assert [" ".join(map(str, row)) for row in shown] == [" ".join(line.split()) for line in ours[4:]]
    assert summary["established"] == int(established.search(ours[1])[1])  # type: ignore[index]


def test_details_are_on_a_line_of_their_own_or_not(both: Both) -> None:
    for option, word in (("-i", "cwnd:"), ("-m", "receive_capacity:"), ("-e", "readers:")):
        lines = call(both.tree, "ss", "-H", "-t", option, "sport", "=", ":40001").splitlines()
        assert len(lines) == 2
        assert word in lines[1]
        (line,) = call(both.tree, "ss", "-HtO", option, "sport", "=", ":40001").splitlines()
        assert word in line
    assert call(both.tree, "ss", "-t").startswith("NAME")
    assert f"{os.getpid()}" in call(both.tree, "ss", "-tpH", "sport", "=", ":40001").split()
    assert "timers" in call(both.tree, "ss", "-to").splitlines()[0]


def test_what_is_refused(both: Both) -> None:
    assert "'nosuch' is not a state" in call(both.tree, "ss", "state", "nosuch", status=1)
    assert "the filter ends where a port is expected" in call(both.tree, "ss", "sport", "=", status=1)
    line = "schemefs: -K is an option of ss itself, which shows the kernel's: ss -tK dst 10.0.0.1\n"  # not --mount
    assert call(both.tree, "ss", "-tK", "dst", "10.0.0.1", status=2).endswith(line)
    assert "--bpf is an option of ss itself" in call(both.tree, "ss", "--bpf", status=2)
    assert "No such option" in call(both.tree, "ss", "--nosuch", status=2)
    assert "'nohost.test' is not an address or a network" in call(both.tree, "ss", "dst", "nohost.test", status=1)
