"""Log rings: positions, cutting, watchers, and loggers as their source."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from schemefs.log import TRACE, LogRing, LogRings


def everything(ring: LogRing) -> bytes:
    return ring.read(0, 1 << 30)[0]


def test_positions_count_all_that_was_ever_written() -> None:
    ring = LogRing()
    ring.append("one")
    ring.append("två")
    assert (ring.start, ring.end) == (0, 9)
    assert ring.read(0, 100) == ("one\ntvå\n".encode(), 0)
    assert ring.read(4, 2) == (b"tv", 4)
    assert ring.read(9, 100) == (b"", 9)
    ring.append("three")
    assert ring.read(9, 100) == (b"three\n", 9)


def test_cut_is_at_the_end_of_a_line_and_positions_go_on() -> None:
    ring = LogRing(capacity=100)
    for number in range(50):
        ring.append(f"line {number:02}")
        kept = everything(ring)
        assert len(kept) <= 100
        assert kept.startswith(b"line ") and kept.endswith(b"line %02d\n" % number)
        assert ring.end == (number + 1) * 8
        assert ring.start + len(kept) == ring.end
        assert len(kept) >= min(ring.end, 80)


def test_reader_that_fell_behind_is_told_where_it_really_is() -> None:
    ring = LogRing(capacity=100)
    for number in range(50):
        ring.append(f"line {number:02}")
    octets, begin = ring.read(3, 8)
    assert begin == ring.start > 3
    assert octets == everything(ring)[:8]


def test_line_larger_than_the_ring_leaves_nothing_and_does_no_harm() -> None:
    ring = LogRing(capacity=100)
    ring.append("x" * 500)
    assert everything(ring) == b""
    assert ring.start == ring.end == 501
    ring.append("next")
    assert everything(ring) == b"next\n"


def test_watchers_are_told_of_each_line_and_may_leave_meanwhile() -> None:
    ring = LogRing()
    told: list[int] = []

    def once() -> None:
        told.append(ring.end)
        ring.watchers.discard(once)

    ring.watchers.add(once)
    ring.append("a")
    ring.append("b")
    assert told == [2]


@pytest.fixture
def rings() -> Iterator[LogRings]:
    times = iter(range(1000))
    made = LogRings(lambda: float(next(times)))
    yield made
    made.close()


def test_lines_carry_time_level_and_subsystem(rings: LogRings, caplog: pytest.LogCaptureFixture) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    with caplog.at_level(TRACE, "schemefs"):
        logging.getLogger("schemefs.ip").log(TRACE, "ARP request (try %d)", 1)
        logging.getLogger("schemefs.tcp").warning("SYN out")
    assert everything(ring) == b"+1.000000 TRACE ip: ARP request (try 1)\n+2.000000 WARNING tcp: SYN out\n"


def test_traceback_follows_its_line(rings: LogRings, caplog: pytest.LogCaptureFixture) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    try:
        raise KeyError("lost")
    except KeyError:
        logging.getLogger("schemefs.fs").exception("unexpected")
    text = everything(ring).decode()
    assert "ERROR fs: unexpected\nTraceback" in text
    assert text.endswith("KeyError: 'lost'\n")


def test_one_interfaces_log_is_in_its_own_ring_and_in_the_whole(rings: LogRings) -> None:
    whole = rings.ring("schemefs.log", "schemefs")
    eth0 = rings.ring("virtio/eth0.log", "schemefs.virtio.eth0")
    logging.getLogger("schemefs.virtio.eth0").warning("ring full")
    logging.getLogger("schemefs.virtio.eth1").warning("other")
    assert b"ring full" in everything(eth0)
    assert b"other" not in everything(eth0)
    assert b"ring full" in everything(whole)
    assert rings.ring("schemefs.log", "schemefs") is whole
    assert [name for name, _ in rings] == ["schemefs.log", "virtio/eth0.log"]


def test_bad_format_string_does_not_reach_who_logs(rings: LogRings, capsys: pytest.CaptureFixture[str]) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    logger = logging.getLogger("schemefs.test")
    handler = next(handler for handler in logging.getLogger("schemefs").handlers if getattr(handler, "ring", 0) is ring)
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "%d", ("x",), None)
    handler.handle(record)
    assert everything(ring) == b""
    assert "TypeError" in capsys.readouterr().err


def test_closed_rings_hear_no_more(rings: LogRings) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    rings.close()
    logging.getLogger("schemefs").warning("after the end")
    assert ring.end == 0
