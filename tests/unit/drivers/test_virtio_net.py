"""The virtio-net driver on a device in memory: headers, offload, back-pressure, deadlines, bad devices."""

from __future__ import annotations

import logging

import pytest

from drivers.virtio.features import Feature, negotiate
from drivers.virtio.header import decode, encode
from drivers.virtio.transmit import LONGEST_CHAIN
from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.offload import CHECKED, DATA_VALID, GSO_ECN, NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from tests.support.virtio_devices import EVERYTHING, Bench

PLAIN = Feature.EVENT_IDX | Feature.VERSION_1
SOURCE, DESTINATION = b"\x0a\0\2\x0f", b"\x0a\0\2\2"


def tcp_frame(payload: bytes) -> tuple[bytes, bytes]:
    """Return headers with a partial checksum, and the payload."""
    ip = bytearray(b"\x45\0\0\0\0\7\x40\0\x40\x06\0\0" + SOURCE + DESTINATION)
    ip[2:4] = (40 + len(payload)).to_bytes(2, "big")
    tcp = bytearray(b"\0\1\0\2\0\0\0\x0a\0\0\0\x14\x50\x18\xff\xff\0\0\0\0")
    tcp[16:18] = pseudo_header_sum(SOURCE, DESTINATION, 6, 20 + len(payload)).to_bytes(2, "big")
    return bytes(12) + b"\x08\0" + ip + tcp, payload


def assert_right_on_a_wire(frame: bytes) -> None:
    """Both checksums are complete, and the length is the frame's."""
    assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
    assert is_valid(frame[34:], pseudo_header_sum(SOURCE, DESTINATION, 6, len(frame) - 34))


SEGMENT = Offload(NEEDS_CHECKSUM, 1, 54, 1000, 34, 16)
PARTIAL = Offload(NEEDS_CHECKSUM, 0, 0, 0, 34, 16)


def test_a_feature_without_its_precondition_is_not_accepted() -> None:
    assert negotiate(Feature.GUEST_TSO4 | Feature.HOST_TSO4 | Feature.HOST_ECN) == Feature(0)
    assert negotiate(Feature.CSUM | Feature.HOST_TSO6 | Feature.HOST_ECN | 1 << 15) == (
        Feature.CSUM | Feature.HOST_TSO6 | Feature.HOST_ECN
    )


def test_the_header_is_the_standards() -> None:
    assert encode(SEGMENT, 12) == bytes([1, 1, 54, 0, 0xE8, 3, 34, 0, 16, 0, 0, 0])
    assert encode(SEGMENT, 10) == bytes([1, 1, 54, 0, 0xE8, 3, 34, 0, 16, 0])
    assert encode(CHECKED, 10) == bytes(10), "DATA_VALID is not ours to say"
    assert decode(encode(SEGMENT, 10)) == SEGMENT
    assert decode(bytes(10)) is NO_OFFLOAD
    assert decode(bytes([DATA_VALID]) + bytes(9)) is CHECKED


@pytest.mark.parametrize("header_length", [10, 12])
def test_a_super_segment_passes_whole_where_the_device_cuts(header_length: int) -> None:
    bench = Bench(header_length=header_length)
    headers, payload = tcp_frame(bytes(range(250)) * 100)
    assert bench.link.send((headers, payload[:9000], memoryview(payload)[9000:]), SEGMENT, 0.0)
    assert bench.device.sent == [(SEGMENT, headers + payload)]


@pytest.mark.parametrize("features", [PLAIN, PLAIN | Feature.CSUM])
def test_a_super_segment_is_cut_here_where_the_device_does_not(features: Feature) -> None:
    bench = Bench(features)
    headers, payload = tcp_frame(bytes(range(250)) * 10)
    assert bench.link.send((headers, payload), SEGMENT, 0.0)
    assert [len(frame) - 54 for _, frame in bench.device.sent] == [1000, 1000, 500]
    assert b"".join(frame[54:] for _, frame in bench.device.sent) == payload
    for offload, frame in bench.device.sent:
        assert offload == NO_OFFLOAD
        assert_right_on_a_wire(frame)
    assert bench.device.bells[1] == 1, "one bell for all pieces"
    assert bench.link.statistics()["tx_finished_in_software"] == 1


def test_a_partial_checksum_is_completed_where_the_device_does_not() -> None:
    bench = Bench(PLAIN)
    assert bench.link.send(tcp_frame(b"hello"), PARTIAL, 0.0)
    [(offload, frame)] = bench.device.sent
    assert offload == NO_OFFLOAD
    assert_right_on_a_wire(frame)


