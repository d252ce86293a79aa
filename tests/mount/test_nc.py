"""`schemefs nc` beside OpenBSD's nc(1): ends, listeners, probes, datagrams."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from tests.support.families import V4, V6, Family
from tests.support.running_tools import Tools

pytestmark = pytest.mark.needs("fuse")


def test_nc_listens_and_connects(tools: Tools) -> None:
    server = tools.start("nc", "-l", "5000")
    tools.listens("tcp")
    assert tools.run("nc", "-N", "localhost", "5000", octets=b"hello\n") == ""
    output, _ = server.communicate(timeout=10)
    assert (output, server.returncode) == (b"hello\n", 0)


def hears_the_end(tools: Tools, number: str) -> None:
    """Wait until a conversation of tcp was there, and the peer has said that it sends no more (or it is gone)."""
    status = tools.path / "tcp" / number / "status"
    while not status.exists():
        pass
    with contextlib.suppress(FileNotFoundError):
        while not status.read_text().startswith("state=CLOSE_WAIT"):
            pass


def test_nc_sends_the_rest_of_stdin_after_the_peers_end(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-N", "-l", "5000")  # its stdin is empty: it sends a FIN at once
    tools.listens("tcp")
    client = tools.start("nc", family.lo, "5000", stdin=subprocess.PIPE)
    hears_the_end(tools, "1")
    assert client.stdin is not None
    client.stdin.write(b"said late\n")
    client.stdin.close()
    client.stdin = None
    output, _ = server.communicate(timeout=10)
    assert (output, server.returncode, client.wait(10)) == (b"said late\n", 0, 0)


def test_nc_at_a_terminal_ends_with_the_peer(tools: Tools, family: Family) -> None:
    tools.start("serve", ":5000", "--", "echo", "bye")
    tools.listens("tcp")
    ours, terminal = os.openpty()
    client = tools.start("nc", family.lo, "5000", stdin=terminal)
    os.close(terminal)
    output, _ = client.communicate(timeout=10)
    os.close(ours)
    assert (output, client.returncode) == (b"bye\n", 0)


def test_nc_says_when_the_peer_did_not_take_all(tools: Tools, family: Family) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)
    client = tools.start("nc", family.lo, "5000", stdin=subprocess.PIPE)
    number = os.read(listener, 100).split()[0].decode()
    (tools.path / "tcp" / number / "ctl").write_text("hangup\n")
    assert client.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write(bytes(1_000_000))
    _, sentence = client.communicate(timeout=10)
    assert client.returncode == 1
    assert b"Connection reset by peer" in sentence
    os.close(listener)


def test_nc_waits_while_stdin_flows(tools: Tools, family: Family) -> None:
    """`-w` counts from the last octet in either direction: a peer that sends nothing does not end it."""
    server = tools.start("nc", "-l", "5000")
    tools.listens("tcp")
    client = tools.start("nc", "-w", "0.6", family.lo, "5000", stdin=subprocess.PIPE)
    assert server.stdout is not None
    assert client.stdin is not None
    until = time.monotonic() + 2 * 0.6
    while time.monotonic() < until:
        client.stdin.write(b"x\n")
        client.stdin.flush()
        assert server.stdout.readline() == b"x\n"
    client.stdin.write(b"last\n")
    client.stdin.flush()
    assert server.stdout.readline() == b"last\n"
    assert client.wait(10) == 0  # silence in both directions
    client.stdin.close()
    client.stdin = None


def test_nc_by_udp_to_nobody_ends(tools: Tools, family: Family) -> None:
    assert "Connection refused" in tools.run("nc", "-u", family.lo, "9", status=1, octets=b"anybody?")


def test_nc_needs_a_host_to_connect_to(shared: Tools, family: Family) -> None:
    assert "HOST PORT" in shared.run("nc", family.lo, status=1)
    assert "schemefs serve tls/" in shared.run("nc", "-c", "-l", "443", status=1)


def test_nc_carries_both_directions_at_once(tools: Tools, family: Family) -> None:
    tools.start("serve", ":5000", "--", "cat")
    tools.listens("tcp")
    octets = os.urandom(5_000_000)
    command = tools.command("nc", "-N", family.lo, "5000")
    done = subprocess.run(command, check=True, input=octets, capture_output=True, timeout=60)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(octets).digest()


# Answers after the request, unless the client has gone by then: nginx as a proxy counts its FIN as that.
IMPATIENT = (
    "import select, sys; sys.stdin.buffer.readline(); poll = select.poll(); "
    "poll.register(0, select.POLLIN | select.POLLRDHUP); print('gone' if poll.poll(300) else 'answer')"
)


@pytest.mark.parametrize(("option", "answer"), [((), "answer\n"), (("-N",), "gone\n"), (("-q", "9"), "gone\n")])
def test_the_end_of_stdin_is_a_fin_on_request(
    tools: Tools, option: tuple[str, ...], answer: str, family: Family
) -> None:
    tools.start("serve", ":5000", "--", sys.executable, "-c", IMPATIENT)
    tools.listens("tcp")
    assert tools.run("nc", *option, family.lo, "5000", octets=b"request\n") == answer


def test_nc_quits_after_the_end_of_stdin(tools: Tools, family: Family) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)  # accepts and never answers
    assert tools.run("nc", "-q", "0.1", family.lo, "5000", octets=b"request\n") == ""
    os.close(listener)


def test_nc_names_the_peer_on_request(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-v", "-l", "-p", "5000")
    assert server.stderr is not None
    assert server.stderr.readline() == b"Listening on * 5000\n"
    said = tools.run("nc", "-v", "-N", "-n", "-p", "5001", family.lo, "5000")
    assert said == f"Connection to {family.lo} 5000 port [tcp/*] succeeded!\n"
    assert server.communicate(timeout=10)[1] == f"Connection received on {family.lo} 5001\n".encode()
    assert server.returncode == 0


def test_nc_listens_on_one_address(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-v", "-l", family.lo, "5000")
    assert server.stderr is not None
    assert server.stderr.readline() == f"Listening on {family.lo} 5000\n".encode()
    for words in (["-l"], ["-l", "-s", family.lo, family.lo, "5000"], ["-l", "a", "b", "c"]):
        assert "-l PORT to listen" in tools.run("nc", *words, status=1)


def test_nc_probes_a_range_of_ports(tools: Tools, family: Family) -> None:
    listeners = [os.open(tools.path / f"tcp/:{port}", os.O_RDWR) for port in (5001, 5003)]
    said = tools.run("nc", "-v", "-z", family.lo, "5000-5003").splitlines()
    assert [line for line in said if "succeeded" in line] == [
        f"Connection to {family.lo} {port} port [tcp/*] succeeded!" for port in (5001, 5003)
    ]
    assert sum("Connection refused" in line for line in said) == 2
    assert tools.run("nc", "-z", family.lo, "5003-5000") == ""
    for listener in listeners:
        os.close(listener)
    assert tools.run("nc", "-z", family.lo, "5000-5003", status=1) == ""
    assert "Connection refused" in tools.run("nc", "-z", family.lo, "5000", status=1)
    assert "which only -z takes" in tools.run("nc", family.lo, "5000-5003", status=1)
    assert "65536" in tools.run("nc", "-z", family.lo, "5000-65536", status=1)


def test_nc_probes_several_ports(tools: Tools, family: Family) -> None:
    listeners = [os.open(tools.path / f"tcp/:{port}", os.O_RDWR) for port in (5001, 5003)]
    said = tools.run("nc", "-v", "-z", family.lo, "5003", "5001-5002", "http").splitlines()
    assert [line.split()[3] for line in said if "succeeded" in line] == ["5003", "5001"]
    assert [re.search(r":(\w+): Connection refused", line)[1] for line in said if "refused" in line] == ["5002", "http"]
    probes = [json.loads(line) for line in tools.run("nc", "-z", "--json", "localhost", "5001", "80").splitlines()]
    assert [(probe["port"], probe["accepts"]) for probe in probes] == [(5001, True), (80, False)]
    assert tools.run("nc", "-z", family.lo, "5000", "http", status=1) == ""
    for listener in listeners:
        os.close(listener)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("LO 5000 5001", "nc needs HOST PORT to connect"),
        ("-z LO 22,23", "'22,23' is not a port: a number, the name of a service, or with -z a range, 20-25"),
        ("-z LO 80 -", "'-' is not a port"),
        ("-z LO 80 0", "'0' is not a number from 1 to 65535"),
        ("-z LO no-such-service", "there is no tcp service 'no-such-service'"),
        ("-z LO", "nc needs HOST PORT to connect"),
        ("-z -l 80", "-z connects, so it does not go with -l"),
        ("--json LO 80", "--json is for -z"),
        ("* 80", "'*' is not a host name or an address"),
        ("-k LO 80", "-k accepts one peer after another, so it needs -l"),
    ],
)
def test_nc_refuses_what_is_no_port(shared: Tools, words: str, sentence: str, family: Family) -> None:
    assert sentence in shared.run("nc", *family.fill(words).split(), status=1)


def test_nc_connects_to_an_address_of_zeros_as_to_this_host(tools: Tools) -> None:
    """In the tree they stand for any address, and would listen."""
    server = tools.start("nc", "-v", "-k", "-l", "::", "5000")
    assert server.stderr is not None
    assert server.stderr.readline() == b"Listening on * 5000\n"
    for host, reached in (("0.0.0.0", "127.0.0.1"), ("::", "::1")):
        assert f"({reached}) 5000" in tools.run("nc", "-v", "-z", host, "5000")
    assert "Connection refused" in tools.run("nc", "-z", "0.0.0.0", "5001", status=1)
    assert "'' is not a host name" in tools.run("nc", "", "5001", status=1)


def test_nc_without_time_moves_what_is_ready(tools: Tools, family: Family) -> None:
    """`-w 0`: the words by which a line is given to a collector of metrics."""
    collector = tools.start("nc", "-u", "-l", "5000")
    tools.listens("udp")
    assert tools.run("nc", "-u", "-w", "0", family.lo, "5000", octets=b"metric:1|c\n") == ""
    assert collector.stdout is not None
    assert collector.stdout.readline() == b"metric:1|c\n"
    assert tools.run("nc", "-u", "-w", "0", family.lo, "9", octets=b"metric:1|c\n") == ""  # where there is none


def test_nc_probes_by_udp(tools: Tools, family: Family) -> None:
    assert "Connection refused" in tools.run("nc", "-u", "-z", family.lo, "9", status=1)
    bound = os.open(tools.path / "udp/:5000", os.O_RDWR)
    assert tools.run("nc", "-u", "-z", family.lo, "5000") == ""
    os.close(bound)


def test_nc_looks_up_no_name_without_leave(tools: Tools) -> None:
    assert "'localhost' is not an address; -n looks up no names" in tools.run("nc", "-n", "localhost", "9", status=1)


def test_nc_to_a_closed_port_is_status_1(shared: Tools, family: Family) -> None:
    assert "Connection refused" in shared.run("nc", family.lo, "9", status=1)


def test_nc_serves_one_after_another(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-k", "-l", "5000")
    tools.listens("tcp")
    assert server.stdout is not None
    for text in (b"one\n", b"two\n", b"three\n"):
        tools.run("nc", "-N", family.lo, "5000", octets=text)
        assert server.stdout.readline() == text


def test_nc_by_udp_ends_after_silence(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-u", "-w", "1", "-l", "5000")
    tools.listens("udp")
    assert tools.run("nc", "-u", "-w", "0.1", family.lo, "5000", octets=b"hello") == ""
    output, _ = server.communicate(timeout=10)
    assert (output, server.returncode) == (b"hello", 0)


def test_nc_by_udp_ends_when_its_conversation_is_closed(tools: Tools, family: Family) -> None:
    """An empty read is an empty datagram, unless the conversation has ended: then it would be read for ever."""
    client = tools.start("nc", "-u", family.lo, "5000", stdin=subprocess.PIPE)
    number = tools.listens("udp")
    status = tools.path / "udp" / number / "status"
    while not status.read_text().startswith("state=CONNECTED"):
        pass
    (tools.path / "udp" / number / "ctl").write_text("close\n")
    assert client.wait(10) == 0


def test_nc_by_udp_prints_what_follows_an_empty_datagram(tools: Tools, family: Family) -> None:
    server = tools.start("nc", "-u", "-l", "5000")
    tools.listens("udp")
    assert server.stdout is not None
    with open(tools.path / f"udp/{family.lo.at(5000)}", "r+b", buffering=0) as sender:
        for datagram in (b"", b"after\n"):
            os.write(sender.fileno(), datagram)
        assert server.stdout.readline() == b"after\n"


@pytest.mark.parametrize("options", ["-l", "-k -l"])
@pytest.mark.parametrize(("output", "why"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")])
def test_nc_that_can_not_write_its_output_ends(
    tools: Tools, options: str, output: str, why: str, family: Family
) -> None:
    script = f"""
        schemefs nc {options} 5000 </dev/null >{output} &
        until [ -e $SCHEME/tcp/0/status ]; do :; done
        echo text | schemefs nc {family.lo} 5000 2>/dev/null
        wait $!
    """
    done = tools.shell(script)
    assert done.returncode == 1
    assert done.stderr == f"schemefs: standard output: {why}\n"


@pytest.mark.parametrize("seconds", ["inf", "nan", "-1"])
def test_nc_waits_a_number_of_seconds(shared: Tools, seconds: str, family: Family) -> None:
    sentence = shared.run("nc", "-u", "-w", seconds, family.lo, "9", status=1)
    assert (
        sentence
        == f"schemefs: Invalid value for '-w': '{seconds}' is not a number of seconds; see schemefs nc --help\n"
    )


def test_nc_waits_longer_than_poll_can(shared: Tools, family: Family) -> None:
    assert "Connection refused" in shared.run("nc", "-u", "-w", "3000000", family.lo, "9", status=1, octets=b"x")


def test_nc_gives_up_a_connect(tools: Tools, family: Family) -> None:
    with socket.socket():
        tools.run("nc", "-w", "0.2", family.lo, "not-a-service", status=1)


def test_nc_sees_whether_somebody_is_there(tools: Tools, family: Family) -> None:
    tools.run("nc", "-z", family.lo, "5000", status=1)
    tools.start("nc", "-k", "-l", "5000")
    tools.listens("tcp")
    assert tools.run("nc", "-z", family.lo, "5000") == ""


def test_nc_uses_one_family_on_request(tools: Tools) -> None:
    (tools.path / "netcfg/resolv/hosts").write_text(f"{V6.lo} both\n{V4.lo} both\n")
    server = tools.start("nc", "-v", "-k", "-l", "5000")
    assert server.stderr is not None
    server.stderr.readline()
    for option, address in (("-4", V4.lo), ("-6", V6.lo)):
        sentence = f"Connection to both ({address}) 5000 port [tcp/*] succeeded!\n"
        assert tools.run("nc", option, "-v", "-z", "both", "5000") == sentence
        assert server.stderr.readline().startswith(f"Connection received on {address} ".encode())
    assert f"{V6.lo} is no address of IPv4" in tools.run("nc", "-4", V6.lo, "5000", status=1)
    second = tools.start("nc", "-6", "-v", "-l", "both", "5001")
    assert second.stderr is not None
    assert second.stderr.readline() == b"Listening on ::1 5001\n"
    third = tools.start("nc", "-v", "-l", "0.0.0.0", "5002")
    assert third.stderr is not None
    assert third.stderr.readline() == b"Listening on 0.0.0.0 5002\n"
    assert "Connection refused" in tools.run("nc", "-z", "::1", "5002", status=1)
    assert tools.run("nc", "-z", "127.0.0.1", "5002") == ""
    fourth = tools.start("nc", "-4", "-u", "-v", "-l", "5002")
    assert fourth.stderr is not None
    assert fourth.stderr.readline() == b"Listening on 0.0.0.0 5002\n"


def test_nc_that_does_not_read_stdin_sends_nothing(tools: Tools, family: Family) -> None:
    tools.start("serve", ":5000", "--", sys.executable, "-c", IMPATIENT.replace("sys.stdin.buffer.readline()", "0"))
    tools.listens("tcp")
    assert tools.run("nc", "-d", "-N", family.lo, "5000", octets=b"text\n") == "answer\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-e cat LO 9", "-e is an option of ncat itself: schemefs run --mount {} -- ncat -e cat LO 9"),
        ("-vX connect h 9", "-X is an option of nc itself: schemefs run --mount {} -- nc -vX connect h 9"),
        ("--proxy=a:1 h 9", "--proxy is an option of ncat itself: schemefs run --mount {} -- ncat --proxy=a:1 h 9"),
    ],
)
def test_what_belongs_to_another_netcat_is_refused_with_its_line(shared: Tools, words: str, line: str) -> None:
    assert shared.run("nc", *words.split(), status=2) == f"schemefs: {line.format(shared.path)}\n"


@pytest.mark.needs("nc.openbsd", "root")
def test_nc_says_what_openbsds_nc_says(tools: Tools, family: Family) -> None:
    """The same words on lo of a mount and on lo of a namespace: what each prints, and its exit status."""
    script = family.fill(
        """
        $NC -n -v -l $HERE 5001 >$T/$NAME.got 2>$T/$NAME.server </dev/null &
        until grep -q Listening $T/$NAME.server; do sleep 0.05; done
        { echo hello | $NC -n -v -N LO 5001; echo $?; wait $!; echo $?; cat $T/$NAME.got
        $NC -z LO 5002-5004; echo $?; $NC -z LO 5002 http 5004-5005; echo $?
        $NC -z LO 22,23; echo $?; $NC OTHER LO 9; echo $?; $NC -n localhost 9; echo $?
        $NC LO; echo $?; } 2>$T/$NAME.err
        sed -i 's/ LO [0-9]*$/ AT/; s/ localhost [0-9]*$/ AT/' $T/$NAME.server
        cat $T/$NAME.server; grep succeeded $T/$NAME.err
    """.replace("OTHER", family.pick("-6", "-4"))
    )
    ours = tools.shell(f"T=$(mktemp -d); NAME=ours; HERE={family.lo}; NC='schemefs nc'; {script}; rm -r $T")
    theirs = tools.shell(
        f"T=$(mktemp -d); NAME=theirs; HERE={family.lo}; NC=nc.openbsd; export T NAME HERE NC; "
        "unshare -n sh -c 'ip link set lo up; . $T/script' ; rm -r $T".replace(
            "export", f"cat >$T/script <<'E'\n{script}\nE\nexport"
        )
    )
    assert ours.stdout == theirs.stdout
    assert "hello" in ours.stdout
