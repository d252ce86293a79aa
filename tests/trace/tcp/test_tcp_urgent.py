"""Urgent octets (RFC 9293 §3.8.5) as RFC 6093 has them: in line, marked up to a pointer."""

from __future__ import annotations

import pytest

from schemefs.net.offload import CHECKED
from schemefs.scheme import Event
from schemes.tcp import wire
from tests.support.tcp_trace import PEER, US, Trace, accepted, established

WRAP = pytest.mark.parametrize(("iss", "irs"), [(0, 0), (2**32 - 3, 2**32 - 3)])


def receives_urgent(tcp: Trace, text: str, pointer: int, payload: bytes) -> None:
    octets = bytearray(bytes(20) + tcp.octets(text, payload))
    octets[33] |= wire.URG
    octets[38:40] = pointer.to_bytes(2, "big")
    tcp.tcp.receive_datagram(PEER, US, memoryview(octets), 20, 0, 64, CHECKED, tcp.now)


def urgent(tcp: Trace) -> object:
    return tcp.connection.status(tcp.now)["urgent"]


def sent_pointers(tcp: Trace) -> list[tuple[bool, int, int]]:
    """Return (URG, pointer, octets) of what was sent since the last look."""
    sent = [octets for octets, _ in tcp.network.sent]
    tcp.network.sent.clear()
    return [
        (bool(one[13] & wire.URG), int.from_bytes(one[18:20], "big"), len(one) - (one[12] >> 4) * 4) for one in sent
    ]


@WRAP
def test_octets_are_urgent_up_to_the_pointer_and_stay_in_line(iss: int, irs: int) -> None:
    """MUST-30, MUST-62, MUST-32, MUST-33."""
    tcp = accepted(iss=iss, irs=irs)
    before = tcp.changes
    receives_urgent(tcp, "P. 1:6(5) ack 1", 3, b"!!!ab")
    assert tcp.changes > before
    assert tcp.connection.fevent(Event.ALL) & Event.PRI
    assert urgent(tcp) == 3
    assert tcp.read(2) == b"!!"
    assert urgent(tcp) == 1
    assert tcp.read(1) == b"!"
    assert urgent(tcp) == 0
    assert not tcp.connection.fevent(Event.ALL) & Event.PRI
    assert tcp.read() == b"ab"


def test_the_pointer_may_come_before_its_octets() -> None:
    """§3.8.5: the user hears of it at once."""
    tcp = accepted()
    receives_urgent(tcp, ". 1:1(0) ack 1", 10, b"")
    assert tcp.connection.fevent(Event.ALL) & Event.PRI
    assert urgent(tcp) == 10


def test_a_later_pointer_makes_more_urgent() -> None:
    """MUST-31; an older one doesn't make less."""
    tcp = accepted()
    receives_urgent(tcp, "P. 1:6(5) ack 1", 5, b"12345")
    receives_urgent(tcp, "P. 6:106(100) ack 1", 100, bytes(100))
    receives_urgent(tcp, "P. 1:6(5) ack 1", 5, b"12345")
    assert urgent(tcp) == 105


def test_discarded_octets_are_not_urgent() -> None:
    tcp = accepted()
    tcp.connection.discard_input(discard=True, now=0.0)
    receives_urgent(tcp, "P. 1:6(5) ack 1", 5, b"12345")
    assert urgent(tcp) == 0


@WRAP
def test_what_is_queued_can_be_made_urgent(iss: int, irs: int) -> None:
    """The setting `urgent`: all that is written so far."""
    tcp = established(mss=1000, win=1500, iss=iss, irs=irs)
    put = tcp.connection.settings["urgent"].set
    assert put is not None
    tcp.write(bytes(3000))
    assert sent_pointers(tcp) == [(False, 0, 1000)]
    put("1")
    tcp.receives(". ack 1001 win 9000", now=0.1)
    assert sent_pointers(tcp) == [(True, 2000, 1000), (True, 1000, 1000)]
    tcp.receives(". ack 3001 win 9000", now=0.2)
    tcp.write(b"not any more")
    assert sent_pointers(tcp) == [(False, 0, 12)]


def test_more_urgent_octets_than_the_pointer_can_say() -> None:
    """MUST-31: it says as much as it can; the next segments say the rest."""
    tcp = established(mss=1000, win=1000, options_text="wscale 7")
    tcp.write(bytes(100_000))
    put = tcp.connection.settings["urgent"].set
    assert put is not None
    put("1")
    sent_pointers(tcp)
    tcp.receives(". ack 1001 win 60000", now=0.1)
    pointers = [pointer for _, pointer, _ in sent_pointers(tcp)]
    assert pointers[0] == 0xFFFF
    assert pointers[-1] == 1000
