"""Packetization layer path MTU discovery (RFC 8899, RFC 4821): for paths that drop large segments without ICMP errors.

    black hole   a segment has timed out BLACK_HOLE_TIMEOUTS times in a row: use the first base size, later the next
    probe        one larger segment of new text; nothing else depends on it
                 acknowledged: that is the size from now on; lost by itself, MAX_PROBES times: it is too large
    complete     the bounds are close, until RAISE_TIMER has passed; with the path's full MTU the search is over

A connection begins with the MTU of the link, or what ICMP errors say (RFC 1191). So the search begins with its largest
size, as most black holes are outages. `ControlBlock.path_search` is None where there is none: nothing costs anything.
This module decides; `output` sends the probe, and `recovery` says what became of it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from schemes.tcp.path_mtu_search import PathMtuSearch, PathProbe
from schemes.tcp.recovery import OPEN
from schemes.tcp.wire import HEADER_LENGTH

if TYPE_CHECKING:
    from schemes.tcp.control_block import ControlBlock

BASES: Final = (1200, 552, 296)
"""Octets of a datagram. BASE_PLPMTU of RFC 8899 §5.1.2, the floor of ICMP errors here, and the MTU of slow lines."""

BASES6: Final = (1280,)
"""The same for IPv6: its links carry 1280 octets (RFC 8200 §5), the MIN_PLPMTU of RFC 8899 §5.1.2."""

BLACK_HOLE_TIMEOUTS: Final = 2  # for each base; Linux waits as long as three would take
MAX_PROBES: Final = 3  # RFC 8899 §5.1.2
RAISE_TIMER: Final = 600.0  # seconds; PMTU_RAISE_TIMER of RFC 8899 §5.1.1
FOLLOWING: Final = 3  # whole segments after the probe, whose SACK shows that it was lost


def timed_out(tcb: ControlBlock, now: float) -> None:
    """The retransmission timer has fired: use a base size if it is time, and the segment that is missing is larger."""
    step, rest = divmod(tcb.backoffs, BLACK_HOLE_TIMEOUTS)
    bases = BASES if tcb.ip_header_length == 20 else BASES6
    if rest or not 0 < step <= len(bases) or tcb.is_path_locked:
        return
    size, base = min(tcb.mss, tcb.snd.in_flight) + _headers(tcb), bases[step - 1]
    if base >= size:
        return
    if tcb.path_search is None:
        tcb.path_search = PathMtuSearch(base, _largest(tcb))
        tcb.tcp.statistics.path_black_holes += 1
    search = tcb.path_search
    search.ceiling = max(search.ceiling, _largest(tcb) + 1)  # what was learned of another path may be wrong
    _use(tcb, search, base, f"{tcb.backoffs} time-outs of {size} octets: a black hole?", now)
    tcb.recovery.mark_all_lost()


def step(tcb: ControlBlock, search: PathMtuSearch, now: float) -> int:
    """Take what became of the probe in flight; return the payload of a probe to send now, 0: none."""
    probe = search.probe
    if probe is not None:
        if tcb.snd.una < probe.end and probe.is_in_flight:
            return 0
        search.probe = tcb.recovery.path_probe = None
        if probe.is_lost:
            _probe_lost(tcb, search, probe.size, now)
        elif probe.is_in_flight:
            _use(tcb, search, probe.size, "the probe has arrived", now)
            search.lost_probes = 0
    largest = _largest(tcb)
    if search.size >= largest or (now >= search.raise_at and not tcb.sack_on):
        tcb.path_search = None  # without SACK a lost probe looks like congestion, so all segments try the full size
        tcb.measure_path()
        return 0
    if now >= search.raise_at:
        search.raise_at = inf
        search.ceiling = largest + 1
    elif search.raise_at != inf:
        return 0
    size = search.next_size(largest)
    if not size or not tcb.sack_on:
        search.raise_at = now + RAISE_TIMER
        _log(tcb, f"{search.size} for {RAISE_TIMER:g} s", search.size, now)
        return 0
    payload = size - _headers(tcb)
    return payload if _may_probe(tcb, payload) else 0


def sent(tcb: ControlBlock, search: PathMtuSearch, start: int, end: int, now: float) -> None:
    """A probe with the payload `[start, end)` has been sent."""
    search.probe = tcb.recovery.path_probe = PathProbe(start, end, end - start + _headers(tcb))
    tcb.tcp.statistics.path_probes += 1
    size = search.probe.size
    _log(tcb, f"probe of {size}, between {search.size} and {search.ceiling}", size, now)


def _may_probe(tcb: ControlBlock, payload: int) -> bool:
    """Whether a loss of the probe alone would show, and would not look like congestion (RFC 4821 §7.4, §7.6)."""
    snd, recovery = tcb.snd, tcb.recovery
    needed = payload + FOLLOWING * tcb.mss
    return (
        recovery.phase is OPEN
        and not recovery.lost
        and not recovery.sacked
        and tcb.send_buffer.end - snd.nxt >= needed
        and snd.una + snd.wnd - snd.nxt >= needed
        and tcb.congestion.cwnd - recovery.pipe >= needed
    )


def _probe_lost(tcb: ControlBlock, search: PathMtuSearch, size: int, now: float) -> None:
    search.lost_probes += 1
    _log(tcb, f"the probe of {size} is lost ({search.lost_probes} of {MAX_PROBES})", size, now)
    if search.lost_probes >= MAX_PROBES:
        search.lost_probes = 0
        search.ceiling = size


def _use(tcb: ControlBlock, search: PathMtuSearch, size: int, why: str, now: float) -> None:
    search.size = size
    search.raise_at = inf
    before = tcb.mss
    tcb.measure_path()
    text = f"path MTU search: {why} -> segments of {tcb.mss} instead of {before}"
    tcb.log_event(now, text, "connectivity:mtu_updated", {"mtu": size, "old": before, "new": tcb.mss})


def _headers(tcb: ControlBlock) -> int:
    return tcb.ip_header_length + tcb.header_length


def _largest(tcb: ControlBlock) -> int:
    """Return the largest datagram that link, ICMP errors and the peer's MSS allow."""
    return min(tcb.path_mtu, tcb.peer_mss + tcb.ip_header_length + HEADER_LENGTH)


def _log(tcb: ControlBlock, text: str, size: int, now: float) -> None:
    tcb.log_event(now, f"path MTU search: {text}", "connectivity:mtu_search", {"size": size})
