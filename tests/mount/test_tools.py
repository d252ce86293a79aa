"""The tools beside `schemefs serve`: plain users of a mounted tree, with the statuses of the Linux tools."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")


class Tools:
    """Runs the tools on one mount."""

    def __init__(self, mount: SchemeMount) -> None:
        self.path = mount.path
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "schemefs", words[0], "--mount", str(self.path), *words[1:]]

    def run(self, *words: str, status: int = 0, octets: bytes = b"") -> str:
        done = subprocess.run(self.command(*words), check=False, input=octets, capture_output=True, timeout=60)
        assert done.returncode == status, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self.command(*words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.processes.append(process)
        return process

    def listens(self, protocol: str) -> str:
        """Wait until somebody listens; return the number of the conversation."""
        while True:
            for name in os.listdir(self.path / protocol):
                if name.isdecimal():
                    return name

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def tools(scheme_mount: SchemeMount) -> Iterator[Tools]:
    made = Tools(scheme_mount)
    yield made
    made.close()


@pytest.fixture
def shared(module_scheme_mount: SchemeMount) -> Tools:
    return Tools(module_scheme_mount)


def test_ping_says_what_redox_says(shared: Tools) -> None:
    lines = shared.run("ping", "-c", "3", "-i", "0.01", "-s", "100", "localhost").splitlines()
    assert lines[0] == "PING 127.0.0.1 (127.0.0.1) 100(128) bytes of data."
    assert [line.split()[2] for line in lines[1:4]] == ["icmp_seq=0", "icmp_seq=1", "icmp_seq=2"]
    assert "3 packets transmitted, 3 packets received, 0.00% packet loss" in lines


def test_ping_of_nobody_is_status_2_with_a_sentence(shared: Tools) -> None:
    assert "no address is known for 'nobody.test'" in shared.run("ping", "nobody.test", status=2)


def test_ping_ends_at_ctrl_c_with_the_statistics_so_far(tools: Tools) -> None:
    pinging = tools.start("ping", "-c", "0", "-i", "0.01", "127.0.0.1")
    assert pinging.stdout is not None
    for _ in range(3):
        pinging.stdout.readline()
    pinging.send_signal(signal.SIGINT)
    output, _ = pinging.communicate(timeout=10)
    assert pinging.returncode == 0
    assert b"ping statistics ---\n" in output
    assert re.search(rb"0.00% packet loss\nrtt min/avg/max = [\d.]+/[\d.]+/[\d.]+ ms\n$", output)


def test_ctrl_c_tells_the_probes_that_nothing_answered(tools: Tools) -> None:
    (tools.path / "netcfg/ifaces/lo/impair").write_text("blackhole icmp\n")
    pinging = tools.start("ping", "-c", "0", "-i", "0.01", "-W", "0.05", "127.0.0.1")
    assert pinging.stdout is not None
    while b"icmp_seq=3 timeout" not in pinging.stdout.readline():
        pass
    pinging.send_signal(signal.SIGINT)
    output, _ = pinging.communicate(timeout=10)
    assert pinging.returncode == 1
    end = re.search(rb"\n(\d+) packets transmitted, 0 packets received, 100.00% packet loss\n$", output)
    assert end is not None, output
    assert int(end[1]) > 3


def test_dns_prints_addresses_and_fails_with_a_sentence(shared: Tools) -> None:
    assert shared.run("dns", "localhost") == "127.0.0.1\n"
    assert "no route to" in shared.run("dns", "-t", "mx", "example.com", status=1)
    assert "there is no type 'nosuch'" in shared.run("dns", "-t", "nosuch", "example.com", status=1)


def test_route_and_arp_and_ifconfig(tools: Tools) -> None:
    assert "127.0.0.0/8  -        lo" in tools.run("route")
    assert tools.run("route", "get", "127.0.0.5") == "127.0.0.5 is a local address: delivered through lo\n"
    assert "there is no such route" in tools.run("route", "del", "10.9.0.0/16", status=1)
    tools.run("route", "frobnicate", status=2)
    assert tools.run("arp").startswith("ADDRESS")
    tools.run("arp", "-d", "10.0.2.9", status=1)
    if os.getuid() == 0:
        tools.run("ifconfig", "lo", "mtu", "9000", "add", "127.1.0.1/16")
        assert tools.run("ifconfig", "lo").splitlines()[:3] == [
            "lo: up, mtu 9000",
            "    inet 127.0.0.1/8",
            "    inet 127.1.0.1/16",
        ]
    assert "there is no interface 'eth7'; there are: lo" in tools.run("ifconfig", "eth7", status=1)
    assert "is not a setting of an interface" in tools.run("ifconfig", "lo", "sideways", status=2)


def test_ss_shows_conversations_and_who_has_them(tools: Tools) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)
    client = os.open(tools.path / "tcp/127.0.0.1:5000", os.O_RDWR)
    bound = os.open(tools.path / "udp/:5001", os.O_RDWR)
    try:
        os.write(client, b"12345")
        rows = [line.split() for line in tools.run("ss").splitlines()]
        assert rows[0] == ["NAME", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "UID", "PID", "PROGRAM"]
        assert [row[:2] for row in rows[1:]] == [["tcp/0", "LISTEN"], ["tcp/1", "ESTABLISHED"], ["udp/0", "BOUND"]]
        program = Path("/proc/self/comm").read_text().strip()
        assert rows[2][5:] == ["127.0.0.1:5000", str(os.getuid()), str(os.getpid()), program]
        assert len(tools.run("ss", "-l").splitlines()) == 3
        assert len(tools.run("ss", "-u").splitlines()) == 2
        assert "rto" in tools.run("ss", "-o").splitlines()[0]
        found = json.loads(tools.run("ss", "--json"))
        assert [status["conversation"] for status in found] == ["tcp/0", "tcp/1", "udp/0"]
    finally:
        for descriptor in (listener, client, bound):
            os.close(descriptor)


def test_nc_listens_and_connects(tools: Tools) -> None:
    server = tools.start("nc", "-l", "5000")
    tools.listens("tcp")
    assert tools.run("nc", "localhost", "5000", octets=b"hello\n") == ""
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


def test_nc_sends_the_rest_of_stdin_after_the_peers_end(tools: Tools) -> None:
    server = tools.start("nc", "-l", "5000")  # its stdin is empty: it sends a FIN at once
    tools.listens("tcp")
    client = tools.start("nc", "127.0.0.1", "5000", stdin=subprocess.PIPE)
    hears_the_end(tools, "1")
    assert client.stdin is not None
    client.stdin.write(b"said late\n")
    client.stdin.close()
    client.stdin = None
    output, _ = server.communicate(timeout=10)
    assert (output, server.returncode, client.wait(10)) == (b"said late\n", 0, 0)


def test_nc_at_a_terminal_ends_with_the_peer(tools: Tools) -> None:
    tools.start("serve", ":5000", "--", "echo", "bye")
    tools.listens("tcp")
    ours, terminal = os.openpty()
    client = tools.start("nc", "127.0.0.1", "5000", stdin=terminal)
    os.close(terminal)
    output, _ = client.communicate(timeout=10)
    os.close(ours)
    assert (output, client.returncode) == (b"bye\n", 0)


def test_nc_says_when_the_peer_did_not_take_all(tools: Tools) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)
    client = tools.start("nc", "127.0.0.1", "5000", stdin=subprocess.PIPE)
    number = os.read(listener, 100).split()[0].decode()
    (tools.path / "tcp" / number / "ctl").write_text("hangup\n")
    assert client.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write(bytes(1_000_000))
    _, sentence = client.communicate(timeout=10)
    assert client.returncode == 1
    assert b"Connection reset by peer" in sentence
    os.close(listener)


def test_nc_waits_while_stdin_flows(tools: Tools) -> None:
    """`-w` counts from the last octet in either direction: a peer that sends nothing does not end it."""
    server = tools.start("nc", "-l", "5000")
    tools.listens("tcp")
    client = tools.start("nc", "-w", "0.6", "127.0.0.1", "5000", stdin=subprocess.PIPE)
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


def test_nc_by_udp_to_nobody_ends(tools: Tools) -> None:
    assert "Connection refused" in tools.run("nc", "-u", "127.0.0.1", "9", status=1, octets=b"anybody?")


def test_nc_needs_a_host_to_connect_to(shared: Tools) -> None:
    assert "HOST PORT" in shared.run("nc", "127.0.0.1", status=1)
    assert "schemefs serve tls/" in shared.run("nc", "-c", "-l", "443", status=1)


def test_nc_carries_both_directions_at_once(tools: Tools) -> None:
    tools.start("serve", ":5000", "--", "cat")
    tools.listens("tcp")
    octets = os.urandom(5_000_000)
    command = tools.command("nc", "127.0.0.1", "5000")
    done = subprocess.run(command, check=True, input=octets, capture_output=True, timeout=60)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(octets).digest()


def test_nc_to_a_closed_port_is_status_1(shared: Tools) -> None:
    assert "Connection refused" in shared.run("nc", "127.0.0.1", "9", status=1)


def test_nc_serves_one_after_another(tools: Tools) -> None:
    server = tools.start("nc", "-k", "-l", "5000")
    tools.listens("tcp")
    assert server.stdout is not None
    for text in (b"one\n", b"two\n", b"three\n"):
        tools.run("nc", "127.0.0.1", "5000", octets=text)
        assert server.stdout.readline() == text


def test_nc_by_udp_ends_after_silence(tools: Tools) -> None:
    server = tools.start("nc", "-u", "-w", "1", "-l", "5000")
    tools.listens("udp")
    assert tools.run("nc", "-u", "-w", "0.1", "127.0.0.1", "5000", octets=b"hello") == ""
    output, _ = server.communicate(timeout=10)
    assert (output, server.returncode) == (b"hello", 0)


def test_nc_by_udp_ends_when_its_conversation_is_closed(tools: Tools) -> None:
    """An empty read is an empty datagram, unless the conversation has ended: then it would be read for ever."""
    client = tools.start("nc", "-u", "127.0.0.1", "5000", stdin=subprocess.PIPE)
    number = tools.listens("udp")
    status = tools.path / "udp" / number / "status"
    while not status.read_text().startswith("state=CONNECTED"):
        pass
    (tools.path / "udp" / number / "ctl").write_text("close\n")
    assert client.wait(10) == 0


def test_nc_by_udp_prints_what_follows_an_empty_datagram(tools: Tools) -> None:
    server = tools.start("nc", "-u", "-l", "5000")
    tools.listens("udp")
    assert server.stdout is not None
    with open(tools.path / "udp/127.0.0.1:5000", "r+b", buffering=0) as sender:
        for datagram in (b"", b"after\n"):
            os.write(sender.fileno(), datagram)
        assert server.stdout.readline() == b"after\n"


@pytest.mark.parametrize("options", ["-l", "-k -l"])
@pytest.mark.parametrize(("output", "why"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")])
def test_nc_that_can_not_write_its_output_ends(tools: Tools, options: str, output: str, why: str) -> None:
    script = f"""
        schemefs nc {options} 5000 </dev/null >{output} &
        until [ -e $SCHEME/tcp/0/status ]; do :; done
        echo text | schemefs nc 127.0.0.1 5000 2>/dev/null
        wait $!
    """
    done = with_shell(tools, script)
    assert done.returncode == 1
    assert done.stderr == f"schemefs: standard output: {why}\n"


@pytest.mark.parametrize("seconds", ["inf", "nan", "-1"])
def test_nc_waits_a_number_of_seconds(shared: Tools, seconds: str) -> None:
    sentence = shared.run("nc", "-u", "-w", seconds, "127.0.0.1", "9", status=1)
    assert (
        sentence
        == f"schemefs: Invalid value for '-w': '{seconds}' is not a number of seconds; see schemefs nc --help\n"
    )


def test_nc_waits_longer_than_poll_can(shared: Tools) -> None:
    assert "Connection refused" in shared.run("nc", "-u", "-w", "3000000", "127.0.0.1", "9", status=1, octets=b"x")


def test_nc_gives_up_a_connect(tools: Tools) -> None:
    with socket.socket():
        tools.run("nc", "-w", "0.2", "127.0.0.1", "not-a-service", status=1)


@pytest.mark.parametrize("name", ["ping", "nc", "dns", "ss", "ifconfig", "route", "arp"])
def test_help_has_examples(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "schemefs", name, "--help"], check=True, capture_output=True, text=True, timeout=20
    )
    assert f"Examples:\n    schemefs {name}" in done.stdout


# What all tools have in common


def with_shell(tools: Tools, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in which `schemefs` uses the mount."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path, "SCHEME": str(tools.path)},
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["ping -c 0 -i 0.001 127.0.0.1", "nc 127.0.0.1 5000"])
def test_who_reads_no_further_ends_it_without_a_word(tools: Tools, command: str) -> None:
    tools.start("serve", ":5000", "--", "yes")
    tools.listens("tcp")
    done = with_shell(tools, f"schemefs {command} </dev/null | head -n 1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.splitlines()[1:] == [str(128 + signal.SIGPIPE)]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "command",
    [
        "ss",
        "route",
        "arp",
        "ifconfig",
        "ping -c 1 127.0.0.1",
        "dns localhost",
        "serve :0 -- cat",
        "nc --help",
        "serve --help",
    ],
)
def test_output_that_can_not_be_written_is_said(shared: Tools, command: str) -> None:
    done = with_shell(shared, f"schemefs {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "schemefs: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("name", "status"), [("ping", 2), ("get", 2), ("nc", 1), ("dns", 1), ("ss", 1), ("ifconfig", 2), ("route", 2)]
)
def test_an_option_that_there_is_not(shared: Tools, name: str, status: int) -> None:
    assert f"No such option '--frob'; see schemefs {name} --help" in shared.run(name, "--frob", status=status)


def test_a_failure_names_the_file_without_its_options(shared: Tools) -> None:
    sentence = "schemefs: tcp/127.0.0.1:9: Connection refused: RST from 127.0.0.1:9 in answer to SYN"
    assert shared.run("nc", "-w", "1", "127.0.0.1", "9", status=1).startswith(sentence)


def test_nc_sees_whether_somebody_is_there(tools: Tools) -> None:
    tools.run("nc", "-z", "127.0.0.1", "5000", status=1)
    tools.start("nc", "-k", "-l", "5000")
    tools.listens("tcp")
    assert tools.run("nc", "-z", "127.0.0.1", "5000") == ""


def test_ss_shows_raw_conversations_and_timers(tools: Tools) -> None:
    if os.getuid():
        pytest.skip("raw ip is for root")
    raw = os.open(tools.path / "ip/fd", os.O_RDWR)
    opening = os.open(tools.path / "tcp/127.9.9.9:1,from=127.0.0.1:7777", os.O_RDWR | os.O_NONBLOCK)
    try:
        rows = [line.split() for line in tools.run("ss", "-o").splitlines()]
        assert rows[0][-1] == "timers"
        assert rows[1][:2] == ["ip/conversations/0", "BOUND"]
    finally:
        os.close(raw)
        os.close(opening)