def test_a_segment_with_cwr_is_cut_here_where_the_device_knows_no_ecn() -> None:
    bench = Bench(EVERYTHING & ~Feature.HOST_ECN)
    assert bench.link.send(tcp_frame(bytes(1500)), SEGMENT._replace(gso_type=1 | GSO_ECN), 0.0)
    assert [len(frame) for _, frame in bench.device.sent] == [1054, 554]


def test_pieces_are_sent_all_or_none() -> None:
    bench = Bench(PLAIN, sizes=(8, 16))
    bench.device.holding = True
    assert bench.link.send(tcp_frame(bytes(5000)), SEGMENT, 0.0)  # five pieces: ten descriptors
    assert not bench.link.send(tcp_frame(bytes(4000)), SEGMENT, 0.0)  # eight; six are free
    assert len(bench.device.sent) == 5
    assert bench.link.send(tcp_frame(bytes(3000)), SEGMENT, 0.0)
    assert len(bench.device.sent) == 8
    bench.device.complete(bench.device.held, 2.0)
    assert bench.spaces == [2.0]


def test_a_segment_of_more_pieces_than_the_ring_has_places_is_counted() -> None:
    bench = Bench(PLAIN, sizes=(8, 16))
    assert bench.link.send(tcp_frame(bytes(9000)), SEGMENT, 0.0)
    assert bench.device.sent == []
    assert bench.link.statistics()["dropped_too_many_pieces"] == 1


def test_a_full_ring_refuses_and_says_once_that_there_is_room() -> None:
    bench = Bench(sizes=(8, 8))
    bench.device.holding = True
    sent = 0
    while bench.link.send((bytes(60), b"payload"), NO_OFFLOAD, 0.0):
        sent += 1
    assert not bench.link.send((bytes(60), b"payload"), NO_OFFLOAD, 0.0)
    assert (sent, bench.link.statistics()["tx_refused_ring_full"]) == (4, 2)
    assert not bench.link.has_room
    bench.device.complete(bench.device.held[:1], 1.0)
    assert bench.spaces == []
    bench.device.complete(bench.device.held, 2.0)
    assert bench.spaces == [2.0]
    bench.device.holding = False
    assert bench.link.send((bytes(60), b"payload"), NO_OFFLOAD, 3.0)
    assert bench.spaces == [2.0]


def test_buffers_live_exactly_as_long_as_their_descriptors() -> None:
    bench = Bench()
    bench.device.holding = True
    payload = bytearray(b"some octets")
    bench.link.send((bytes(300), memoryview(payload)), NO_OFFLOAD, 0.0)
    with pytest.raises(BufferError):
        payload.append(0)  # still lent to the device
    bench.device.complete(bench.device.held, 0.0)
    payload.append(0)


def test_many_chunks_and_empty_ones_are_one_frame() -> None:
    bench = Bench()
    chunks = (b"h" * 54, b"", *(bytes([number]) for number in range(2 * LONGEST_CHAIN)))
    assert bench.link.send(chunks, NO_OFFLOAD, 0.0)
    assert bench.link.send((b"h" * 300, b"", b"tail"), NO_OFFLOAD, 0.0)
    assert [frame for _, frame in bench.device.sent] == [b"".join(chunks), b"h" * 300 + b"tail"]
    assert bench.link.statistics()["sent_octets"] == sum(map(len, chunks)) + 304


def test_a_chain_older_than_a_second_is_logged_once_with_its_descriptor(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    assert bench.deadline() is None
    bench.link.send((bytes(60),), NO_OFFLOAD, 1.0)
    assert (bench.deadline(), bench.behind) == (None, 0), "nothing in flight, no deadline"
    bench.device.holding = True
    bench.link.send((bytes(60),), NO_OFFLOAD, 5.0)
    bench.link.send((bytes(60),), NO_OFFLOAD, 5.5)
    assert bench.behind
    assert bench.deadline() == 6.0
    bench.now = 6.25
    assert bench.link.statistics()["tx_oldest_age"] == 1.25
    with caplog.at_level(logging.WARNING, "schemefs.virtio.eth0"):
        bench.link.on_deadline(6.0)
        assert bench.deadline() == 6.5
        bench.link.on_deadline(6.5)
        assert bench.deadline() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"transmit descriptor {bench.device.held[0]} is in flight for 1.0 s",
        f"transmit descriptor {bench.device.held[1]} is in flight for 1.0 s",
    ]
    bench.device.complete(bench.device.held, 7.0)
    assert bench.link.statistics()["tx_in_flight"] == 0


