"""What tcpdump(8) prints of ICMP messages of both families."""

from __future__ import annotations

import struct
from typing import Any, Final

from dpkt import icmp, icmp6, ip6, tcp, udp

from schemefs.net.addresses import presentation

_PORT: Final = 3
_TOO_BIG: Final = 4
_UNREACHABLE: Final = {
    0: "net {} unreachable", 1: "host {} unreachable", 5: "{} unreachable - source route failed",
    6: "net {} unreachable - unknown", 7: "host {} unreachable - unknown",
    8: "{} unreachable - source host isolated", 9: "net {} unreachable - admin prohibited",
    10: "host {} unreachable - admin prohibited", 11: "net {} unreachable - tos prohibited",
    12: "host {} unreachable - tos prohibited", 13: "host {} unreachable - admin prohibited filter",
    14: "host {} unreachable - host precedence violation", 15: "host {} unreachable - precedence cutoff",
}  # fmt: skip
_UNREACHABLE6: Final = {
    0: "unreachable route {}", 1: " unreachable prohibited {}", 2: "beyond scope {}", 3: "unreachable address {}"
}  # fmt: skip
_NAMES6: Final = {
    130: "multicast listener query", 131: "multicast listener report", 132: "multicast listener done",
    133: "router solicitation", 134: "router advertisement", 137: "redirect",
}  # fmt: skip


def icmp_text(message: Any) -> str:
    """Return the words of a message of IPv4."""
    inner = message.data
    if message.type in (icmp.ICMP_ECHO, icmp.ICMP_ECHOREPLY) and isinstance(inner, icmp.ICMP.Echo):
        return f"echo {'request' if message.type == icmp.ICMP_ECHO else 'reply'}, id {inner.id}, seq {inner.seq}"
    if message.type == icmp.ICMP_TIMEXCEED:
        return "ip reassembly time exceeded" if message.code else "time exceeded in-transit"
    quoted = getattr(inner, "ip", None)
    if message.type == icmp.ICMP_UNREACH and quoted is not None:
        return _unreachable(message.code, inner, quoted)
    if message.type == icmp.ICMP_REDIRECT and quoted is not None:
        gateway = presentation(inner.gw.to_bytes(4, "big"))
        return f"redirect {presentation(quoted.dst)} to {'host' if message.code & 1 else 'net'} {gateway}"
    return f"type-#{message.type}"


def icmp6_text(message: Any) -> str:
    """Return the words of a message of IPv6."""
    octets = bytes(message.data)
    if message.type in (icmp6.ICMP6_ECHO_REQUEST, icmp6.ICMP6_ECHO_REPLY) and len(octets) >= 4:
        name = "request" if message.type == icmp6.ICMP6_ECHO_REQUEST else "reply"
        return "echo {}, id {}, seq {}".format(name, *struct.unpack_from(">HH", octets))
    if message.type in (135, 136) and len(octets) >= 20:
        words = "neighbor solicitation, who has" if message.type == 135 else "neighbor advertisement, tgt is"
        return f"{words} {presentation(octets[4:20])}"
    if message.type == 143 and len(octets) >= 4:
        return f"multicast listener report v2, {int.from_bytes(octets[2:4], 'big')} group record(s)"
    if message.type == icmp6.ICMP6_PACKET_TOO_BIG and len(octets) >= 4:
        return f"packet too big, mtu {int.from_bytes(octets[:4], 'big')}"
    if message.type in (icmp6.ICMP6_DST_UNREACH, icmp6.ICMP6_TIME_EXCEEDED) and len(octets) >= 44:
        return _error6(message, ip6.IP6(octets[4:]))
    return _NAMES6.get(message.type, f"type-#{message.type}")


def _unreachable(code: int, message: Any, quoted: Any) -> str:
    host = presentation(quoted.dst)
    if code == 2:
        return f"{host} protocol {quoted.p} unreachable"
    if code == _PORT:
        return f"{_port(quoted, host, quoted.p)} unreachable"
    if code == _TOO_BIG:
        return f"{host} unreachable - need to frag" + (f" (mtu {message.mtu})" if message.mtu else "")
    return _UNREACHABLE.get(code, f"{{}} unreachable - #{code}").format(host)


def _port(quoted: Any, host: str, protocol: int) -> str:
    if isinstance(quoted.data, tcp.TCP | udp.UDP):
        return f"{host} {'tcp' if protocol == 6 else 'udp'} port {quoted.data.dport}"
    if protocol in (6, 17) and len(quoted.data) >= 4:  # eight octets of it, as RFC 792 has it
        return f"{host} {'tcp' if protocol == 6 else 'udp'} port {int.from_bytes(quoted.data[2:4], 'big')}"
    return f"{host} protocol {protocol} port"


def _error6(message: Any, quoted: Any) -> str:
    host = presentation(quoted.dst)
    if message.type == icmp6.ICMP6_TIME_EXCEEDED:
        return f"time exceeded in-{'reassembly' if message.code else 'transit'} for {host}"
    if message.code == 4:
        return f"destination unreachable, unreachable port, {_port(quoted, host, quoted.nxt)}"
    return "destination unreachable, " + _UNREACHABLE6.get(
        message.code, f"unreachable code-#{message.code} {{}}"
    ).format(host)
