"""The lines of `icmp/ping` as values, and how they read in iputils' words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemefs.tools.ping_formats import IputilsFormat, PingLook, RedoxFormat
from schemefs.tools.ping_lines import Begin, Failure, PingLine, Reply, RoundTrips, Timeout, Totals, parse_line
from schemefs.tools.reverse_names import ReverseNames

LINES: list[tuple[str, PingLine | None]] = [
    ("PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.", Begin("10.0.2.2", 56, 84)),
    ("From 10.0.2.2 icmp_seq=0 ttl=64 time=0.214ms", Reply(0, "10.0.2.2", 64, 0.214)),
    ("From 10.0.2.2 icmp_seq=0 ttl=64 time=1.500ms (DUP!)", Reply(0, "10.0.2.2", 64, 1.5, is_duplicate=True)),
    ("From 10.0.2.2 icmp_seq=1 timeout", Timeout(1)),
    ("From 10.0.2.2 icmp_seq=1 ttl=64 time=5012.770ms (late)", Reply(1, "10.0.2.2", 64, 5012.77, is_late=True)),
    ("From 10.0.2.2 icmp_seq=2 ttl=64 time=99.960ms (payload differs)", Reply(2, "10.0.2.2", 64, 99.96, differs=True)),
    ("From 10.0.2.15 icmp_seq=3 Destination Host Unreachable", Failure(3, "10.0.2.15", "Destination Host Unreachable")),
    ("--- 10.0.2.2 ping statistics ---", None),
    ("4 packets transmitted, 2 packets received, +1 duplicates, +1 late, 50.00% packet loss", Totals(4, 2, 1, 1)),
    ("rtt min/avg/max = 0.214/50.087/99.960 ms", RoundTrips(0.214, 50.087, 99.96)),
]


@pytest.mark.parametrize(("text", "line"), LINES)
def test_each_line_has_a_value(text: str, line: PingLine | None) -> None:
    assert parse_line(text) == line


@pytest.mark.parametrize("text", ["4 packets transmitted, 3 packets received, 25.00% packet loss", "fe80::1%eth0"])
def test_counts_may_be_absent(text: str) -> None:
    assert parse_line(text) == (Totals(4, 3, 0, 0) if "packets" in text else None)


def printed(output: IputilsFormat | RedoxFormat, capsys: pytest.CaptureFixture[str]) -> list[str]:
    for text, line in LINES:
        output.print(text, line)
    return capsys.readouterr().out.splitlines()


def test_iputils_counts_from_one_and_takes_what_is_late_for_received(capsys: pytest.CaptureFixture[str]) -> None:
    output = IputilsFormat(PingLook("peer.example"), ReverseNames(Path("/nonexistent"), are_wanted=True))
    shown = printed(output, capsys)
    assert shown[:-3] == [
        "PING peer.example (10.0.2.2) 56(84) bytes of data.",
        "64 bytes from 10.0.2.2 (10.0.2.2): icmp_seq=1 ttl=64 time=0.214 ms",
        "64 bytes from 10.0.2.2 (10.0.2.2): icmp_seq=1 ttl=64 time=1.50 ms (DUP!)",
        "64 bytes from 10.0.2.2 (10.0.2.2): icmp_seq=2 ttl=64 time=5013 ms",
        "64 bytes from 10.0.2.2 (10.0.2.2): icmp_seq=3 ttl=64 time=100 ms (payload differs)",
        "From 10.0.2.15 (10.0.2.15) icmp_seq=4 Destination Host Unreachable",
        "",
    ]
    assert shown[-3:] == [
        "--- peer.example ping statistics ---",
        "4 packets transmitted, 3 received, +1 duplicates, +1 errors, 25% packet loss, time 3000ms",
        "rtt min/avg/max/mdev = 0.214/1278.611/5012.770/2156.297 ms",
    ]


def test_quiet_shows_the_ends_and_flood_the_losses(capsys: pytest.CaptureFixture[str]) -> None:
    names = ReverseNames(Path("/nonexistent"), are_wanted=False)
    quiet = printed(IputilsFormat(PingLook("10.0.2.2", quiet=True), names), capsys)
    assert [line[:4] for line in quiet] == ["PING", "", "--- ", "4 pa", "rtt "]
    flood = PingLook("10.0.2.2", flood=True)
    assert [line[:4] for line in printed(RedoxFormat(flood), capsys)] == ["PING", "", "--- ", "4 pa", "rtt "]
    assert "".join(flood.dot(line) for _, line in LINES) == ".\b \b..\b \bE"
    assert re.search(r" ms, ipg/ewma [\d.]+/[\d.]+ ms$", printed(IputilsFormat(flood, names), capsys)[-1])


def test_ipv6_has_iputils_own_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    for host, numeric in (("::1", True), ("peer", True), ("peer", False)):
        names = ReverseNames(Path("/nonexistent"), are_wanted=not numeric)
        IputilsFormat(PingLook(host, bound_to="eth0"), names).print("", Begin("::1", 56, 104))
    assert capsys.readouterr().out.splitlines() == [
        "PING ::1(::1) from eth0: 56 data bytes",
        "PING peer(::1) from eth0: 56 data bytes",
        "PING peer(::1 (::1)) from eth0: 56 data bytes",
    ]
