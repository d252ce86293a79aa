"""The last octets that were discarded for each reason: kept as octets, described in words only for a reader."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import mac_text, presentation

if TYPE_CHECKING:
    from schemefs.net.buffer import Buffer

KEPT: Final = 64  # octets of each sample: enough for all headers
_SHOWN: Final = 34
_ETHERNET: Final = Struct(">6s6sH")
_IPV4: Final = Struct(">BBHHHBBH4s4s")
_IPV6: Final = Struct(">4xHBx16s16s")
_PORTS: Final = Struct(">HH")
_NAMES: Final = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


class DropNotice:
    """Why a frame was discarded last, for a capture that asks after each frame."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason = ""  # empty: none since the capture has emptied it


class DropSamples:
    """One sample per reason; keeping one costs one small copy. *notice* is told of each."""

    __slots__ = ("_kept", "notice")

    def __init__(self, notice: DropNotice | None = None) -> None:
        self._kept: dict[str, tuple[bytes, int, bool]] = {}
        self.notice = notice or DropNotice()

    def keep(self, reason: str, octets: Buffer, *, is_frame: bool = False) -> None:
        """Keep a datagram, or a whole Ethernet frame, as the last that was discarded for *reason*."""
        self._kept[reason] = (bytes(octets[:KEPT]), len(octets), is_frame)
        self.notice.reason = reason

    def summaries(self) -> dict[str, str]:
        """Return one line for each reason."""
        return {reason: _summary(*kept) for reason, kept in self._kept.items()}


def _summary(octets: bytes, length: int, is_frame: bool) -> str:
    what = _frame_words(octets) if is_frame else _datagram_words(octets)
    return f"{what}, {length} octets: {octets[:_SHOWN].hex()}"


def _frame_words(octets: bytes) -> str:
    if len(octets) < _ETHERNET.size:
        return "a piece of a frame"
    destination, source, ethertype = _ETHERNET.unpack_from(octets)
    return f"{mac_text(source)} > {mac_text(destination)} type {ethertype:#06x}"


def _datagram_words(octets: bytes) -> str:
    if len(octets) >= _IPV6.size and octets[0] >> 4 == 6:
        return _ipv6_words(octets)
    if len(octets) < _IPV4.size or octets[0] >> 4 != 4:
        return "no IP"
    version_ihl, _, _, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(octets)
    words = f"{presentation(source)} > {presentation(destination)} {_NAMES.get(protocol, f'protocol {protocol}')}"
    start = (version_ihl & 15) * 4
    if fragment & 0x1FFF:
        return f"{words} fragment at {(fragment & 0x1FFF) * 8}"
    if protocol in (6, 17) and len(octets) >= start + 4:
        local, remote = _PORTS.unpack_from(octets, start)
        return f"{words} {local} > {remote}"
    return words


def _ipv6_words(octets: bytes) -> str:
    """Describe an IPv6 datagram; what is behind extension headers is not looked at."""
    _, protocol, source, destination = _IPV6.unpack_from(octets)
    words = f"{presentation(source)} > {presentation(destination)} {_NAMES.get(protocol, f'protocol {protocol}')}"
    if protocol in (6, 17) and len(octets) >= _IPV6.size + _PORTS.size:
        local, remote = _PORTS.unpack_from(octets, _IPV6.size)
        return f"{words} {local} > {remote}"
    return words
