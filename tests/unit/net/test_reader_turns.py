"""A reader that reads gets its turn before more frames are taken than its queue has room for."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from drivers.tap.reader_pause import PATIENCE, READERS_SHARE, let_readers_read
from schemefs.net.reader_turns import BURST, ReaderTurns
from schemes.ip.raw import Filter, RawConversation
from tests.support.ip_host import IpHost, datagram
from tests.support.udp_host import ROOT, UdpHost

NOW = 0.0
LONG = 1000  # octets of payload


def filled_to_the_brim(host: UdpHost) -> int:
    """Send datagrams until a turn is due; return how many."""
    count = 0
    while not host.network.turns.are_due:
        host.hears(bytes(LONG), 9)
        count += 1
        assert count < 10_000
    return count


def test_a_turn_is_due_before_a_burst_would_overflow_the_queue() -> None:
    host = UdpHost()
    handle = host.open(":9")
    filled_to_the_brim(host)
    assert host.link.turns is host.network.turns
    assert host.scheme.udp.dropped["queue_full"] == 0
    reads = 0
    while host.network.turns.are_due:
        assert handle.read(2000, NOW)
        reads += 1
    assert reads == 1  # one datagram more has room
    for _ in range(BURST):
        host.hears(bytes(LONG), 9)
    assert host.scheme.udp.dropped["queue_full"] == 0


def test_all_frames_of_an_overload_are_read_if_the_driver_lets_readers_read() -> None:
    host = UdpHost()
    handle = host.open(":9")
    taken = read = 0
    while taken < 20_000:
        for _ in range(BURST):
            host.hears(bytes(LONG), 9)
        taken += BURST
        while host.network.turns.are_due:
            assert handle.read(2000, NOW)
            read += 1
    assert read > taken * 0.95
    assert host.scheme.udp.dropped["queue_full"] == 0


def test_a_queue_without_a_reader_asks_for_nothing_after_it_was_given_up() -> None:
    host = UdpHost()
    handle = host.open(":9")
    filled_to_the_brim(host)
    host.network.turns.give_up()
    host.hears(bytes(LONG), 9)
    assert not host.network.turns.are_due
    assert handle.read(2000, NOW)
    assert host.network.turns.are_due, "it has begun to read"
    host.hears(bytes(LONG), 9)
    handle.close(NOW)
    assert not host.network.turns.are_due, "the queue is gone"


def test_a_tiny_queue_is_behind_until_it_is_empty() -> None:
    host = UdpHost()
    handle = host.open(":9")
    host.scheme.lookup("0/settings/receive_queue", ROOT).write(b"3000\n", ROOT, NOW)  # type: ignore[attr-defined]
    for _ in range(BURST):
        host.hears(bytes(LONG), 9)
    assert host.network.turns.are_due
    while host.network.turns.are_due:
        assert handle.read(2000, NOW)
    assert handle.read(2000, NOW) is None


def test_raw_conversations_ask_too() -> None:
    host = IpHost()
    raw = RawConversation(host.network, 200, Filter())
    while not host.network.turns.are_due:
        host.receives_datagram(datagram(bytes(1400), p=200))
    assert raw.dropped == 0
    raw.close(NOW)
    assert not host.network.turns.are_due


async def _pauses(turns: ReaderTurns, took: float) -> float:
    began = trio.current_time()
    await let_readers_read(turns, took)
    return trio.current_time() - began


def test_the_pause_ends_with_the_reader(autojump_clock: trio.testing.MockClock) -> None:
    async def run() -> tuple[float, float, float]:
        turns, queue = ReaderTurns(), object()
        turns.behind(queue)
        unread = await _pauses(turns, 1.0)
        assert not turns.are_due

        async def reader() -> None:
            turns.has_read(queue)
            for _ in range(10):
                await trio.sleep(PATIENCE / 2)
                turns.has_read(queue)
            turns.caught_up(queue)

        async with trio.open_nursery() as nursery:
            turns.behind(queue)
            nursery.start_soon(reader)
            caught_up = await _pauses(turns, 1.0)
        async with trio.open_nursery() as nursery:
            turns.behind(queue)
            nursery.start_soon(reader)
            ended = await _pauses(turns, PATIENCE / READERS_SHARE)
            assert turns.are_due
        return unread, caught_up, ended

    unread, caught_up, ended = trio.run(run, clock=autojump_clock)
    assert unread == pytest.approx(PATIENCE)
    assert caught_up == pytest.approx(5 * PATIENCE)
    assert ended == pytest.approx(PATIENCE), "frames get their part in any case"
