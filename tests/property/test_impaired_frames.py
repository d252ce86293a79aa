"""No octets raise on an impaired link, and what is neither lost nor held is passed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.frame_fields import frame_fields
from tests.support.impaired_ends import ACK, TwoEnds, arp, icmp, icmpv6, ipv4, ipv6, tcp, udp

EXAMPLES = (
    arp(),
    icmp(3, 4),
    icmpv6(2),
    udp(),
    tcp(ACK, 1, b"abc"),
    ipv6(44, bytes(8)),
    ipv4(6, bytes(30), fragment=7),
)
TEXTS = (
    "corrupt all; duplicate all 2; reorder all 3 by 2; hold all 4 1ms",
    "loss 10% burst 2 corrupt 50% duplicate 30% delay 2ms jitter 1ms reorder 10% seed 1; drop data 3.. host fd00::1",
    "drop icmp 2; drop nd; drop syn flow 2; blackhole icmp mtu 1280",
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame that begins as a real one does, with some octets changed, and cut."""
    octets = bytearray(draw(st.sampled_from(EXAMPLES)) + draw(st.binary(max_size=40)))
    for at, value in draw(st.lists(st.tuples(st.integers(12, 80), st.integers(0, 255)), max_size=8)):
        if at < len(octets):
            octets[at] = value
    return bytes(octets[: draw(st.integers(0, len(octets)))])


@given(st.lists(st.one_of(frames(), st.binary(max_size=90)), max_size=12), st.sampled_from(TEXTS))
def test_no_octets_raise(sent: list[bytes], text: str) -> None:
    ends = TwoEnds(text)
    for number, octets in enumerate(sent):
        ends.out(octets, now=number * 0.01)
        ends.into(octets, now=number * 0.01)
    ends.until(10.0)
    for direction, passed in (("out", ends.sent_on()), ("in", ends.received())):
        counts = ends.counts(direction)
        dropped = sum(count for name, count in counts.items() if name.startswith("dropped_"))
        assert len(passed) == len(sent) + counts["duplicated"] - dropped
        assert counts["held"] == 0


@given(st.one_of(frames(), st.binary(max_size=90)), st.sampled_from([0, 14, 18]))
def test_the_fields_of_any_octets(octets: bytes, start: int) -> None:
    fields = frame_fields(octets, start)
    assert fields.kinds & 1
    assert fields.payload <= len(octets)
    assert fields.end <= max(len(octets), start)
