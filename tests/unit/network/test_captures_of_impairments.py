"""What a capture says of the rules of an impairment: which rule took, changed or delayed a frame, both ways."""

from __future__ import annotations

import io
import random

import pytest

from drivers.loopback import LoopbackLink
from schemefs.capture_reader import CapturedPacket, CaptureReader
from schemefs.config import Config
from schemefs.driver import Link
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.impaired_link import ImpairedLink
from schemefs.net.impairment import parse_impairments
from schemefs.net.offload import NO_OFFLOAD
from schemefs.scheme import Caller, Handle, SchemeContext, StreamFile
from schemefs.timers import Timers
from schemes.network import NetworkScheme
from tests.support.impaired_ends import TwoEnds, udp

ROOT = Caller(0)


def begun(link: Link, timers: Timers) -> Handle:
    """Return a capture of *link* that has begun."""
    context = SchemeContext(timers, random.Random(1), Config(), Names(), LogRings(lambda: 0.0))
    scheme = NetworkScheme(context)
    scheme.link_attached(link, 0.0)
    node = scheme.lookup(f"{link.name}/capture.pcapng", ROOT)
    assert isinstance(node, StreamFile)
    return node.open(0, ROOT, 0.0)


def packets_of(capture: Handle) -> list[CapturedPacket]:
    octets = capture.read(1 << 20, 0.0)
    assert isinstance(octets, bytes)
    return list(CaptureReader(io.BytesIO(octets)))


class Captured(TwoEnds):
    """The two ends, and a capture of the link between them."""

    def __init__(self, rules: str) -> None:
        super().__init__(*rules.split("; "))
        self.capture = begun(self.link, self.timers)

    def packets(self) -> list[CapturedPacket]:
        return packets_of(self.capture)

    def into(self, *frames: bytes, now: float = 0.0) -> None:
        """Receive as a driver does."""
        for octets in frames:
            self.link.observe((octets,), NO_OFFLOAD, outgoing=False, now=now)
            self.link.receive(memoryview(octets), NO_OFFLOAD, now)


_20 = ["impaired: delayed 20 ms by rule 1"] * 3
_FULL = ["dropped: impaired, queue_full (rule 1)"] * 2
FRAMES = [udp(b"%d" % number) for number in range(4)]


@pytest.mark.parametrize(
    ("rules", "comments"),
    [
        ("drop udp 2", ["", "dropped: impaired, by_rule (rule 1)", "", ""]),
        ("delay 20ms; hold udp 1 1s", ["impaired: held 1000 ms by rule 2 + impaired: delayed 20 ms by rule 1", *_20]),
        ("corrupt tcp 1; corrupt udp 3", ["", "", "impaired: corrupted by rule 2", ""]),
        ("reorder udp 1", ["impaired: put behind others by rule 1", "", "", ""]),
        ("mtu 68; drop udp 1", ["dropped: impaired, by_rule (rule 2)", "", "", ""]),
        ("loss 100%", ["dropped: impaired, lost (rule 1)"] * 4),
        ("rate 8kbit queue 2", ["impaired: delayed 43 ms by rule 1", "impaired: delayed 86 ms by rule 1", *_FULL]),
    ],
)
def test_what_leaves_is_shown_with_what_the_rules_did(rules: str, comments: list[str]) -> None:
    ends = Captured(rules)
    ends.out(*FRAMES)
    packets = ends.packets()
    assert [" + ".join(packet.comments) for packet in packets] == comments
    assert [packet.octets for packet in packets] == FRAMES, "a frame is shown as the layers have sent it"
    assert {packet.is_outgoing for packet in packets} == {True}
    ends.until(2.0)
    assert ends.capture.read(1 << 20, 2.0) is None, "a frame is shown once"


@pytest.mark.parametrize(
    ("rules", "comments"),
    [
        ("drop udp 2", ["0:", "1:dropped: impaired, by_rule (rule 1)", "2:", "3:"]),
        ("in hold udp 1 1s", ["1:", "2:", "3:", "0:impaired: held 1000 ms by rule 1"]),
        ("reorder udp 1", ["1:", "0:impaired: put behind others by rule 1", "2:", "3:"]),
        ("duplicate udp 4", ["0:", "1:", "2:", "3:impaired: duplicated by rule 1", "3:impaired: duplicated by rule 1"]),
        ("out drop all", ["0:", "1:", "2:", "3:"]),
    ],
)
def test_what_arrives_is_shown_when_the_layers_receive_it(rules: str, comments: list[str]) -> None:
    ends = Captured(rules)
    ends.into(*FRAMES)
    ends.until(2.0)
    packets = ends.packets()
    assert [f"{packet.octets[-1:].decode()}:{' + '.join(packet.comments)}" for packet in packets] == comments
    assert {packet.is_outgoing for packet in packets} == {False}


def test_a_corrupted_frame_that_arrives_is_shown_as_the_layers_receive_it() -> None:
    ends = Captured("in corrupt udp 1")
    ends.into(*FRAMES)
    first, second, *_ = ends.packets()
    assert first.octets != FRAMES[0]
    assert (first.octets, first.comments) == (ends.received()[0], ("impaired: corrupted by rule 1",))
    assert (second.octets, second.comments) == (FRAMES[1], ())


def test_captures_and_impairments_may_come_in_any_order() -> None:
    ends = Captured("drop udp 2")
    ends.capture.close(0.0)
    ends.out(*FRAMES)
    assert ends.link.capture_points == []
    ends.impaired.remove(0.0)
    assert ends.link.impaired == frozenset()


def test_on_lo_a_frame_that_a_rule_drops_is_shown_once_and_others_when_they_arrive() -> None:
    link, timers = LoopbackLink(), Timers()
    capture = begun(link, timers)
    impaired = ImpairedLink(link, parse_impairments(["drop udp 2; corrupt udp 3; duplicate udp 4"]), timers)
    for frame in FRAMES:
        assert impaired.send((frame[14:],), NO_OFFLOAD, 0.0)
    link.pump(0.0)
    assert [(packet.octets[-1:], *packet.comments) for packet in packets_of(capture)] == [
        (b"1", "dropped: impaired, by_rule (rule 1)"),
        (b"0",),
        (b"3", "impaired: corrupted by rule 2"),
        (b"3", "impaired: duplicated by rule 3"),
        (b"3",),
    ]
