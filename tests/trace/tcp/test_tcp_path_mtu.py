"""The size of segments where the path carries less than both ends: by ICMP, and without."""

from __future__ import annotations

import errno

from schemes.tcp.path_mtu_search import PathMtuSearch
from tests.support.tcp_trace import Trace, by_family, established


def test_what_a_locked_path_refused_goes_again_at_once() -> None:
    """RFC 1191 §3 and RFC 5927 §7: below 552 the size stays and DF is cleared; what was refused had DF."""
    tcp = established(mss=1460)
    tcp.network.mtu = 552
    tcp.write(bytes(1536), now=1.0)
    tcp.sends("P. 1:1537(1536) gso 512")
    before = tcp.connection.congestion.cwnd
    tcp.network.is_locked = True
    tcp.icmp(errno.EMSGSIZE, hard=False, seq=1, now=1.05)
    tcp.sends("P. 1:1537(1536) gso 512")
    tcp.icmp(errno.EMSGSIZE, hard=False, seq=513, now=1.051)
    tcp.icmp(errno.EMSGSIZE, hard=False, seq=1025, now=1.051)
    tcp.sends_nothing()
    assert tcp.connection.congestion.cwnd == before
    assert tcp.connection.status(1.1)["dont_fragment"] == "no"


def black_hole(**options: str) -> Trace:
    """Return a connection at 1.9 whose ten segments of 1448 were lost: two time-outs, at 1.4 + 0.3 and 0.6 later."""
    tcp = established(mss=1460, cwnd=14_480, options_text="sackOK ts 1:0", rtt=0.1, **options)
    tcp.connection.sent_at = 1.0
    tcp.write(bytes(100_000), now=1.0)
    tcp.sends("1:14481(14480) gso 1448")
    tcp.until(1.2)
    tcp.sends("14481:15929(1448)")  # the tail loss probe
    tcp.until(1.5)
    tcp.sends("1:1449(1448)")
    return tcp


def test_two_time_outs_are_taken_for_a_black_hole() -> None:
    """RFC 8899 §4.3: from then on datagrams have 1200 octets, at most (BASE_PLPMTU), until a probe arrives."""
    tcp = black_hole()
    tcp.until(2.099)
    tcp.sends_nothing()
    tcp.until(2.1)
    tcp.sends("1:1449(1448) gso 1148")
    status = tcp.connection.status(2.1)
    assert (status["path_mtu"], status["mss"]) == (1200, 1148)
    assert status["path_mtu_search"] == "waits, between 1200 and 1501"
    assert tcp.tcp.statistics.path_black_holes == 1


def test_with_ipv6_no_datagram_is_below_1280() -> None:
    """RFC 8200 §5: each link carries that much. RFC 8899 §5.1.2: it is the MIN_PLPMTU."""
    with by_family(6):
        tcp = established(mss=1440, options_text="sackOK ts 1:0", rtt=0.1)
    tcp.write(bytes(100_000), now=1.0)
    for time_outs in (2, 4, 6):
        while tcp.connection.backoffs < time_outs:
            tcp.until(tcp.now + 0.5)
        assert str(tcp.connection.status(tcp.now)["path_mtu"]) == "1280"
    assert {len(one.payload) for one in tcp.taken()} & set(range(1209, 1428)) == set()


def recovered() -> Trace:
    """Return the same, when all that was lost has been sent again; at 3.0 a probe has just left."""
    tcp = black_hole()
    tcp.until(2.1)
    end = 1149
    for round_trip in range(1, 20):
        list(tcp.taken())
        tcp.receives(f". ack {end} ts {round_trip}:0", now=2.1 + round_trip / 10)
        if tcp.connection.path_search.probe is not None:  # type: ignore[union-attr]
            return tcp
        end = tcp.connection.snd.nxt - tcp.connection.snd.iss if not tcp.connection.recovery.lost else end + 1148
    raise AssertionError


def test_a_probe_that_arrives_is_the_size_from_then_on() -> None:
    """RFC 8899 §5.3.2, RFC 4821 §7.3: the first probe has the largest size that the link allows."""
    tcp = recovered()
    probe = tcp.connection.path_search.probe  # type: ignore[union-attr]
    start, end = probe.start - tcp.iss, probe.end - tcp.iss
    first, *others = tcp.taken()
    assert (first.seq, first.size, first.gso) == (start, 1448, 0)
    assert {one.gso for one in others} <= {0, 1148}
    assert str(tcp.connection.status(tcp.now)["path_mtu_search"]) == "probes 1500, between 1200 and 1501"
    tcp.receives(f". ack {end} ts 50:0", now=tcp.now + 0.1)
    assert tcp.connection.path_search is None
    assert (tcp.connection.mss, tcp.connection.status(tcp.now)["path_mtu_search"]) == (1448, "no")


def test_a_probe_lost_by_itself_is_no_sign_of_congestion() -> None:
    """RFC 4821 §7.6.2: it goes again in segments that fit, and the window stays."""
    tcp = recovered()
    probe = tcp.connection.path_search.probe  # type: ignore[union-attr]
    list(tcp.taken())
    before = tcp.connection.congestion.cwnd
    start, end = probe.start - tcp.iss, probe.end - tcp.iss
    at = tcp.now + 0.1
    tcp.receives(f". ack {start} sack {end}:{end + 3444} ts 50:0", now=at)
    tcp.until(at + 0.025)
    again = [one for one in tcp.taken() if one.seq == start]
    assert [(one.size, one.gso) for one in again] == [(1448, 1148)]
    assert tcp.connection.recovery.phase == "open"
    assert tcp.connection.congestion.cwnd >= before
    search = tcp.connection.path_search
    assert search is not None
    assert (search.lost_probes, search.ceiling, search.probe) == (1, 1501, None)


def test_probes_close_in_on_the_largest_size() -> None:
    """RFC 8899 §5.3.2: MAX_PROBES losses of a size, then half the way; it ends within eight octets, for ten minutes."""
    search, sizes = PathMtuSearch(1200, 1500), []
    while size := search.next_size(1500):
        sizes.append(size)
        if size <= 1400:
            search.size = size
        else:
            search.ceiling = size
    assert sizes == [1500, 1350, 1425, 1387, 1406, 1396, 1401]


def test_without_sack_the_base_size_stays_for_ten_minutes() -> None:
    """RFC 8899 §5.1.1: a lost probe would look like congestion there, so the full size is tried after the timer."""
    tcp = established(mss=1460, rtt=0.1)
    tcp.connection.sent_at = 1.0
    tcp.write(bytes(3000), now=1.0)
    tcp.until(2.0)
    assert tcp.connection.mss == 1160
    tcp.receives(". ack 3001", now=2.1)
    tcp.write(bytes(3000), now=3.0)
    tcp.receives(". ack 6001", now=3.1)
    list(tcp.taken())
    tcp.write(bytes(3000), now=600.0)
    tcp.sends("P. 6001:9001(3000) gso 1160")
    tcp.receives(". ack 9001", now=600.1)
    tcp.write(bytes(3000), now=604.0)
    tcp.sends("P. 9001:12001(3000) gso 1460")


def test_a_short_segment_that_is_lost_says_nothing_of_the_path() -> None:
    tcp = established(mss=1460, rtt=0.1)
    tcp.write(bytes(1000), now=1.0)
    tcp.until(3.0)
    assert tcp.connection.backoffs == 2
    assert tcp.connection.path_search is None
