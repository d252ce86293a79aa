"""setsockopt and getsockopt. docs/run.md has the table: what is set in the mount, kept without effect, or refused.

set in the mount   a setting of the conversation (hop_limit, nodelay…), from its first segment on
kept               the value is returned as it was set; on Linux too it changes no octet that is sent or received
computed           SO_ERROR, SO_TYPE, TCP_MAXSEG…
refused            all others: ENOPROTOOPT, and a sentence
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from schemefs.run import opening, sockaddr, tcp_info, timeouts
from schemefs.run.call import Call, Failed
from schemefs.run.session import Outcome, Result, Session
from schemefs.run.sockets import V6ONLY, Socket, State

Key = tuple[int, int]

SOCKET, IP, TCP, IPV6 = 1, 0, 6, 41
ERROR, TYPE, LINGER, ACCEPTCONN, PROTOCOL, DOMAIN = 4, 3, 13, 30, 38, 39
KEEPALIVE: Final = (SOCKET, 9)
KEEPIDLE: Final = (TCP, 4)
MAXSEG, INFO, CONGESTION = 2, 11, 13
LARGEST_VALUE: Final = 4096
_DEFAULT_KEEPIDLE: Final = 7200

KEPT: Final[Mapping[Key, int]] = {
    (SOCKET, 1): 0,  # SO_DEBUG
    (SOCKET, 2): 0,  # SO_REUSEADDR: of udp, opening.py looks at it
    (SOCKET, 5): 0,  # SO_DONTROUTE
    (SOCKET, 6): 0,  # SO_BROADCAST
    (SOCKET, 7): 87_040,  # SO_SNDBUF: the mount sizes its buffers itself
    (SOCKET, 8): 131_072,  # SO_RCVBUF
    (SOCKET, 10): 0,  # SO_OOBINLINE
    (SOCKET, 12): 0,  # SO_PRIORITY
    (SOCKET, 15): 0,  # SO_REUSEPORT
    (SOCKET, 18): 1,  # SO_RCVLOWAT
    (SOCKET, 40): 0,  # SO_RXQ_OVFL
    (SOCKET, 46): 0,  # SO_BUSY_POLL
    (SOCKET, 47): 0,  # SO_MAX_PACING_RATE
    (SOCKET, 49): 0,  # SO_INCOMING_CPU
    (IP, 10): 1,  # IP_MTU_DISCOVER
    (IP, 11): 0,  # IP_RECVERR: errors reach the next call, as they do for a connected socket
    (IP, 15): 0,  # IP_FREEBIND
    (IP, 24): 0,  # IP_BIND_ADDRESS_NO_PORT
    (IP, 33): 1,  # IP_MULTICAST_TTL
    (IP, 34): 1,  # IP_MULTICAST_LOOP
    (IPV6, 18): 1,  # IPV6_MULTICAST_HOPS
    (IPV6, 19): 1,  # IPV6_MULTICAST_LOOP
    (IPV6, 23): 1,  # IPV6_MTU_DISCOVER
    (IPV6, 25): 0,  # IPV6_RECVERR
    (IPV6, 70): 1,  # IPV6_AUTOFLOWLABEL
    (IPV6, 72): 0,  # IPV6_ADDR_PREFERENCES
    (IPV6, 78): 0,  # IPV6_FREEBIND
    (TCP, 3): 0,  # TCP_CORK
    (TCP, 7): 6,  # TCP_SYNCNT
    (TCP, 8): 60,  # TCP_LINGER2
    (TCP, 9): 0,  # TCP_DEFER_ACCEPT
    (TCP, 10): 0,  # TCP_WINDOW_CLAMP
    (TCP, 12): 1,  # TCP_QUICKACK
    (TCP, 25): 0,  # TCP_NOTSENT_LOWAT
}
"""Kept, with the value before it is set."""


def _integer(octets: bytes) -> int:
    if len(octets) < 4:
        raise Failed(errno.EINVAL)
    return int.from_bytes(octets[:4], "little", signed=True)


def _flag(octets: bytes) -> str:
    return str(int(bool(_integer(octets))))


def _linger(octets: bytes) -> str:
    on, seconds = struct.unpack("=ii", octets[:8].ljust(8, b"\0"))
    return str(seconds) if on else "-1"


def _keepalive(octets: bytes) -> str:
    return str(_integer(octets))


def _dscp(octets: bytes) -> str:
    return str((_integer(octets) & 0xFF) >> 2)


def _hop_limit(octets: bytes) -> str:
    return str(_integer(octets) if _integer(octets) > 0 else 64)


SETTINGS: Final[Mapping[Key, tuple[str, Callable[[bytes], str], bytes]]] = {
    (TCP, 1): ("nodelay", _flag, bytes(4)),
    (TCP, 5): ("keepalive_interval", _keepalive, struct.pack("=i", 75)),
    (TCP, 6): ("keepalive_count", _keepalive, struct.pack("=i", 9)),
    (TCP, 18): ("user_timeout", lambda octets: f"{_integer(octets) / 1000:g}", bytes(4)),
    (TCP, CONGESTION): ("congestion", lambda octets: octets.rstrip(b"\0").decode(errors="replace"), b"cubic"),
    (SOCKET, LINGER): ("linger", _linger, bytes(8)),
    (IP, 1): ("dscp", _dscp, bytes(4)),
    (IP, 2): ("hop_limit", _hop_limit, struct.pack("=i", 64)),
    (IPV6, 67): ("dscp", _dscp, bytes(4)),  # IPV6_TCLASS
    (IPV6, 16): ("hop_limit", _hop_limit, struct.pack("=i", 64)),  # IPV6_UNICAST_HOPS
}
"""Set in the mount: the setting, its text from the option's value, and the value before it is set."""

