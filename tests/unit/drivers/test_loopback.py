"""The loopback link: order, bounds, back-pressure, and what its observers see."""

from __future__ import annotations

from drivers.loopback import LoopbackDriver, LoopbackLink
from drivers.loopback.link import BURST_FRAMES, QUEUE_FRAMES
from schemefs.call_soon import CallSoonQueue
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


def test_the_driver_delivers_a_burst_as_soon_as_what_sent_it_is_done() -> None:
    callbacks = CallSoonQueue()
    driver = LoopbackDriver(DriverContext("lo", call_soon=callbacks.call_soon))
    driver.open()
    times: list[float] = []
    driver.link.receive = lambda _frame, _offload, now: times.append(now)
    for _ in range(BURST_FRAMES + 1):
        driver.link.send((b"x",), NO_OFFLOAD, 0.0)
    assert times == []
    callbacks.run(1.0)
    assert times == [1.0] * BURST_FRAMES
    callbacks.run(2.0)
    assert times == [1.0] * BURST_FRAMES + [2.0]
    assert not callbacks
    driver.close()


def test_what_is_sent_while_a_burst_is_delivered_belongs_to_the_next() -> None:
    """Two ends that answer each other can't hold up other tasks."""
    callbacks = CallSoonQueue()
    driver = LoopbackDriver(DriverContext("lo", call_soon=callbacks.call_soon))
    times: list[float] = []

    def answer(_frame: memoryview, _offload: Offload, now: float) -> None:
        times.append(now)
        driver.link.send((b"x",), NO_OFFLOAD, now)

    driver.link.receive = answer
    driver.link.send((b"x",), NO_OFFLOAD, 0.0)
    for now in (1.0, 2.0, 3.0):
        callbacks.run(now)
    assert times == [1.0, 2.0, 3.0]
    assert callbacks
