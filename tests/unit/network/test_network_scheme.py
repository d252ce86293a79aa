"""The network scheme on a loopback link and on an Ethernet link in memory."""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Mapping

import pytest

from drivers.loopback import LoopbackLink
from schemefs.capture_reader import CaptureReader
from schemefs.config import Config
from schemefs.driver import Link, Medium
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.buffer import Chunks
from schemefs.net.checksum import is_valid, pseudo_header_sum
from schemefs.net.frame_fields import FrameFields
from schemefs.net.offload import NEEDS_CHECKSUM, NO_OFFLOAD, Offload
from schemefs.scheme import Caller, Event, SchemeContext, StreamFile, TextFile
from schemefs.timers import Timers
from schemes.network import NetworkScheme, pcapng
from schemes.network.frames import QUEUE_OCTETS

ROOT = Caller(0)
USER = Caller(1000)


class KeptLink(Link):
    """An Ethernet link with room for a given number of frames."""

    def __init__(self, room: int = 100) -> None:
        super().__init__()
        self.name = "eth0"
        self.device = "test"
        self.medium = Medium.ETHERNET
        self.mac = b"\x02\0\0\0\0\x0f"
        self.room = room
        self.sent: list[bytes] = []

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Keep the frame while there is room."""
        if len(self.sent) >= self.room:
            return False
        self.sent.append(b"".join(chunks))
        if self.observers:
            self.observe(chunks, offload, outgoing=True, now=now)
        return True

    def arrive(self, frame: bytes, offload: Offload = NO_OFFLOAD) -> None:
        """Receive a frame as a driver does."""
        if self.observers:
            self.observe((memoryview(frame),), offload, outgoing=False, now=0.0)
        self.receive(memoryview(frame), offload, 0.0)

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the number of frames sent."""
        return {"sent_frames": len(self.sent)}


def scheme_with(link: Link) -> NetworkScheme:
    """Return the scheme with *link* attached."""
    scheme = NetworkScheme(
        SchemeContext(Timers(), random.Random(1), Config(), Names(), LogRings(lambda: 0.0), uid=1001)
    )
    scheme.link_attached(link, 0.0)
    return scheme


def text(scheme: NetworkScheme, path: str) -> str:
    node = scheme.lookup(path, ROOT)
    assert isinstance(node, TextFile)
    return node.read(ROOT, 0.0).decode()


def test_mac_and_stats_are_text() -> None:
    scheme = scheme_with(KeptLink())
    assert text(scheme, "eth0/mac") == "02:00:00:00:00:0f\n"
    lines = text(scheme, "eth0/stats").splitlines()
    assert lines == ["device=test", "sent_frames=0", "frames_readers=0", "dropped_reader_behind=0"]


def test_a_link_without_hardware_address_has_an_empty_mac() -> None:
    assert text(scheme_with(LoopbackLink()), "lo/mac") == ""


def test_a_frame_per_write_and_a_frame_per_read() -> None:
    link = KeptLink()
    handle = scheme_with(link).open("eth0/frames", os.O_RDWR, ROOT, 0.0)
    events: list[int] = []
    handle.on_changed = lambda: events.append(handle.fevent(Event.ALL))
    assert handle.read(2000, 0.0) is None
    assert handle.fevent(Event.ALL) == Event.OUT
    link.arrive(b"a" * 60)
    link.arrive(b"b" * 70)
    assert events == [Event.IN | Event.OUT]
    assert handle.read(2000, 0.0) == b"a" * 60
    assert handle.read(10, 0.0) == b"b" * 10
    assert handle.read(2000, 0.0) is None
    assert handle.write(memoryview(b"c" * 14), 0.0) == 14
    assert link.sent == [b"c" * 14]
    assert handle.read(2000, 0.0) is None, "a sent frame was received"


@pytest.mark.parametrize(
    ("length", "number", "sentence"),
    [
        (13, errno.EINVAL, "a frame of 13 octets is too short; the header alone has 14"),
        (0, errno.EINVAL, "a frame of 0 octets is too short; the header alone has 14"),
        (1519, errno.EMSGSIZE, "a frame of 1519 octets is too long for eth0; at most 1518 are allowed"),
    ],
)
def test_too_short_and_too_long_frames_are_refused(length: int, number: int, sentence: str) -> None:
    link = KeptLink()
    handle = scheme_with(link).open("eth0/frames", os.O_WRONLY, ROOT, 0.0)
    with pytest.raises(SchemeError) as failure:
        handle.write(memoryview(bytes(length)), 0.0)
    assert (failure.value.errno, failure.value.sentence) == (number, sentence)
    assert link.sent == []


