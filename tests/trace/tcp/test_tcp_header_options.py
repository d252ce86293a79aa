"""Options of TCP headers: any shape, any segment, impossible ones (RFC 9293 §3.1, §3.2, §3.7.1)."""

from __future__ import annotations

import pytest

from schemefs.net.addresses import packed
from schemefs.net.offload import CHECKED
from schemes.tcp import wire
from schemes.tcp.connection import Connection
from tests.support.tcp_trace import OUR_PORT, PEER, PEER_PORT, US, Trace, accepted, established

MSS_1000 = b"\x02\x04\x03\xe8"


def receives_with(tcp: Trace, flags: int, seq: int, ack: int, options: bytes, payload: bytes = b"") -> None:
    """The peer's segment arrives with exactly these octets of options."""
    header = wire.header((PEER_PORT, OUR_PORT), seq + tcp.irs, ack + tcp.iss, flags, 65535, 0, options)
    tcp.tcp.receive_datagram(PEER, US, memoryview(bytes(20) + header + payload), 20, 0, 64, CHECKED, tcp.now)
    tcp.timers.on_deadline(tcp.now)


@pytest.mark.parametrize(
    "options",
    [
        MSS_1000,
        b"\x01" + MSS_1000 + b"\x01\x01\x01",
        b"\x01\x01\x01" + MSS_1000 + b"\x00",
        MSS_1000 + b"\x00\x07\xff\xff",  # after the end of the list there is nothing
        b"\xfe\x03\x00" + MSS_1000 + b"\x00",  # an unknown one first, so that this one begins at an odd octet
    ],
)
def test_options_of_a_syn_in_any_shape(options: bytes) -> None:
    """MUST-4, MUST-64."""
    tcp = Trace()
    tcp.connect()
    receives_with(tcp, wire.SYN | wire.ACK, 0, 1, options)
    assert tcp.state == "ESTABLISHED"
    assert tcp.connection.mss == 1000


@pytest.mark.parametrize("unknown", [b"\xfd\x04\xf9\x89", b"\x1e\x02\x01\x01", b"\x45\x0b" + bytes(9) + b"\x01"])
def test_unknown_options_in_any_segment_are_passed_over(unknown: bytes) -> None:
    """MUST-5, MUST-6."""
    tcp = Trace()
    tcp.listen()
    receives_with(tcp, wire.SYN, 0, 0, unknown + MSS_1000)
    receives_with(tcp, wire.ACK, 1, 1, unknown)
    connection = tcp.listener.accept(0.0)
    assert connection is not None
    assert connection.mss == 1000
    receives_with(tcp, wire.ACK | wire.PSH, 1, 1, unknown, b"hello")
    receives_with(tcp, wire.ACK | wire.FIN, 6, 1, unknown)
    assert connection.read(100, 0.0) == b"hello"
    assert connection.state == "CLOSE_WAIT"


@pytest.mark.parametrize(
    "options",
    [
        b"\x02\x00\x03\xe8",  # length 0 would never end
        b"\x02\x01\x03\xe8",
        b"\x02\x05\x03\xe8",  # beyond the header
        b"\x08\xff\x00\x00",
        b"\x05\x0a\x00\x00",  # SACK, cut short
        b"\x01\x01\x01\x02",  # only a kind
        b"\x03\x04\x07\x00",  # a window scale with a length of its own
    ],
)
def test_impossible_option_lengths_do_no_harm(options: bytes) -> None:
    """MUST-7: the rest of the options is passed over, the segment counts."""
    tcp = accepted()
    receives_with(tcp, wire.ACK | wire.PSH, 1, 1, options, b"hello")
    assert tcp.read() == b"hello"
    opening = Trace()
    opening.connect()
    receives_with(opening, wire.SYN | wire.ACK, 0, 1, options)
    assert opening.state == "ESTABLISHED"
    assert opening.connection.mss == 536


def test_headers_are_whole_words() -> None:
    """MUST-69: what options leave of a word is filled."""
    tcp = Trace()
    tcp.connect()
    tcp.receives("S. 0:0(0) ack 1 mss 1460 ts 1:0 sackOK wscale 7", now=0.1)
    tcp.receives("P. 1001:2001(1000) ack 1 ts 2:0", now=0.2)
    tcp.write(b"hello")
    sent = [octets for octets, _ in tcp.network.sent]
    lengths = [(octets[12] >> 4) * 4 for octets in sent]
    assert lengths == [40, 32, 44, 32]
    assert len(sent[-1]) == 32 + 5


def test_mss_is_for_syns() -> None:
    """§3.7.1 MUST-65: not sent in another segment, nor taken from one."""
    tcp = established(mss=1000)
    tcp.write(b"hello")
    (sent,) = tcp.taken()
    assert sent.mss is None
    receives_with(tcp, wire.ACK, 1, 6, b"\x02\x04\x00\x64")
    assert tcp.connection.mss == 1000


@pytest.mark.parametrize(("mtu", "mss"), [(1500, 1460), (576, 536), (9000, 8960), (65535, 65495)])
def test_the_mss_offered_is_the_mtu_less_the_headers(mtu: int, mss: int) -> None:
    """§3.7.1 MUST-67, RFC 6691: the fixed headers only, whatever the options."""
    tcp = Trace()
    tcp.network.mtu = mtu
    tcp.connect()
    tcp.sends(f"S 0:0(0) mss {mss}")


def test_mss_of_a_peer_that_does_not_say() -> None:
    """§3.7.1 MUST-15: 536, and 1220 over IPv6."""
    tcp = Trace()
    tcp.connect()
    receives_with(tcp, wire.SYN | wire.ACK, 0, 1, b"")
    assert tcp.connection.mss == 536
    path = tcp.network.path(packed("2001:db8::2") or b"", packed("2001:db8::1") or b"")
    assert Connection(tcp.tcp, path, (1, 2), 0, 0).mss == 1220


def test_a_shift_above_fourteen_is_fourteen() -> None:
    """RFC 7323 §2.3."""
    tcp = established(options_text="wscale 200")
    assert tcp.connection.snd.scale == 14
