"""The lines of `icmp/trace` as values, and what `schemefs traceroute` makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemefs.tools.reverse_names import ReverseNames
from schemefs.tools.trace_lines import Answer, Begin, Hop, parse_line
from schemefs.tools.trace_live import HopRow, LiveTrace
from schemefs.tools.traceroute import shown

NAMES = ReverseNames(Path("/nonexistent"), are_wanted=False)
ONE, TWO = "10.8.0.1", "fe80::9%eth0"


@pytest.mark.parametrize(
    ("text", "hop", "line"),
    [
        (" 1  10.8.0.1  0.214ms", Hop(1, (Answer(ONE, 0.214),)), " 1  10.8.0.1  0.214 ms"),
        (
            " 2  10.8.0.1  0.214ms  0.300ms  *  1.000ms",
            Hop(2, (Answer(ONE, 0.214), Answer(ONE, 0.3), None, Answer(ONE, 1.0))),
            " 2  10.8.0.1  0.214 ms  0.300 ms *  1.000 ms",
        ),
        (
            " 3  *  10.8.0.1  3.120ms  fe80::9%eth0  4.000ms",
            Hop(3, (None, Answer(ONE, 3.12), Answer(TWO, 4.0))),
            " 3  * 10.8.0.1  3.120 ms fe80::9%eth0  4.000 ms",
        ),
        ("12  *  *  *", Hop(12, (None,) * 3), "12  * * *"),
        (
            " 4  10.8.0.1  1.000ms  Destination Host Unreachable",
            Hop(4, (Answer(ONE, 1.0),), "Destination Host Unreachable"),
            " 4  10.8.0.1  1.000 ms !H",
        ),
        (
            " 4  10.8.0.1  1.000ms  Packet too big (mtu = 1280)",
            Hop(4, (Answer(ONE, 1.0),), "Packet too big (mtu = 1280)"),
            " 4  10.8.0.1  1.000 ms !F-1280",
        ),
        (
            " 1  no route to 10.9.9.9",
            Hop(1, (), "no route to 10.9.9.9"),
            " 1  no route to 10.9.9.9",
        ),
    ],
)
def test_each_hop_has_a_value_and_a_line_of_traceroute(text: str, hop: Hop, line: str) -> None:
    assert parse_line(text) == hop
    assert shown(hop, NAMES) == line


def test_the_first_line_has_a_value() -> None:
    assert parse_line("trace to ::1 (::1), 30 hops max, 32(80) bytes") == Begin("::1", 30, 80)
    assert parse_line("") is None


def test_a_row_adds_up_what_its_hop_has_met() -> None:
    row = HopRow(2)
    assert row.cells() == ("0.0%", "0", "-", "-", "-", "-", "-")
    row.add(Hop(2, (None,)))
    row.add(Hop(2, (Answer(ONE, 1.0),)))
    row.add(Hop(2, (Answer(TWO, 3.0),)))
    row.add(Hop(2, (Answer(ONE, 2.0),)))
    assert row.cells() == ("25.0%", "4", "2.0", "2.0", "1.0", "3.0", "0.8")
    assert row.addresses == [ONE, TWO]


def test_without_a_terminal_the_table_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    traces = iter(([Hop(1, (Answer(ONE, 1.0),)), Hop(2, (None,))], [Hop(1, (None,))]))
    LiveTrace(lambda: next(traces), NAMES, "trace to there").run(2, 0.0)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["trace", "to", "there", "Loss%", "Snt", "Last", "Avg", "Best", "Wrst", "StDev"],
        ["1.", ONE, "50.0%", "2", "1.0", "1.0", "1.0", "1.0", "0.0"],
        ["2.", "???", "100.0%", "1", "-", "-", "-", "-", "-"],
    ]
