"""The tools beside `schemefs serve`: plain users of a mounted tree, with the statuses of the Linux tools."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.families import V4, Family
from tests.support.running_tools import Tools

pytestmark = pytest.mark.needs("fuse")


def test_ping_says_what_redox_says(shared: Tools, family: Family) -> None:
    lines = shared.run("ping", "-c", "3", "-i", "0.01", "-s", "100", family.lo).splitlines()
    assert lines[0] == f"PING {family.lo} ({family.lo}) 100({108 + family.header}) bytes of data."
    assert [line.split()[2] for line in lines[1:4]] == ["icmp_seq=0", "icmp_seq=1", "icmp_seq=2"]
    assert "3 packets transmitted, 3 packets received, 0.00% packet loss" in lines


def test_ping_of_nobody_is_status_2_with_a_sentence(shared: Tools) -> None:
    assert "no address is known for 'nobody.test'" in shared.run("ping", "nobody.test", status=2)


def test_ping_ends_at_ctrl_c_with_the_statistics_so_far(tools: Tools, family: Family) -> None:
    pinging = tools.start("ping", "-c", "0", "-i", "0.01", family.lo)
    assert pinging.stdout is not None
    text = b"".join(pinging.stdout.readline() for _ in range(3))
    pinging.send_signal(signal.SIGINT)
    text += pinging.communicate(timeout=10)[0]
    assert pinging.returncode == 0
    end = (
        rb"ping statistics ---\n(\d+) packets transmitted, (\d+) packets received, .*\nrtt min/avg/max = [\d./]+ ms\n$"
    )
    found = re.search(end, text)
    assert found is not None, text
    transmitted, received = map(int, found.groups())
    assert received == text.count(b" time=")
    assert transmitted - received in (0, 1)  # the last one may be under way


def test_ctrl_c_tells_the_probes_that_nothing_answered(tools: Tools, family: Family) -> None:
    (tools.path / "netcfg/ifaces/lo/impair").write_text("blackhole icmp\n")
    pinging = tools.start("ping", "-c", "0", "-i", "0.01", "-W", "0.05", family.lo)
    assert pinging.stdout is not None
    while b"icmp_seq=3 timeout" not in pinging.stdout.readline():
        pass
    pinging.send_signal(signal.SIGINT)
    output, _ = pinging.communicate(timeout=10)
    assert pinging.returncode == 1
    end = re.search(rb"\n(\d+) packets transmitted, 0 packets received, 100.00% packet loss\n$", output)
    assert end is not None, output
    assert int(end[1]) > 3


def test_dns_prints_addresses_and_fails_with_a_sentence(shared: Tools, family: Family) -> None:
    assert shared.run("dns", "localhost", family.pick("A", "AAAA")) == f"{family.lo}\n"
    assert "no route to" in shared.run("dns", "-t", "mx", "example.com", status=1)
    assert "there is no type 'nosuch'" in shared.run("dns", "-t", "nosuch", "example.com", status=1)


@pytest.mark.parametrize(
    "words", ["localhost a", "A localhost", "localhost IN A", "+short localhost", "-q localhost a", "localhost 1"]
)
def test_dns_takes_the_words_of_dig(shared: Tools, words: str) -> None:
    (shared.path / "netcfg/resolv/hosts").write_text(f"{V4.lo} localhost\n")
    assert shared.run("dns", *words.split()) == f"{V4.lo}\n"


def test_dns_names_addresses_and_refuses_what_belongs_to_dig(shared: Tools, family: Family) -> None:
    (shared.path / "netcfg/resolv/hosts").write_text(f"{family.lo} localhost\n")
    assert shared.run("dns", "-x", family.lo) == shared.run("dns", family.lo) == "localhost\n"
    line = f"dig itself: schemefs run --mount {shared.path} -- dig"
    server = shared.run("dns", "@192.0.2.1", "example.com", status=2)
    assert server == f"schemefs: @192.0.2.1, one server to ask, is a word of {line} @192.0.2.1 example.com\n"
    trace = shared.run("dns", "+trace", "example.com", "-t", "mx", status=2)
    assert trace == f"schemefs: +trace is a word of {line} +trace example.com -t mx\n"
    assert f"-p is an option of {line} -p 53 a.test" in shared.run("dns", "-p", "53", "a.test", status=2)
    assert f"axfr is a type of {line} a.test axfr" in shared.run("dns", "a.test", "axfr", status=2)
    assert "no address is known for 'mx'" in shared.run("dns", "mx", status=1)
    for words in (["a.test", "b.test"], [], ["-x", "a.test"], ["-x", "::1", "a.test"], [""]):
        assert "needs one" in shared.run("dns", *words, status=1)


def test_route_and_arp_and_ifconfig(tools: Tools, family: Family) -> None:
    assert "127.0.0.0/8  -        lo" in tools.run("route")
    assert tools.run("route", "get", family.lo) == f"{family.lo} is a local address: delivered through lo\n"
    assert "there is no such route" in tools.run("route", "del", family.link, status=1)
    tools.run("route", "frobnicate", status=2)
    assert tools.run("arp").startswith("ADDRESS")
    tools.run("arp", "-d", family.absent, status=1)
    assert "there is no interface 'nope'; there are: lo" in tools.run("arp", "-i", "nope", status=1)
    if os.getuid() == 0:
        added = f"{family.absent}/{family.bits}"
        tools.run("ifconfig", "lo", "mtu", "9000", "add", added)
        first, *rest = tools.run("ifconfig", "lo").splitlines()
        assert first == "lo: up, mtu 9000"
        assert f"    {family.pick('inet', 'inet6')} {added}" in [line.partition(" scope")[0] for line in rest]
    assert "there is no interface 'eth7'; there are: lo" in tools.run("ifconfig", "eth7", status=1)
    assert "is not a setting of an interface" in tools.run("ifconfig", "lo", "sideways", status=2)


def test_ss_shows_conversations_and_who_has_them(tools: Tools, family: Family) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)
    client = os.open(tools.path / f"tcp/{family.lo.at(5000)}", os.O_RDWR)
    bound = os.open(tools.path / "udp/:5001", os.O_RDWR)
    try:
        os.write(client, b"12345")
        rows = [line.split() for line in tools.run("ss", "-a").splitlines()]
        assert rows[0] == ["NAME", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "UID", "PID", "PROGRAM"]
        assert [row[:2] for row in rows[1:]] == [["tcp/0", "LISTEN"], ["tcp/1", "ESTABLISHED"], ["udp/0", "BOUND"]]
        program = Path("/proc/self/comm").read_text().strip()
        assert rows[2][5:] == [family.lo.at(5000), str(os.getuid()), str(os.getpid()), program]
        assert len(tools.run("ss", "-l").splitlines()) == 3
        assert [line.split()[0] for line in tools.run("ss", "-H").splitlines()] == ["tcp/1"]
        assert len(tools.run("ss", "-a", "-u").splitlines()) == 2
        assert "rto" in tools.run("ss", "-o").splitlines()[0]
        found = json.loads(tools.run("ss", "-a", "--json"))
        assert [status["conversation"] for status in found] == ["tcp/0", "tcp/1", "udp/0"]
    finally:
        for descriptor in (listener, client, bound):
            os.close(descriptor)


@pytest.mark.parametrize("name", ["ping", "traceroute", "nc", "dns", "ss", "ip", "ifconfig", "route", "arp"])
def test_help_has_examples(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "schemefs", name, "--help"], check=True, capture_output=True, text=True, timeout=20
    )
    assert f"Examples:\n    schemefs {name}" in done.stdout


# What all tools have in common


@pytest.mark.parametrize("command", ["ping -c 0 -i 0.001 LO", "nc LO 5000"])
def test_who_reads_no_further_ends_it_without_a_word(tools: Tools, command: str, family: Family) -> None:
    tools.start("serve", ":5000", "--", "yes")
    tools.listens("tcp")
    done = tools.shell(f"schemefs {family.fill(command)} </dev/null | head -n 1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.splitlines()[1:] == [str(128 + signal.SIGPIPE)]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "command",
    [
        "ss",
        "route",
        "arp",
        "ifconfig",
        "ping -c 1 LO",
        "dns localhost",
        "serve :0 -- cat",
        "nc --help",
        "serve --help",
    ],
)
def test_output_that_can_not_be_written_is_said(shared: Tools, command: str, family: Family) -> None:
    command = family.fill(command)
    done = shared.shell(f"schemefs {command} >/dev/full; echo $?; schemefs {command} >&-; echo $?")
    assert done.stdout == "1\n1\n"
    sentences = ("No space left on device", "Bad file descriptor")
    assert done.stderr == "".join(f"schemefs: standard output: {sentence}\n" for sentence in sentences)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ping", 2),
        ("traceroute", 2),
        ("get", 2),
        ("nc", 1),
        ("dns", 1),
        ("ss", 1),
        ("ip", 1),
        ("ifconfig", 2),
        ("route", 2),
    ],
)
def test_an_option_that_there_is_not(shared: Tools, name: str, status: int) -> None:
    assert f"No such option '--xyzzy'; see schemefs {name} --help" in shared.run(name, "--xyzzy", status=status)


def test_a_failure_names_the_file_without_its_options(shared: Tools, family: Family) -> None:
    sentence = f"schemefs: tcp/{family.lo.at(9)}: Connection refused: RST from {family.lo.at(9)} in answer to SYN"
    assert shared.run("nc", "-w", "1", family.lo, "9", status=1).startswith(sentence)


def test_ss_filters_and_shows_what_its_options_ask_for(tools: Tools, family: Family) -> None:
    listener = os.open(tools.path / "tcp/:5000", os.O_RDWR)
    client = os.open(tools.path / f"tcp/{family.lo.at(5000)}", os.O_RDWR)
    assert [line.split()[0] for line in tools.run("ss", "-H", "state", "established").splitlines()] == ["tcp/1"]
    assert [line.split()[0] for line in tools.run("ss", "-a", "-n", "-p", "sport", "=", ":5000").splitlines()] == [
        "NAME",
        "tcp/0",
    ]
    shown = tools.run("ss", "-H", "-i", "-m", "-e", "dport", "5000").splitlines()
    assert len(shown) == 2
    assert re.search(r"^    age:[\d.]+ readers:1 writers:1 receive_queue:0 .* congestion:cubic cwnd:\d+", shown[1])
    assert len(tools.run("ss", "-H", "-i", "-O", "dport", "5000").splitlines()) == 1
    assert tools.run("ss", "-s").splitlines()[:2] == ["Total: 2", "TCP:   2 (estab 1, closed 0, timewait 0)"]
    assert "'port' is no condition of a filter" in tools.run("ss", "port", "5000", status=1)
    for descriptor in (listener, client):
        os.close(descriptor)
    assert tools.run("ss", "-s").splitlines()[0] == "Total: 0"


def test_traceroute_of_this_host_has_one_hop(shared: Tools, family: Family) -> None:
    (shared.path / "netcfg/resolv/hosts").write_text(f"{family.lo} localhost\n")
    lines = shared.run("traceroute", "-m", "3", f"-{family.version}", "-I", "localhost", "100").splitlines()
    assert lines[0] == f"traceroute to localhost ({family.lo}), 3 hops max, {80 + family.header} byte packets"
    assert re.fullmatch(rf" 1  localhost \({family.lo}\)(  [\d.]+ ms){{3}}", lines[1])
    assert len(lines) == 2
    assert re.search(rf"\n 1  {family.lo}  [\d.]+ ms\n$", shared.run("traceroute", "-nq1", family.lo))
    live = shared.run("traceroute", "--live", "-c", "2", "-n", family.lo).splitlines()
    assert live[1].split()[:4] == ["1.", family.lo, "0.0%", "2"]
    assert "no address is known for 'nobody.test'" in shared.run("traceroute", "nobody.test", status=2)


def test_traceroute_that_does_not_arrive_is_status_1(tools: Tools, family: Family) -> None:
    (tools.path / "netcfg/ifaces/lo/impair").write_text("blackhole icmp\n")
    assert tools.run("traceroute", "-q", "1", "-m", "2", "-w", "0.1", family.lo, status=1).endswith("\n 2  *\n")
    lines = tools.run("traceroute", "-q", "2", "-f", "2", "-m", "3", "-w", "0.1", family.lo, status=1).splitlines()
    assert lines[1:] == [" 2  * *", " 3  * *"]
    assert "-f 4 is beyond" in tools.run("traceroute", "-f", "4", "-m", "3", family.lo, status=2)


def test_ss_shows_raw_conversations_and_timers(tools: Tools, family: Family) -> None:
    if os.getuid():
        pytest.skip("raw ip is for root")
    raw = os.open(tools.path / "ip/fd", os.O_RDWR)
    opening = os.open(tools.path / f"tcp/{family.lo.at(1)},from={family.lo.at(7777)}", os.O_RDWR | os.O_NONBLOCK)
    try:
        rows = [line.split() for line in tools.run("ss", "-a", "-o").splitlines()]
        assert rows[0][-1] == "timers"
        assert rows[1][:2] == ["ip/conversations/0", "BOUND"]
    finally:
        os.close(raw)
        os.close(opening)
