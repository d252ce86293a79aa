"""The loopback link: order, bounds, back-pressure, and what its observers see."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from drivers.loopback import LoopbackDriver, LoopbackLink
from drivers.loopback.link import BURST_FRAMES, QUEUE_FRAMES
from schemefs.driver import DriverContext, Medium
from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.offload import NEEDS_CHECKSUM, NO_OFFLOAD, Offload


def looped(link: LoopbackLink) -> list[tuple[bytes, Offload, float]]:
    """Collect what *link* delivers, copied as the contract asks."""
    frames: list[tuple[bytes, Offload, float]] = []
    link.receive = lambda frame, offload, now: frames.append((bytes(frame), offload, now))
    return frames


def test_frames_come_back_in_order_with_the_work_left_in_them() -> None:
    link = LoopbackLink()
    frames = looped(link)
    work = Offload(NEEDS_CHECKSUM, 1, 40, 1000, 20, 16)
    assert link.send((b"ab", b"", memoryview(b"cd")), work, 0.0)
    assert link.send((b"e",), NO_OFFLOAD, 0.0)
    assert frames == []
    assert link.pump(1.0) is False
    assert frames == [(b"abcd", work, 1.0), (b"e", NO_OFFLOAD, 1.0)]
    assert (link.medium, link.mac, link.mtu) == (Medium.IP, b"", 65535)


def test_the_senders_buffer_may_change_after_send() -> None:
    link = LoopbackLink()
    frames = looped(link)
    buffer = bytearray(b"before")
    link.send((buffer,), NO_OFFLOAD, 0.0)
    buffer[:] = b"after!"
    link.pump(0.0)
    assert frames[0][0] == b"before"


def test_a_full_queue_refuses_and_says_once_when_there_is_room() -> None:
    link = LoopbackLink()
    looped(link)
    told: list[float] = []
    link.on_space = told.append
    for _ in range(QUEUE_FRAMES):
        assert link.send((b"x",), NO_OFFLOAD, 0.0)
    assert not link.send((b"x",), NO_OFFLOAD, 0.0)
    assert not link.send((b"x",), NO_OFFLOAD, 0.0)
    now = 0.0
    while link.pump(now := now + 1.0):
        pass
    assert told == [2.0]
    assert link.statistics()["refused_queue_full"] == 2
    assert link.statistics()["received_frames"] == QUEUE_FRAMES


def test_two_ends_that_answer_each_other_do_not_hold_up_a_burst() -> None:
    link = LoopbackLink()
    count = 0

    def answer(_frame: memoryview, _offload: Offload, now: float) -> None:
        nonlocal count
        count += 1
        link.send((b"again",), NO_OFFLOAD, now)

    link.receive = answer
    link.send((b"first",), NO_OFFLOAD, 0.0)
    assert link.pump(0.0) is True
    assert count == 1


def test_a_datagram_that_ip_cannot_describe_is_counted() -> None:
    link = LoopbackLink()
    frames = looped(link)
    assert link.send((bytes(65536),), NO_OFFLOAD, 0.0)
    assert link.pump(0.0) is False
    assert frames == []
    assert link.statistics()["dropped_too_large"] == 1


def test_observers_see_complete_checksums_and_whole_segments_only() -> None:
    link = LoopbackLink()
    looped(link)
    seen: list[tuple[bytes, Offload, bool]] = []
    link.observers.append(lambda chunks, offload, outgoing, _now: seen.append((b"".join(chunks), offload, outgoing)))
    source, destination, payload = b"\x7f\0\0\1", b"\x7f\0\0\1", bytes(range(250)) * 10
    ip = bytearray(b"\x45\0\0\0\0\7\x40\0\x40\x06\0\0" + source + destination)
    tcp = bytearray(b"\0\1\0\2\0\0\0\x0a\0\0\0\x14\x50\x18\xff\xff\0\0\0\0")
    tcp[16:18] = pseudo_header_sum(source, destination, 6, 20 + len(payload)).to_bytes(2, "big")
    link.send((ip + tcp, payload), Offload(NEEDS_CHECKSUM, 1, 40, 1000, 20, 16), 0.0)
    link.pump(0.0)
    assert [(len(frame) - 40, outgoing) for frame, _, outgoing in seen] == [
        (1000, True),
        (1000, True),
        (500, True),
        (1000, False),
        (1000, False),
        (500, False),
    ]
    assert b"".join(frame[40:] for frame, _, outgoing in seen if outgoing) == payload
    for frame, offload, _ in seen:
        assert offload == NO_OFFLOAD
        assert is_valid(frame[:20])
        assert is_valid(frame[20:], pseudo_header_sum(source, destination, 6, len(frame) - 20))


@pytest.mark.trio
async def test_the_driver_sleeps_until_something_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    driver = LoopbackDriver(DriverContext("lo"))
    driver.open()
    arrived = trio.Event()
    times: list[float] = []

    def receive(_frame: memoryview, _offload: Offload, now: float) -> None:
        times.append(now)
        if len(times) == BURST_FRAMES + 1:
            arrived.set()

    driver.link.receive = receive
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        # With a mock clock that jumps only when every task sleeps, a tick would show as another time.
        await trio.sleep(3600)
        for _ in range(BURST_FRAMES + 1):
            driver.link.send((b"x",), NO_OFFLOAD, trio.current_time())
        sent_at = trio.current_time()
        await arrived.wait()
        nursery.cancel_scope.cancel()
    assert set(times) == {sent_at}
    driver.close()
