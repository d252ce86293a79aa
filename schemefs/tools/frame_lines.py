"""A line for each frame, as tcpdump(8) prints it with -n. dpkt takes the frames apart.

    IP 10.0.2.15.49152 > 10.0.2.2.80: Flags [S], seq 1234, win 65535, options [mss 1460,sackOK], length 0

Of what is in a datagram, TCP, UDP, DNS, ICMP of both families and ARP are told; of the others, the length.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from dpkt import UnpackError, arp, ethernet, icmp, icmp6, ip, ip6, tcp, udp

from schemefs.capture_reader import ETHERNET, RAW_IP
from schemefs.net.addresses import mac_text, presentation
from schemefs.tools.dns_lines import dns_text
from schemefs.tools.icmp_lines import icmp6_text, icmp_text
from schemefs.tools.segment_lines import SegmentLines

_DNS: Final = 53
_FRAGMENT: Final = 44
_HOP_BY_HOP: Final = 0
_MALFORMED: Final = (UnpackError, struct.error, IndexError, ValueError, AttributeError)  # by dpkt, of random octets
_WORDS: Final = {6: "TCP", 17: "UDP", 1: "ICMP", 58: "ICMP6"}


class FrameLines:
    """Prints frames; it keeps the first sequence numbers of each TCP connection, unless they shall be *absolute*."""

    def __init__(self, *, absolute: bool = False) -> None:
        self._segments = SegmentLines(absolute=absolute)

    def line(self, octets: bytes, link_type: int, length: int) -> str:
        """Return the line of a frame of *length* octets, of which *octets* are kept, without the time."""
        try:
            if link_type == ETHERNET:
                return self._frame(ethernet.Ethernet(octets), length)
            if link_type == RAW_IP:
                return self._datagram(ip6.IP6(octets) if octets[:1] >= b"\x60" else ip.IP(octets))
        except _MALFORMED:
            return f"a malformed frame, length {length}"
        return f"a frame of link type {link_type}, length {length}"

    def _frame(self, frame: Any, length: int) -> str:
        if isinstance(frame.data, ip.IP | ip6.IP6):
            return self._datagram(frame.data)
        if isinstance(frame.data, arp.ARP):
            return f"ARP, {_arp_text(frame.data)}, length {length - 14}"
        ends = f"{mac_text(frame.src)} > {mac_text(frame.dst)}"
        return f"{ends}, ethertype 0x{getattr(frame, 'type', 0):04x}, length {length}"

    def _datagram(self, datagram: Any) -> str:
        if isinstance(datagram, ip.IP):
            family, protocol, length = "IP", datagram.p, datagram.len - datagram.hl * 4
            is_later = bool(datagram.offset)
            words = f"ip-proto-{protocol}" if is_later else ""
        else:
            headers = datagram.all_extension_headers
            family, protocol = "IP6", getattr(datagram, "p", datagram.nxt)
            length = datagram.plen - sum(header.length for header in headers)
            fragments = [header for header in headers if isinstance(header, ip6.IP6FragmentHeader)]
            is_later = any(header.frag_off for header in fragments)
            words = "HBH " if datagram.nxt == _HOP_BY_HOP else ""
            words += "".join(f"frag ({header.frag_off * 8}|{length}) " for header in fragments)
        source, destination = presentation(datagram.src), presentation(datagram.dst)
        if is_later:
            return f"{family} {source} > {destination}: {words.rstrip()}"
        inner = datagram.data
        if isinstance(inner, tcp.TCP | udp.UDP):
            if "frag" in words:  # the ports are after its words
                words += f"{inner.sport} > {inner.dport}: "
            else:
                source, destination = f"{source}.{inner.sport}", f"{destination}.{inner.dport}"
        return f"{family} {source} > {destination}: {words}{self._payload(datagram, protocol, length)}"

    def _payload(self, datagram: Any, protocol: int, length: int) -> str:
        inner = datagram.data
        if isinstance(inner, tcp.TCP):
            return self._segments.text(datagram.src, datagram.dst, inner, length - inner.off * 4)
        if isinstance(inner, udp.UDP):
            return _udp_text(inner)
        if isinstance(inner, icmp.ICMP):
            return f"ICMP {icmp_text(inner)}, length {length}"
        if isinstance(inner, icmp6.ICMP6):
            return f"ICMP6, {icmp6_text(inner)}, length {length}"
        return f"[|{_WORDS[protocol].lower()}]" if protocol in _WORDS else f" ip-proto-{protocol} {length}"


def _udp_text(datagram: Any) -> str:
    length = datagram.ulen - 8
    if _DNS in (datagram.sport, datagram.dport) and length == len(datagram.data):
        text = dns_text(datagram.data)
        if text:
            return f"{text} ({length})"
    return f"UDP, length {length}"


def _arp_text(packet: Any) -> str:
    source, target = presentation(packet.spa), presentation(packet.tpa)
    if packet.op == arp.ARP_OP_REQUEST:
        return f"Request who-has {target} tell {source}"
    if packet.op == arp.ARP_OP_REPLY:
        return f"Reply {source} is-at {mac_text(packet.sha)}"
    return f"operation {packet.op}"
