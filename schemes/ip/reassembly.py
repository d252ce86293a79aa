"""Reassembly of fragmented datagrams (RFC 791 §3.2, RFC 815), bounded in memory and time.

An overlap discards the whole datagram (RFC 5722 §4; Linux does so for IPv4 too): hosts differ in which fragment they
prefer, and attackers use that to bypass filters (RFC 1858, RFC 3128). An exact duplicate, which a network may produce,
is ignored.

The header of the whole is that of the first fragment (RFC 791 §3.2), but for its congestion mark: a router marks the
fragment that met the congestion, whichever it is (RFC 3168 §5.3).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemes.ip import wire

if TYPE_CHECKING:
    from schemefs.timers import Timers
    from schemes.ip.counters import IpCounters

TIMEOUT: Final = 30.0  # seconds from the first fragment; RFC 1122 §3.3.2 says 60 to 120, Linux uses 30
CAPACITY: Final = 4 << 20  # octets of all incomplete datagrams; the oldest go first
FRAGMENT_OVERHEAD: Final = 128  # octets added to the cost of each fragment, for the memory of its objects

Key = tuple[bytes, bytes, int, int]  # source, destination, protocol (0 for IPv6), identification (RFC 791 §3.2)


class Incomplete:
    """The fragments of one datagram: sorted, never overlapping."""

    __slots__ = (
        "deadline",  # when it is given up, seconds
        "ecn_codepoints",  # those of its fragments: a bit for each, by its value
        "fragments",  # payloads, in the order of `offsets`
        "header",  # IP header of the fragment with offset 0; empty: not received
        "held",  # its cost, octets
        "offsets",  # of the fragments, octets, ascending
        "received",  # octets of payload
        "total",  # octets of payload of the whole datagram; -1: the last fragment is not received
    )

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ecn_codepoints = 0
        self.header = b""
        self.offsets: list[int] = []
        self.fragments: list[bytes] = []
        self.received = 0
        self.total = -1
        self.held = 0

    @property
    def is_marked(self) -> bool:
        """Whether a router marked one of the fragments."""
        return bool(self.ecn_codepoints & 1 << wire.CONGESTION_EXPERIENCED)

    def fits(self, start: int, end: int, *, last: bool) -> bool:
        """Return whether octets start:end agree with the total length as far as it is known."""
        if self.total >= 0:
            return end == self.total if last else end <= self.total
        highest = self.offsets[-1] + len(self.fragments[-1]) if self.offsets else 0
        return not last or end >= highest

    def overlap(self, start: int, end: int) -> bool:
        """Return whether a received fragment has one of the octets start:end."""
        index = bisect_left(self.offsets, start)
        if index < len(self.offsets) and self.offsets[index] < end:
            return True
        return index > 0 and self.offsets[index - 1] + len(self.fragments[index - 1]) > start

    def is_duplicate(self, start: int, payload: bytes) -> bool:
        """Return whether exactly this fragment was received before."""
        index = bisect_left(self.offsets, start)
        return index < len(self.offsets) and self.offsets[index] == start and self.fragments[index] == payload

    def insert(self, start: int, payload: bytes) -> None:
        """Add a fragment that overlaps nothing."""
        index = bisect_left(self.offsets, start)
        self.offsets.insert(index, start)
        self.fragments.insert(index, payload)
        self.received += len(payload)


class Reassembly:
    """All incomplete datagrams of this host."""

    __slots__ = (
        "_counters",
        "_expired",  # called when a datagram is given up
        "_incomplete",  # Key -> fragments, the oldest first
        "_timer",  # deadline of the oldest
        "held",  # cost of all, octets; at most CAPACITY
        "timeout",  # seconds from the first fragment
    )

    def __init__(
        self,
        timers: Timers,
        counters: IpCounters,
        expired: Callable[[memoryview, bytes, float], None],
        timeout: float = TIMEOUT,
    ) -> None:
        """*expired* is called with the header and first octets of a datagram that timed out, if they were received, and
        with its source.
        """
        self._counters = counters
        self._expired = expired
        self._incomplete: dict[Key, Incomplete] = {}
        self._timer = timers.timer(self._on_timer, "ip reassembly")
        self.held = 0
        self.timeout = timeout

    def __len__(self) -> int:
        return len(self._incomplete)

    @property
    def held_fragments(self) -> int:
        """The number of fragments of incomplete datagrams."""
        return sum(len(partial.fragments) for partial in self._incomplete.values())

    def receive(self, datagram: memoryview, header_length: int, now: float) -> memoryview | None:
        """Take a fragment (copied). Return the whole datagram, with a valid header, when no fragment is missing."""
        self._counters.reassembly_required += 1
        _, _, length, identification, flags, _, protocol, _, source, destination = wire.HEADER.unpack_from(datagram)
        start = (flags & wire.OFFSET) * 8
        end = start + length - header_length
        last = not flags & wire.MORE_FRAGMENTS
        # All but the last carry a multiple of eight octets; none is empty; none ends after the largest datagram.
        if end <= start or (not last and (end - start) % 8) or header_length + end > wire.LARGEST_DATAGRAM:
            self._counters.drop("bad_fragment", datagram)
            return None
        key = (source, destination, protocol, identification)
        return self._take(key, datagram, header_length, start, now, last=last, ecn=datagram[1] & wire.ECN)

    def _take(
        self, key: Key, datagram: memoryview, header_length: int, start: int, now: float, *, last: bool, ecn: int
    ) -> memoryview | None:
        """Keep the fragment after *header_length* octets of *datagram*, whose payload begins at octet *start*."""
        end = start + len(datagram) - header_length
        partial = self._incomplete.get(key)
        if partial is None:
            partial = self._incomplete[key] = Incomplete(now + self.timeout)
            if not self._timer.armed:
                self._timer.set(partial.deadline)
        payload = bytes(datagram[header_length:])
        if partial.is_duplicate(start, payload):
            self._counters.drop("duplicate_fragment", datagram)
            return None
        if partial.overlap(start, end) or not partial.fits(start, end, last=last):
            self._forget(key)
            self._counters.drop("overlapping_fragment", datagram, len(partial.fragments) + 1)
            return None
        partial.insert(start, payload)
        partial.ecn_codepoints |= 1 << ecn
        if start == 0:
            partial.header = bytes(datagram[:header_length])
        if last:
            partial.total = end
        return self._keep(key, partial, payload)

    def _keep(self, key: Key, partial: Incomplete, payload: bytes) -> memoryview | None:
        cost = len(payload) + FRAGMENT_OVERHEAD
        partial.held += cost
        self.held += cost
        if partial.received == partial.total:
            self._forget(key)
            return self._joined(partial)
        while self.held > CAPACITY:
            oldest, given_up = next(iter(self._incomplete.items()))
            self._forget(oldest)
            self._counters.drop("reassembly_memory", given_up.header, len(given_up.fragments))
        return None

    def _joined(self, partial: Incomplete) -> memoryview | None:
        header = bytearray(partial.header)
        length = len(header) + partial.total
        if length > wire.LARGEST_DATAGRAM:  # the header of the first fragment is longer than those of the others
            self._counters.drop("bad_fragment", header, len(partial.fragments))
            return None
        if self._mixes_ecn(partial):
            return None
        if partial.is_marked:
            header[1] |= wire.CONGESTION_EXPERIENCED
        header[2:4] = length.to_bytes(2, "big")
        header[6:8] = bytes(2)
        return self._whole(wire.with_checksum(header), partial)

    def _mixes_ecn(self, partial: Incomplete) -> bool:
        """Return whether the datagram is dropped: the mark must not be lost, and one without ECN must not get it."""
        if not (partial.is_marked and partial.ecn_codepoints & 1 << wire.NOT_ECN_CAPABLE):  # RFC 3168 §5.3
            return False
        self._counters.drop("mixed_ecn_fragments", partial.header, len(partial.fragments))
        return True

    def _whole(self, header: bytearray, partial: Incomplete) -> memoryview:
        self._counters.reassembly_oks += 1
        self._counters.joined_fragments += len(partial.fragments) - 1
        return memoryview(bytearray().join((header, *partial.fragments)))

    def _forget(self, key: Key) -> None:
        self.held -= self._incomplete.pop(key).held
        if not self._incomplete:
            self._timer.clear()

    def _on_timer(self, now: float) -> None:
        while self._incomplete:
            key, partial = next(iter(self._incomplete.items()))
            if partial.deadline > now:
                self._timer.set(partial.deadline)
                return
            self._forget(key)
            self._counters.drop("reassembly_timeout", partial.header, len(partial.fragments))
            if partial.header:
                # RFC 792: Time Exceeded is sent only if the first fragment, which it quotes, was received.
                self._expired(memoryview(partial.header + partial.fragments[0][:8]), key[0], now)
