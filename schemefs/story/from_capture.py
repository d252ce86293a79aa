"""The stories of the TCP conversations in a capture.

A conversation begins with the first segment between two pairs of address and port, and anew with a SYN of another
sequence number. Its local end is that of the mount where the capture says which packets have left (as those of a mount
do), else the end that sent first. A packet that the capture has twice, as on both links of a router, is taken where its
conversation began. Frames that are no TCP segment, and later fragments of IP, are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from schemefs.capture_reader import CapturedPacket, CaptureError, CaptureReader
from schemefs.deferred_module import DeferredModule
from schemefs.net.addresses import host_port_text
from schemefs.story.model import AGAIN, DROPPED, Segment, Story, StoryError

if TYPE_CHECKING:
    import dpkt
else:
    dpkt = DeferredModule(globals(), "dpkt", "dpkt", "dpkt.ethernet", "dpkt.ip", "dpkt.ip6", "dpkt.sll", "dpkt.tcp")

ETHERNET: Final = 1
LINUX_COOKED: Final = 113
RAW_IP: Final = (12, 14, 101, 228, 229)  # LINKTYPE_RAW and the values that it has on some systems, IPV4, IPV6
SUPPORTED: Final = "Ethernet (1), raw IP (101, 228, 229) and Linux cooked (113) are read"

_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_WINDOW_SCALE, _SACK = 3, 5  # options
_MASK: Final = 0xFFFFFFFF


@dataclass(slots=True)
class _Space:
    """The sequence numbers of one end, unwrapped: they grow past 2**32."""

    base: int | None = None  # the number that is 0 in the story
    highest: int = 0  # SND.NXT as seen, relative
    shift: int | None = None  # of its window; None: its SYN had no such option, or was not seen

    def relative(self, number: int) -> int:
        """Return *number* relative to the base, nearest to the highest seen."""
        assert self.base is not None
        distance = (number - self.base - self.highest) & _MASK
        return self.highest + (distance if distance < 1 << 31 else distance - (1 << 32))


@dataclass(frozen=True, slots=True)
class _Captured:
    """A packet with a TCP segment."""

    packet: CapturedPacket
    ip: Any
    tcp: Any
    by_first: bool  # sent by the end that sent first in its conversation


@dataclass(slots=True)
class _Conversation:
    first: str  # the end that sent first
    second: str
    syn: int | None  # the sequence number of its SYN; None: that was not captured
    packets: list[_Captured] = field(default_factory=list)


def read_stories(file: BinaryIO, *, forwarded: bool = False) -> tuple[list[Story], str]:
    """Return the conversations in the order of their beginning, and where the file is cut (empty: it is whole).

    *forwarded*: they are not the mount's own, so the local end is the one that sent first. StoryError: it is no
    capture, it is damaged before the first packet, or its link is of a type that is not read.
    """
    made: list[_Conversation] = []
    running: dict[frozenset[str], _Conversation] = {}
    number, cut = 0, ""
    try:
        for number, packet in enumerate(CaptureReader(file), 1):
            _take(made, running, number, packet)
    except CaptureError as error:
        if not number:
            raise StoryError(str(error)) from None
        cut = str(error)
    return [_story(str(index), conversation, forwarded=forwarded) for index, conversation in enumerate(made, 1)], cut


def _take(
    made: list[_Conversation], running: dict[frozenset[str], _Conversation], number: int, packet: CapturedPacket
) -> None:
    """Add a packet to its conversation, if it has a TCP segment."""
    ip = _datagram(packet, number)
    if ip is None or not isinstance(ip.data, dpkt.tcp.TCP):
        return
    tcp = ip.data
    source, destination = host_port_text(bytes(ip.src), tcp.sport), host_port_text(bytes(ip.dst), tcp.dport)
    syn = tcp.seq if tcp.flags & (_SYN | _ACK) == _SYN else None
    key = frozenset((source, destination))
    conversation = running.get(key)
    if conversation is None or (syn is not None and (source, syn) != (conversation.first, conversation.syn)):
        conversation = running[key] = _Conversation(source, destination, syn)
        made.append(conversation)
    conversation.packets.append(_Captured(packet, ip, tcp, by_first=source == conversation.first))


def _story(title: str, conversation: _Conversation, *, forwarded: bool) -> Story:
    link = conversation.packets[0].packet.interface
    packets = [found for found in conversation.packets if found.packet.interface is link]
    directions = {(found.by_first, found.packet.is_outgoing) for found in packets}
    says_direction = len({is_outgoing for _, is_outgoing in directions}) == 2
    first_is_local = forwarded or not says_direction or packets[0].packet.is_outgoing
    ends = (conversation.first, conversation.second)
    story = Story(title, *(ends if first_is_local else ends[::-1]), packets[0].packet.time)
    spaces = (_Space(), _Space())  # of the local end, of the remote one
    for found in packets:
        outgoing = found.by_first is first_is_local
        is_twice = {(found.by_first, True), (found.by_first, False)} <= directions
        if not is_twice or found.packet.is_outgoing is outgoing:
            time = (found.packet.nanoseconds - packets[0].packet.nanoseconds) / 1e9
            mine, other = spaces if outgoing else spaces[::-1]
            story.entries.append(_segment(found, time, mine, other, outgoing))
    return story


def _datagram(packet: CapturedPacket, number: int) -> Any:
    """Return the IP datagram; None: there is none, or it is cut before its end matters."""
    link_type = packet.interface.link_type
    try:
        if link_type == ETHERNET:
            found = dpkt.ethernet.Ethernet(packet.octets).data
        elif link_type == LINUX_COOKED:
            found = dpkt.sll.SLL(packet.octets).data
        elif link_type in RAW_IP:
            kind = dpkt.ip6.IP6 if packet.octets[:1] and packet.octets[0] >> 4 == 6 else dpkt.ip.IP
            found = kind(packet.octets)
        else:
            message = f"packet {number} is of link type {link_type}; {SUPPORTED}"
            raise StoryError(message)
    except (dpkt.UnpackError, IndexError, ValueError):
        return None
    return found if isinstance(found, dpkt.ip.IP | dpkt.ip6.IP6) else None


def _length(ip: Any, tcp: Any) -> int:
    """Return the octets of text, also if the capture has cut them: by the lengths in the headers."""
    if isinstance(ip, dpkt.ip.IP):
        return max(0, int(ip.len) - ip.hl * 4 - tcp.off * 4) if ip.len else len(tcp.data)
    extensions = sum(len(header) for header in ip.all_extension_headers)
    return max(0, int(ip.plen) - extensions - tcp.off * 4) if ip.plen else len(tcp.data)


def _segment(found: _Captured, time: float, mine: _Space, other: _Space, outgoing: bool) -> Segment:
    packet, tcp = found.packet, found.tcp
    options = dict(_options(tcp))
    is_syn = bool(tcp.flags & _SYN)
    if mine.base is None:
        mine.base = tcp.seq if is_syn else (tcp.seq - 1) & _MASK
    if is_syn and len(options.get(_WINDOW_SCALE, b"")) == 1:
        mine.shift = min(options[_WINDOW_SCALE][0], 14)
    if tcp.flags & _ACK and other.base is None:
        other.base = (tcp.ack - 1) & _MASK
    seq, length = mine.relative(tcp.seq), _length(found.ip, tcp)
    is_scaled = mine.shift is not None and other.shift is not None and not is_syn
    segment = Segment(
        time,
        outgoing,
        flags=_flags(tcp.flags),
        seq=seq,
        ack=other.relative(tcp.ack) if tcp.flags & _ACK else 0,
        length=length,
        window=tcp.win << (mine.shift or 0) if is_scaled else tcp.win,
        sack=_ranges(options.get(_SACK, b""), other) if other.base is not None else (),
        remark="; ".join(packet.comments) or _own_remark(mine, seq, length),
    )
    if segment.kind != DROPPED:
        mine.highest = max(mine.highest, segment.end)
    return segment


def _own_remark(mine: _Space, seq: int, length: int) -> str:
    """Return what the numbers alone say of a segment without a comment."""
    return f"{AGAIN}: later text was sent before it" if length and seq + length <= mine.highest else ""


def _options(tcp: Any) -> list[tuple[int, bytes]]:
    try:
        return [option for option in dpkt.tcp.parse_opts(tcp.opts) if option is not None]  # None: its length is wrong
    except (dpkt.UnpackError, IndexError):
        return []


def _ranges(octets: bytes, other: _Space) -> tuple[tuple[int, int], ...]:
    numbers = [int.from_bytes(octets[at : at + 4], "big") for at in range(0, len(octets) - 3, 4)]
    return tuple(
        (other.relative(left), other.relative(right)) for left, right in zip(numbers[::2], numbers[1::2], strict=False)
    )


def _flags(bits: int) -> str:
    """Return the flags as tcpdump writes them."""
    words = "".join(letter for bit, letter in ((_SYN, "S"), (_FIN, "F"), (_RST, "R"), (_PSH, "P")) if bits & bit)
    return f"{words}{'.' if bits & _ACK else ''}" or "none"
