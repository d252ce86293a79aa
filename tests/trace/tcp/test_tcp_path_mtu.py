"""The size of segments where the path carries less than both ends: by ICMP, and without."""

from __future__ import annotations

import errno

from tests.support.tcp_trace import established


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
