"""A connection, or none, in each state of RFC 9293 §3.3.2, as `Trace`s: where anything at all may arrive."""

from __future__ import annotations

from tests.support.tcp_trace import Trace, accepted, established

OPTIONS = "sackOK ts 1:0 wscale 7"


def closed(iss: int = 0, irs: int = 0) -> Trace:
    return Trace(iss=iss, irs=irs)


def listening(iss: int = 0, irs: int = 0) -> Trace:
    tcp = Trace(iss=iss, irs=irs)
    tcp.listen()
    return tcp


def syn_sent(iss: int = 0, irs: int = 0) -> Trace:
    tcp = Trace(iss=iss, irs=irs)
    tcp.connect()
    return tcp


def syn_received(iss: int = 0, irs: int = 0) -> Trace:
    tcp = listening(iss, irs)
    tcp.receives("S 0:0(0) mss 1460 ts 1:0")
    return tcp


def busy(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, mss=1000, options_text=OPTIONS)
    tcp.write(bytes(20_000))
    tcp.receives(". 101:201(100) ack 1 ts 1:0")
    return tcp


def window_closed(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, mss=1000, win=1000)
    tcp.write(bytes(3000))
    tcp.receives(". ack 1001 win 0")
    tcp.until(1.0)
    return tcp


def fin_wait_1(iss: int = 0, irs: int = 0) -> Trace:
    tcp = busy(iss, irs)
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    return tcp


def fin_wait_2(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs)
    tcp.connection.shutdown(read=False, write=True, now=0.0)
    tcp.receives(". ack 2")
    return tcp


def close_wait(iss: int = 0, irs: int = 0) -> Trace:
    tcp = accepted(iss=iss, irs=irs)
    tcp.receives("F. 1:1(0) ack 1")
    return tcp


def last_ack(iss: int = 0, irs: int = 0) -> Trace:
    tcp = close_wait(iss, irs)
    tcp.connection.close(0.0)
    return tcp


def closing(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs)
    tcp.connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 1")
    return tcp


def time_wait(iss: int = 0, irs: int = 0) -> Trace:
    """With a listener, so that a new SYN may end it."""
    tcp = accepted(iss=iss, irs=irs, options_text="ts 1:0")
    tcp.connection.close(0.0)
    tcp.receives("F. 1:1(0) ack 2 ts 1:0")
    return tcp


def simultaneous(iss: int = 0, irs: int = 0) -> Trace:
    """SYN-RECEIVED by way of SYN-SENT."""
    tcp = syn_sent(iss, irs)
    tcp.receives("S 0:0(0) mss 1460 sackOK ts 1:0 wscale 7")
    return tcp


def in_recovery(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, mss=1000, options_text=OPTIONS, cwnd=20_000)
    tcp.write(bytes(20_000))
    tcp.receives(". ack 1 ts 2:0 sack 3001:9001", now=0.1)
    tcp.until(0.2)
    return tcp


def timed_out(iss: int = 0, irs: int = 0) -> Trace:
    """In loss recovery without SACK."""
    tcp = established(iss=iss, irs=irs, mss=1000, cwnd=20_000)
    tcp.write(bytes(20_000))
    tcp.until(1.5)
    return tcp


def marked(iss: int = 0, irs: int = 0) -> Trace:
    """Both sides use ECN, and a router has marked a datagram in each direction."""
    tcp = Trace(iss=iss, irs=irs)
    tcp.connect(ecn_requested=True)
    tcp.receives(f"SE. 0:0(0) ack 1 mss 1000 {OPTIONS}")
    tcp.write(bytes(30_000))
    tcp.receives("PE. 1:1001(1000) ack 1001 ts 2:0", tos=3)
    return tcp


def lingering(iss: int = 0, irs: int = 0) -> Trace:
    tcp = established(iss=iss, irs=irs, mss=1000)
    tcp.write(bytes(100))
    tcp.connection.close_lingering(0.0)
    return tcp


def flooded(iss: int = 0, irs: int = 0) -> Trace:
    """A listener whose SYN queue is full, and which has answered the peer with a cookie: ISS is that cookie."""
    tcp = listening(iss, irs)
    tcp.listener.backlog = tcp.listener.syn_queue = 1
    ours, tcp.ports = tcp.ports, (tcp.ports[0] + 1, tcp.ports[1])
    tcp.receives("S 0:0(0) mss 1460 ts 1:0")
    tcp.network.sent.clear()
    tcp.ports = ours
    tcp.receives("S 0:0(0) mss 1460 ts 1:0")
    tcp.iss = int.from_bytes(tcp.network.sent[0][0][4:8], "big")
    return tcp


STATES = [
    closed, listening, syn_sent, syn_received, busy, window_closed, fin_wait_1, fin_wait_2, close_wait, last_ack,
    closing, time_wait, simultaneous, in_recovery, timed_out, lingering, marked,
]  # fmt: skip
