"""The beginning of connections that peers open: what arrives for a listener (RFC 9293 §3.10.7.2).

    SYN, room in the SYN queue            a connection in SYN-RECEIVED, which sends SYN-ACK
    SYN, no room                          SYN-ACK with a cookie; nothing is kept (RFC 4987)
    ACK of a cookie                       a connection, which processes the segment in SYN-RECEIVED
    SYN newer than an entry in TIME-WAIT  a connection in any case: its ISS must be beyond that of the old one

Until two minutes after the last SYN that found no room, ACKs are looked at for cookies. One that fails is dropped
without a RST: the ACK of the handshake may have been lost, and text before this segment. The peer sends that again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from schemes.tcp import closing, opening, syn_cookies
from schemes.tcp.arrival import segment_arrives
from schemes.tcp.connection import Connection
from schemes.tcp.control_block import ControlBlock, Owner
from schemes.tcp.rtt import INITIAL_RTO
from schemes.tcp.sequence import WIRE
from schemes.tcp.states import OPENING
from schemes.tcp.syn_cookies import CHECKED_FOR, SynAck, SynCookies
from schemes.tcp.time_wait import ISN_STEP, TimeWait, TimeWaits
from schemes.tcp.wire import RST, SYN

if TYPE_CHECKING:
    import random

    from schemefs.net.network_layer import Path
    from schemes.tcp.isn import NumberSource
    from schemes.tcp.listener import Listener
    from schemes.tcp.wire import Segment

log = logging.getLogger("schemefs.tcp")


class Tables(Owner, Protocol):
    """What is needed of TCP as a whole: `Tcp` satisfies it."""

    connections: dict[bytes, ControlBlock]
    time_waits: TimeWaits
    numbers: NumberSource

    def path_back(self, source: bytes, destination: bytes) -> Path:
        """Return a path for one segment without a connection."""


class Handshakes:
    """*random* gives the secret key of the cookies, once."""

    def __init__(self, tcp: Tables, random: random.Random) -> None:
        self._tcp = tcp
        self._cookies = SynCookies(random)

    def syn_arrives(
        self,
        listener: Listener,
        source: bytes,
        destination: bytes,
        key: bytes,
        ports: tuple[int, int],
        segment: Segment,
        old: TimeWait | None,
        now: float,
    ) -> None:
        """Answer a SYN. *old*: the entry in TIME-WAIT that it may end; None: there is none. SchemeError: no route."""
        tcp = self._tcp
        if old is None and listener.is_full:
            self._send_cookie(listener, tcp.path_back(source, destination), key, ports, segment, now)
            return
        path = tcp.network.path(source, destination)
        iss, timestamp_offset = tcp.numbers.choose(key, now)
        if old is not None:  # RFC 9293 MAY-2: beyond all that the old one has sent
            iss, timestamp_offset = (old.snd_nxt + ISN_STEP) & WIRE, old.timestamp_offset
            tcp.time_waits.end(old, now)
        connection = Connection(tcp, path, ports, iss, timestamp_offset)
        listener.begins(connection, now)
        self._enter(listener, connection, key)
        opening.open_passively(connection, segment, now)

    def _send_cookie(
        self, listener: Listener, path: Path, key: bytes, ports: tuple[int, int], segment: Segment, now: float
    ) -> None:
        if now >= listener.cookies_until:
            listener.syn_ack = SynAck(listener.oldest)
            log.warning("%s: the SYN queue is full: SYNs are answered with cookies", listener.local)
        listener.cookies_until = now + CHECKED_FOR
        offset = self._tcp.numbers.choose(key, now)[1]
        iss = self._cookies.make(key, offset, segment.seq, segment.mss, now)
        if listener.syn_ack.send(path, ports, iss, offset, segment, now):
            self._tcp.statistics.syn_cookies_sent += 1
            self._tcp.statistics.out_segments += 1
        else:
            self._tcp.statistics.drop("full_link")

    def ack_arrives(
        self,
        listener: Listener,
        source: bytes,
        destination: bytes,
        key: bytes,
        ports: tuple[int, int],
        segment: Segment,
        now: float,
    ) -> bool:
        """Process an ACK without a connection; False: it is to be answered with RST. SchemeError: no route."""
        if now >= listener.cookies_until or segment.flags & (SYN | RST):
            return False
        mss, offset = self._redeemed(key, segment, now)
        if mss:
            if listener.takes_syn():
                path = self._tcp.network.path(source, destination)
                self._open_by_cookie(listener, path, key, ports, segment, mss, offset, now)
            return True
        self._tcp.statistics.drop("bad_cookie")
        return True

    def replaces(self, listener: Listener, connection: ControlBlock, segment: Segment, now: float) -> bool:
        """Replace a half-open connection by that of the cookie that *segment* acknowledges; False: it has none.

        The peer sent its SYN twice: the first was answered with a cookie, and the peer takes the first answer. The
        numbers of *segment* are unwrapped.
        """
        if now >= listener.cookies_until or not listener.has_room:
            return False
        key = connection.key
        mss, offset = self._redeemed(key, segment, now)
        if not mss:
            return False
        closing.end(connection, now)
        segment.urgent -= segment.seq
        segment.seq &= WIRE
        segment.ack &= WIRE
        self._open_by_cookie(listener, connection.path, key, connection.ports, segment, mss, offset, now)
        return True

    def _redeemed(self, key: bytes, segment: Segment, now: float) -> tuple[int, int]:
        """Return the MSS of the cookie that *segment* acknowledges (0: it is none), and the offset of timestamps."""
        offset = self._tcp.numbers.choose(key, now)[1]
        return self._cookies.check(key, offset, segment.seq - 1 & WIRE, segment.ack - 1 & WIRE, now), offset

    def _open_by_cookie(
        self,
        listener: Listener,
        path: Path,
        key: bytes,
        ports: tuple[int, int],
        segment: Segment,
        mss: int,
        offset: int,
        now: float,
    ) -> None:
        connection = Connection(self._tcp, path, ports, segment.ack - 1 & WIRE, offset)
        self._enter(listener, connection, key)
        self._tcp.statistics.syn_cookies_received += 1
        syn_cookies.open_again(connection, syn_cookies.syn_again(segment, mss, offset), now)
        segment_arrives(connection, segment, now)
        connection.rtt.rto = INITIAL_RTO  # nothing was measured, and no SYN-ACK is known to be lost
        if connection.state in OPENING:
            closing.end(connection, now)  # nothing would send its SYN-ACK again

    def _enter(self, listener: Listener, connection: Connection, key: bytes) -> None:
        connection.key = key
        connection.listener = listener
        listener.configure(connection)
        self._tcp.connections[key] = connection
        self._tcp.statistics.passive_opens += 1