_OF_UDP: Final = ("hop_limit",)
_GROUPS: Final[Mapping[Key, str]] = {(IP, 35): "join", (IP, 36): "leave", (IPV6, 20): "join", (IPV6, 21): "leave"}


def setsockopt(session: Session, call: Call) -> Result:
    """Set an option."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    key = (call.integer(1), call.integer(2))
    length = call.integer(4)
    if not 0 <= length <= LARGEST_VALUE:
        raise Failed(errno.EINVAL)
    octets = call.read(call.arguments[3], length)
    call.about += f", {_shown(key)}"
    with found.lock:
        _set(session, found, key, octets)
    return 0


def _set(session: Session, found: Socket, key: Key, octets: bytes) -> None:
    if key[0] == IPV6 and found.family != sockaddr.V6:
        raise Failed(errno.ENOPROTOOPT)
    if key in SETTINGS:
        name, text, _default = SETTINGS[key]
        found.values[key] = octets
        if found.is_stream or name in _OF_UDP:
            _apply(session, found, name, text(octets))
    elif key in (KEEPALIVE, KEEPIDLE):
        _integer(octets)
        found.values[key] = octets
        if found.is_stream:
            _apply(session, found, "keepalive", _keepalive_seconds(found))
    elif key[0] == SOCKET and key[1] in (*timeouts.RECEIVING, *timeouts.SENDING):
        is_receiving = key[1] in timeouts.RECEIVING
        seconds = timeouts.seconds(octets)
        found.values[SOCKET, (timeouts.RECEIVING if is_receiving else timeouts.SENDING)[0]] = octets
        name = "read_timeout" if is_receiving else "write_timeout"
        session.tree.command(found.protocol, found.number, f"{name} {seconds:.6f}")
    elif key in _GROUPS and not found.is_stream:
        _group(session, found, key, octets)
    elif key == V6ONLY:
        if found.bound is not None or found.state is not State.NEW:
            raise Failed(errno.EINVAL)
        found.values[key] = struct.pack("=i", bool(_integer(octets)))
    elif key in KEPT:
        _integer(octets)
        found.values[key] = octets[:4]
    else:
        raise _unknown(key)


def _unknown(key: Key) -> Failed:
    return Failed(errno.ENOPROTOOPT if key[0] in _LEVELS else errno.EOPNOTSUPP, f"option {_shown(key)}")


def _apply(session: Session, found: Socket, name: str, value: str) -> None:
    """Set it in the mount, or as soon as there is a connection to set it of."""
    found.settings[name] = value
    if found.state is not State.NEW:
        with suppress(OSError):  # the connection has ended: the setting has no effect, on Linux without an error
            session.tree.command(found.protocol, found.number, f"{name} {value}")


def _keepalive_seconds(found: Socket) -> str:
    """Return the setting `keepalive`: 0 unless SO_KEEPALIVE is on."""
    if not any(found.values.get(KEEPALIVE, b"")):
        return "0"
    return str(_integer(found.values.get(KEEPIDLE, struct.pack("=i", _DEFAULT_KEEPIDLE))))


def _group(session: Session, found: Socket, key: Key, octets: bytes) -> None:
    """Join or leave the group of a struct ip_mreq, ip_mreqn or ipv6_mreq. A socket of IPv6 can be in groups of both."""
    length = 16 if key[0] == IPV6 else 4
    if len(octets) < length + 4:
        raise Failed(errno.EINVAL)
    if found.state is State.NEW:
        opening.announce(session, found, found.any_address)
    index = _integer(octets[length:]) if key[0] == IPV6 else 0
    group = sockaddr.Address(octets[:length], 0, index).of_link()
    session.tree.command(found.protocol, found.number, f"{_GROUPS[key]} {str(group).rpartition(':')[0].strip('[]')}")


def getsockopt(session: Session, call: Call) -> Result:
    """Return an option's value, as much as the caller has room for."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    key = (call.integer(1), call.integer(2))
    call.about += f", {_shown(key)}"
    room = call.read_integer(call.arguments[4])
    if room < 0:
        raise Failed(errno.EINVAL)
    octets = _get(session, call, found, key)[:room]
    call.write(call.arguments[3], octets)
    call.write_integer(call.arguments[4], len(octets))
    return 0


