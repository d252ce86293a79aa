"""Log rings: positions, cutting, wakers, and loggers as their source."""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.log import TRACE, LogRing, LogRings, RateLimit
from schemefs.log_file import BACKLOG, LogFile


def everything(ring: LogRing) -> bytes:
    return ring.read(ring.start, 1 << 30)[0]


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


def test_a_reader_that_fell_behind_gets_its_real_position() -> None:
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


def test_wakers_are_called_for_each_line_and_may_leave_meanwhile() -> None:
    ring = LogRing()
    told: list[int] = []

    def once() -> None:
        told.append(ring.end)
        ring.wakers.discard(once)

    ring.wakers.add(once)
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
    assert "ERROR fs: unexpected\n  Traceback" in text
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


def test_a_bad_format_string_does_not_reach_the_caller(rings: LogRings, capsys: pytest.CaptureFixture[str]) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    logger = logging.getLogger("schemefs.test")
    handler = next(handler for handler in logging.getLogger("schemefs").handlers if getattr(handler, "ring", 0) is ring)
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, "%d", ("x",), None)
    handler.handle(record)
    assert everything(ring) == b""
    assert "TypeError" in capsys.readouterr().err


def test_closed_rings_get_no_more_lines(rings: LogRings) -> None:
    ring = rings.ring("schemefs.log", "schemefs")
    rings.close()
    logging.getLogger("schemefs").warning("after the end")
    assert ring.end == 0


def record(level: int, template: str, at: float, *args: object, name: str = "schemefs.arp") -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, template, args, None)
    made.created = at
    return made


def test_lines_of_a_kind_are_limited_and_what_was_left_out_is_said() -> None:
    limit = RateLimit()
    passed = [limit.filter(record(logging.WARNING, "%s claims it", 100.0, n)) for n in range(1000)]
    assert sum(passed) == 20
    assert limit.suppressed == 980
    assert limit.filter(record(logging.WARNING, "another kind", 100.0))
    assert limit.filter(record(logging.WARNING, "%s claims it", 100.0, name="schemefs.ip"))
    later = record(logging.WARNING, "%s claims it", 101.0, 7)
    assert limit.filter(later)
    assert later.left_out == 980


def test_debug_and_trace_lines_are_never_limited() -> None:
    limit = RateLimit()
    assert all(limit.filter(record(TRACE, "frame", 1.0)) for _ in range(1000))
    assert all(limit.filter(record(logging.DEBUG, "frame", 1.0)) for _ in range(1000))


def test_two_logs_have_the_same_lines(rings: LogRings) -> None:
    whole = rings.ring("schemefs.log", "schemefs")
    eth0 = rings.ring("virtio/eth0.log", "schemefs.virtio.eth0")
    for number in range(100):
        logging.getLogger("schemefs.virtio.eth0").warning("ring full %d", number)
    lines, others = ([line.split()[1:] for line in everything(ring).splitlines()] for ring in (whole, eth0))
    assert lines == others
    assert len(lines) == 20
    assert rings.limit.suppressed == 80


def test_a_clock_that_is_set_back_stops_no_log() -> None:
    limit = RateLimit()
    assert limit.filter(record(logging.INFO, "x", 1000.0))
    assert limit.filter(record(logging.INFO, "x", 10.0))


def test_a_file_without_a_reader_blocks_no_caller(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(str(pipe))
    line = record(logging.INFO, "x" * 1000, 1.0)
    for _ in range(BACKLOG + 2000):  # ten megabytes into a pipe of 64 KiB
        file.handle(line)
    os.close(reader)
    file.close()


def test_a_file_has_every_line_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    for number in range(5000):
        file.handle(record(logging.INFO, "line %d", 1.0, number))
    file.close()
    assert path.read_text().splitlines() == [f"line {number}" for number in range(5000)]


def test_a_pipe_that_does_not_block_gets_every_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(str(tmp_path / "pipe"))
    os.set_blocking(file._fd, False)
    for number in range(3000):  # more than a pipe holds
        file.handle(record(logging.INFO, "line %d" + "x" * 100, 1.0, number))
    text = b""
    while text.count(b"\n") < 3000:
        assert select.select([reader], [], [], 10)[0], "no more comes"
        text += os.read(reader, 1 << 16)
    file.close()
    os.close(reader)
    assert [line.rstrip(b"x") for line in text.splitlines()] == [b"line %d" % number for number in range(3000)]


def test_a_nonblocking_pipe_without_a_reader_ends_with_the_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(str(tmp_path / "pipe"))
    os.set_blocking(file._fd, False)
    for _ in range(5000):
        file.handle(record(logging.INFO, "x" * 1000, 1.0))
    file.close()
    file._thread.join(5)
    assert not file._thread.is_alive()
    os.close(reader)


def test_what_a_full_disk_did_not_take_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    write, room, refused = os.write, [len(b"one\ntw")], threading.Event()

    def until_full(descriptor: int, octets: bytes) -> int:
        if descriptor != file._fd:
            return write(descriptor, octets)
        if not room[0]:
            refused.set()
            raise OSError(errno.ENOSPC, "full")
        count = write(descriptor, octets[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", until_full)
    file._append([(0, b"one\n"), (0, b"two\n"), (3, b"three\n")])
    assert refused.is_set()
    refused.clear()
    file.handle(record(logging.INFO, "four", 1.0))
    assert refused.wait(5)
    room[0] = 1000
    file.handle(record(logging.INFO, "five", 1.0))
    file.close()
    assert path.read_text() == "one\ntw\n(6 lines left out: they could not be written)\nfive\n"