def test_a_full_link_would_block_until_it_has_space() -> None:
    link = KeptLink(room=1)
    handle = scheme_with(link).open("eth0/frames", os.O_RDWR, ROOT, 0.0)
    changes: list[None] = []
    handle.on_changed = lambda: changes.append(None)
    assert handle.write(memoryview(bytes(60)), 0.0) == 60
    assert handle.write(memoryview(bytes(60)), 0.0) is None
    assert handle.fevent(Event.OUT) == 0
    link.sent.clear()
    link.space(0.0)
    assert changes == [None]
    assert handle.fevent(Event.OUT) == Event.OUT
    assert handle.write(memoryview(bytes(60)), 0.0) == 60


def test_only_root_and_the_daemons_user_may_open_frames() -> None:
    scheme = scheme_with(KeptLink())
    node = scheme.lookup("eth0/frames", USER)
    assert (node.mode, node.uid) == (0o600, 1001)
    scheme.open("eth0/frames", os.O_RDONLY, Caller(1001), 0.0)
    with pytest.raises(SchemeError) as failure:
        scheme.open("eth0/frames", os.O_RDONLY, USER, 0.0)
    assert failure.value.errno == errno.EACCES


def test_a_slow_reader_loses_frames_which_are_counted() -> None:
    link = KeptLink()
    scheme = scheme_with(link)
    handle = scheme.open("eth0/frames", os.O_RDONLY, ROOT, 0.0)
    frame = bytes(1500)
    fits = QUEUE_OCTETS // (1500 + 256)
    for _ in range(fits + 3):
        link.arrive(frame)
    assert "dropped_reader_behind=3\n" in text(scheme, "eth0/stats")
    read = 0
    while handle.read(2000, 0.0) is not None:
        read += 1
    assert read == fits


def test_readers_alone_observe_the_link() -> None:
    link = KeptLink()
    scheme = scheme_with(link)
    writer = scheme.open("eth0/frames", os.O_WRONLY, ROOT, 0.0)
    assert link.observers == []
    first = scheme.open("eth0/frames", os.O_RDONLY, ROOT, 0.0)
    second = first.reopen(os.O_RDWR, ROOT, 0.0)
    assert len(link.observers) == 1
    first.close(0.0)
    assert len(link.observers) == 1
    second.close(0.0)
    writer.close(0.0)
    assert link.observers == []
    assert link.space_observers == []


def super_segment(source: bytes, destination: bytes) -> tuple[bytes, Offload]:
    """Return a frame of three segments, and the work that is left in it."""
    payload = b"x" * 2500
    ip = b"\x45\0\0\0\0\7\x40\0\x40\x06\0\0" + source + destination
    tcp = bytearray(b"\0\1\0\2\0\0\0\x0a\0\0\0\x14\x50\x18\xff\xff\0\0\0\0")
    tcp[16:18] = pseudo_header_sum(source, destination, 6, 20 + len(payload)).to_bytes(2, "big")
    return bytes(12) + b"\x08\0" + ip + tcp + payload, Offload(NEEDS_CHECKSUM, 1, 54, 1000, 34, 16)


def test_a_capture_remarks_on_a_super_segment_once() -> None:
    """The layers take it whole: its second piece is not out of order."""
    link = KeptLink()
    scheme = scheme_with(link)
    asked: list[int] = []

    class Remarking(NetworkScheme):
        def remark(self, fields: FrameFields, *, outgoing: bool) -> str:
            asked.append(fields.sequence)
            return "a remark"

    scheme.context.tree.schemes["remarking"] = Remarking(scheme.context)
    node = scheme.lookup("eth0/capture.pcapng", ROOT)
    assert isinstance(node, StreamFile)
    handle = node.open(os.O_RDONLY, ROOT, 0.0)
    for _ in range(2):
        link.arrive(*super_segment(b"\x0a\0\2\2", b"\x0a\0\2\x0f"))
    octets = handle.read(1 << 20, 0.0)
    assert isinstance(octets, bytes)
    assert asked == [10, 10]
    assert octets.count(b"a remark") == 2


def test_super_segments_are_cut_and_checksums_completed() -> None:
    link = KeptLink()
    handle = scheme_with(link).open("eth0/frames", os.O_RDONLY, ROOT, 0.0)
    source, destination = b"\x0a\0\2\2", b"\x0a\0\2\x0f"
    link.arrive(*super_segment(source, destination))
    lengths = []
    while (frame := handle.read(2000, 0.0)) is not None:
        lengths.append(len(frame) - 54)
        assert is_valid(frame[14:34])
        assert is_valid(frame[34:], pseudo_header_sum(source, destination, 6, len(frame) - 34))
    assert lengths == [1000, 1000, 500]