def _get(session: Session, call: Call, found: Socket, key: Key) -> bytes:
    if key[0] == IPV6 and found.family != sockaddr.V6:
        raise Failed(errno.EOPNOTSUPP)
    if key[0] == SOCKET and key[1] in _COMPUTED:
        value = _COMPUTED[key[1]](session, call, found)
        call.about += f": {value}"
        return struct.pack("=i", value)
    if key == (TCP, INFO) and found.is_stream:
        return tcp_info.packed(json.loads(session.tree.text(f"{found.name}/status.json")))
    if key == (TCP, MAXSEG) and found.is_stream:
        return struct.pack("=i", _segment_size(session, found))
    if key[0] == SOCKET and key[1] in (*timeouts.RECEIVING, *timeouts.SENDING):
        kind = timeouts.RECEIVING if key[1] in timeouts.RECEIVING else timeouts.SENDING
        return found.values.get((SOCKET, kind[0]), bytes(16))
    if key in found.values:
        return found.values[key]
    if key == V6ONLY:
        return bytes(4)
    if key in SETTINGS:
        return SETTINGS[key][2]
    if key == KEEPALIVE:
        return bytes(4)
    if key == KEEPIDLE:
        return struct.pack("=i", _DEFAULT_KEEPIDLE)
    if key in KEPT:
        return struct.pack("=i", KEPT[key])
    raise _unknown(key)


def _segment_size(session: Session, found: Socket) -> int:
    try:
        return int(session.tree.text(f"{found.name}/settings/mss"))
    except (OSError, ValueError):
        return 536  # RFC 9293 §3.7.1: without a connection


def _error(session: Session, call: Call, found: Socket) -> int:
    """Return the error that waits, once; that of a failed connect is taken from the mount, so another may follow."""
    try:
        waiting = int(os.getxattr(f"/proc/{call.thread}/fd/{call.integer(0)}", "user.error"))
    except OSError:
        return 0
    if found.state is State.CONNECTING and waiting:
        try:
            opening.settle(session, found)
        except OSError as error:
            return error.errno or waiting
    if waiting == found.reported_error:
        return 0
    found.reported_error = waiting
    return waiting


def _listens(session: Session, call: Call, found: Socket) -> int:
    return int(found.state is State.LISTENING)


_COMPUTED: Final[Mapping[int, Callable[[Session, Call, Socket], int]]] = {
    ERROR: _error,
    TYPE: lambda session, call, found: 1 if found.is_stream else 2,
    ACCEPTCONN: _listens,
    PROTOCOL: lambda session, call, found: TCP if found.is_stream else 17,
    DOMAIN: lambda session, call, found: found.family,
}

_LEVELS: Final = {SOCKET: "SOL_SOCKET", IP: "IPPROTO_IP", TCP: "IPPROTO_TCP", 17: "IPPROTO_UDP", IPV6: "IPPROTO_IPV6"}


def _shown(key: Key) -> str:
    return f"{_LEVELS.get(key[0], key[0])}:{key[1]}"