def test_a_slow_devices_interrupt_is_asked_for_and_only_then() -> None:
    bench = Bench()
    for _ in range(20):
        bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    assert bench.link.statistics()["tx_interrupts"] == 0
    bench.device.holding = True
    for _ in range(4):
        bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    bench.device.complete(bench.device.held[:2], 0.5)
    bench.device.complete(bench.device.held[:1], 0.6)
    bench.device.complete(bench.device.held[:1], 0.7)
    assert bench.link.statistics()["tx_in_flight"] == 0


def test_a_buffer_is_recycled_even_when_the_receiver_fails() -> None:
    bench = Bench()

    def fail(_frame: memoryview, _offload: Offload, _now: float) -> None:
        raise ZeroDivisionError

    bench.link.receive = fail
    with pytest.raises(ZeroDivisionError):
        bench.device.arrive(bytes(60))
    assert bench.link.statistics()["rx_in_flight"] == 8


def test_a_true_header_length_replaces_the_devices_hint() -> None:
    bench = Bench()
    headers, payload = tcp_frame(bytes(3000))
    bench.device.arrive(headers + payload, offload=SEGMENT._replace(header_length=0))
    assert bench.received[0][1] == SEGMENT


@pytest.mark.parametrize(
    "offload",
    [
        Offload(NEEDS_CHECKSUM, 0, 0, 0, 59, 0),  # the field is half outside
        Offload(NEEDS_CHECKSUM, 0, 0, 0, 34, 65535),
        Offload(NEEDS_CHECKSUM, 1, 54, 0, 34, 16),  # cut to nothing
        Offload(NEEDS_CHECKSUM, 7, 54, 1000, 34, 16),  # no such type
        Offload(0, 1, 54, 1000, 34, 16),  # can't be cut without a partial sum
        Offload(NEEDS_CHECKSUM, 1, 54, 1000, 50, 4),  # no room for a TCP header
        Offload(NEEDS_CHECKSUM, 5, 54, 1000, 55, 2),
    ],
)
def test_a_header_that_contradicts_its_frame_is_counted(offload: Offload) -> None:
    bench = Bench()
    bench.link.observers.append(lambda *_: pytest.fail("shown"))
    bench.device.arrive(bytes(60), offload=offload)
    assert bench.received == []
    assert bench.link.statistics()["dropped_bad_header"] == 1
    assert bench.link.drop_samples()["bad_header"].endswith("60 octets: " + "00" * 34)
    assert bench.link.statistics()["rx_in_flight"] == 8


@pytest.mark.parametrize("length", [0, 9, 12])
def test_less_than_a_header_is_counted(length: int) -> None:
    bench = Bench()
    bench.device.fill_raw(bytes(length))
    bench.device.interrupt(0, 0.0)
    assert bench.received == []
    assert bench.link.statistics()["dropped_no_header"] == 1


def test_a_device_that_lies_is_counted_and_the_link_goes_on() -> None:
    bench = Bench()
    bench.device.receive_queue.push(4711, 60)
    bench.device.arrive(b"x" * 60)
    bench.device.transmit_queue.push(3, 0)
    bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)
    statistics = bench.link.statistics()
    assert len(bench.received) == 1
    assert statistics["device_bogus_ids"] >= 1
    assert bench.link.send((bytes(60),), NO_OFFLOAD, 0.0)


def test_observers_see_both_directions_finished() -> None:
    bench = Bench()
    seen: list[tuple[int, bool]] = []
    bench.link.observers.append(lambda chunks, _offload, outgoing, _now: seen.append((len(chunks[0]), outgoing)))
    headers, payload = tcp_frame(bytes(1500))
    bench.link.send((headers, payload), SEGMENT, 0.0)
    bench.device.arrive(headers + payload, offload=SEGMENT)
    assert seen == [(1054, True), (554, True), (1054, False), (554, False)]


def test_each_step_is_traced(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level(5, "schemefs.virtio.eth0"):
        bench.link.send((bytes(60), b"x"), NO_OFFLOAD, 0.0)
        bench.device.arrive(bytes(70))
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "about to write 61 octets",
        "wrote 61 octets",
        "received 70 octets in descriptor 7",
        "recycled descriptor 7",
    ]