def test_a_removed_link_ends_its_readers() -> None:
    link = KeptLink()
    scheme = scheme_with(link)
    handle = scheme.open("eth0/frames", os.O_RDWR, ROOT, 0.0)
    link.arrive(b"z" * 60)
    scheme.link_detached(link, 0.0)
    assert handle.read(100, 0.0) == b"z" * 60
    assert handle.read(100, 0.0) == b""
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.ERR | Event.HUP
    with pytest.raises(SchemeError) as failure:
        handle.write(memoryview(bytes(60)), 0.0)
    assert failure.value.errno == errno.ENODEV
    handle.close(0.0)
    with pytest.raises(SchemeError):
        scheme.lookup("eth0", ROOT)


@pytest.mark.parametrize("name", ["capture.pcapng", "capture.pcapng,snap=64"])
def test_only_the_privileged_may_capture(name: str) -> None:
    scheme = scheme_with(KeptLink())
    node = scheme.lookup(f"eth0/{name}", USER)
    assert isinstance(node, StreamFile)
    with pytest.raises(SchemeError, match="capture frames"):
        node.open(os.O_RDONLY, USER, 0.0)


def test_a_filter_is_for_the_frames_after_it() -> None:
    """The frames before it may not have been given to the capture yet, and the filter until then holds for them."""
    link = KeptLink()
    node = scheme_with(link).lookup("eth0/capture.pcapng", ROOT)
    assert isinstance(node, StreamFile)
    handle = node.open(os.O_RDONLY, ROOT, 0.0)
    link.send((b"\xaa" * 60,), NO_OFFLOAD, 0.0)
    handle.write(memoryview(b"tcp"), 0.0)
    link.send((b"\xbb" * 60,), NO_OFFLOAD, 0.0)
    octets = handle.read(1 << 20, 0.0)
    assert isinstance(octets, bytes)
    assert b"\xaa" * 60 in octets
    assert b"\xbb" * 60 not in octets


def test_a_link_without_captures_is_not_observed() -> None:
    link = KeptLink()
    node = scheme_with(link).lookup("eth0/capture.pcapng", ROOT)
    assert isinstance(node, StreamFile)
    handle = node.open(os.O_RDONLY, ROOT, 0.0)
    assert len(link.observers) == 1
    handle.close(0.0)
    assert link.observers == []


def test_a_capture_with_history_begins_with_the_frames_before_it() -> None:
    link = KeptLink()
    link.history.resize(1 << 20)
    for number in range(1000):
        link.arrive(bytes([number % 256]) * 60)
    node = scheme_with(link).lookup("eth0/capture.pcapng,history,snap=64", ROOT)
    assert isinstance(node, StreamFile)
    handle = node.open(os.O_RDONLY, ROOT, 0.0)
    link.arrive(b"\xff" * 60)
    octets = b""
    while piece := handle.read(1000, 0.0):
        assert len(piece) <= 1000
        octets += piece
    found = [packet.octets[0] for packet in CaptureReader(io.BytesIO(octets))]
    assert found == [number % 256 for number in range(1000)] + [0xFF]
    assert handle.fevent(Event.IN) == 0


def test_the_names_of_an_address_come_before_its_first_packet() -> None:
    link = KeptLink()
    scheme = scheme_with(link)
    scheme.context.names.set_hosts("10.0.2.2 peer.test peer\nfd00::2 six.test\n")
    node = scheme.lookup("eth0/capture.pcapng", ROOT)
    assert isinstance(node, StreamFile)
    handle = node.open(os.O_RDONLY, ROOT, 0.0)
    frame = bytes(12) + b"\x08\x06" + bytes(14) + b"\x0a\0\2\2" + bytes(6) + b"\x0a\0\2\x0f"
    for _ in range(2):
        link.arrive(frame)
    octets = handle.read(1 << 20, 0.0)
    assert isinstance(octets, bytes)
    blocks = list(CaptureReader(io.BytesIO(octets)).blocks())
    assert [block.kind for block in blocks] == [0x0A0D0D0A, 1, 4, 6, 6]
    assert pcapng.NamesBlock(blocks[2].octets).records == [(1, b"\x0a\0\2\2peer.test\0")]
    assert bytes(pcapng.NamesBlock(blocks[2].octets)) == blocks[2].octets
    assert len(pcapng.names(bytes(15) + b"\1", ["a"])) == 12 + 4 + 20 + 4


def test_a_filter_in_the_name_holds_for_the_history() -> None:
    link = KeptLink()
    link.history.resize(1 << 20)
    link.arrive(bytes(12) + b"\x08\x06" + bytes(46))
    link.arrive(bytes(12) + b"\x88\xb5" + bytes(46))
    node = scheme_with(link).lookup("eth0/capture.pcapng,history,filter=arp", ROOT)
    assert isinstance(node, StreamFile)
    octets = node.open(os.O_RDONLY, ROOT, 0.0).read(1 << 20, 0.0)
    assert isinstance(octets, bytes)
    assert [packet.octets[12:14] for packet in CaptureReader(io.BytesIO(octets))] == [b"\x08\x06"]
