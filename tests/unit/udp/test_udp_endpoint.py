"""udp/HOST:PORT and udp/:PORT: the receiver of a datagram, the results of reads and writes, errors."""

from __future__ import annotations

import errno
import os

import pytest

from schemefs.net.error_reason import ErrorReason
from schemefs.net.network_layer import DeliveryError
from schemefs.scheme import Event
from tests.support.ip_host import BROADCAST_MAC, PEER, US, address
from tests.support.udp_host import ROOT, USER, UdpHost, fails, read, write

OTHER = address("10.0.2.77")


def port_of(handle) -> int:
    return int(handle.conversation.engine.local.rpartition(":")[2])


def test_a_connected_endpoint_receives_from_its_peer_only() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    port = port_of(handle)
    assert 32768 <= port
    assert write(handle, b"question") == 8
    assert host.sent() == [("10.0.2.2", port, 53, b"question")]
    assert handle.fevent(Event.ALL) == Event.OUT
    assert read(handle) is None
    host.hears(b"answer", port)
    assert handle.fevent(Event.ALL) == Event.OUT | Event.IN
    host.hears(b"stranger", port, source=OTHER)
    host.hears(b"other port", port, sender_port=54)
    assert read(handle) == b"answer"
    assert read(handle) is None
    assert host.reports.reported == [ErrorReason.PORT_UNREACHABLE, ErrorReason.PORT_UNREACHABLE]


def test_a_name_and_an_unknown_one() -> None:
    host = UdpHost()
    write(host.open("peer:domain"), b"x")
    assert host.sent()[0][2] == 53
    fails(errno.ENOENT, host.open, "unknown:53")
    fails(errno.EINVAL, host.open, "peer:0")
    fails(errno.EINVAL, host.open, "peer:nonsense")
    fails(errno.EINVAL, host.open, "peer:53,nonsense")
    fails(errno.EINVAL, host.open, "[fe80::1]:53")  # no zone


def test_port_unreachable_fails_the_next_call_once() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    port = port_of(handle)
    quoted = port.to_bytes(2, "big") + b"\0\x35" + bytes(4)
    error = DeliveryError(errno.ECONNREFUSED, True, "10.0.2.2 says: port unreachable", 17, US, PEER, quoted)
    for call in (lambda: read(handle), lambda: write(handle, b"x")):
        host.network.deliver_error(error, 0.0)
        assert handle.fevent(0) == Event.ERR
        assert handle.fevent(Event.IN | Event.OUT) == Event.IN | Event.OUT | Event.ERR
        assert fails(errno.ECONNREFUSED, call).sentence == "10.0.2.2 says: port unreachable"
        assert handle.fevent(Event.ALL) == Event.OUT
    assert write(handle, b"x") == 1
    number = handle.conversation.number
    assert host.text(f"{number}/err") == "10.0.2.2 says: port unreachable\n"


def test_an_error_comes_before_the_datagrams_that_wait_but_not_into_one() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53,bytes")
    port = port_of(handle)
    quoted = port.to_bytes(2, "big") + b"\0\x35" + bytes(4)
    error = DeliveryError(errno.ECONNREFUSED, True, "10.0.2.2 says: port unreachable", 17, US, PEER, quoted)
    host.hears(b"first", port)
    host.hears(b"second", port)
    assert read(handle, 3) == b"fir"
    host.network.deliver_error(error, 0.0)
    assert read(handle, 3) == b"st"
    fails(errno.ECONNREFUSED, read, handle)
    assert read(handle) == b"second"


def test_a_path_mtu_is_learned_only_for_destinations_of_the_port() -> None:
    """RFC 5927 §7.2: an open port proves nothing, because any host can find it."""
    host = UdpHost()
    host.open(":5001,listen")
    bound = host.open(":5000,headers")
    peer = host.open("10.0.2.2:53")

    def mtu_after_error(port: int, remote_port: int, destination: bytes = OTHER) -> int:
        quoted = port.to_bytes(2, "big") + remote_port.to_bytes(2, "big") + bytes(4)
        host.network.deliver_error(DeliveryError(errno.EMSGSIZE, False, "", 17, US, destination, quoted, 600), 0.0)
        return host.network.path(destination).mtu

    write(bound, b"10.0.2.2:54\nx")
    assert [mtu_after_error(port, 53) for port in (5000, 5001, 5002, port_of(peer))] == [1500] * 4
    assert mtu_after_error(port_of(peer), 54, PEER) == 1500
    assert host.dropped == {"unexpected_error": 5}
    write(bound, b"10.0.2.77:53\nx")
    assert mtu_after_error(5000, 53) == 600
    assert mtu_after_error(port_of(peer), 53, PEER) == 600


def test_an_unanswered_arp_request_is_ehostunreach_for_the_writer() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.99:53")
    write(handle, b"x")
    host.until(3.0)
    fails(errno.EHOSTUNREACH, write, handle, b"x")


def test_a_bound_endpoint_receives_from_any_sender_and_can_not_write() -> None:
    host = UdpHost()
    handle = host.open(":5000")
    host.hears(b"one", 5000)
    host.hears(b"two", 5000, source=OTHER)
    host.hears(b"broadcast", 5000, destination=address("255.255.255.255"), to=BROADCAST_MAC)
    assert [read(handle) for _ in range(4)] == [b"one", b"two", b"broadcast", None]
    fails(errno.EDESTADDRREQ, write, handle, b"x")


def test_what_does_not_fit_a_read_is_lost_but_kept_with_bytes() -> None:
    host = UdpHost()
    plain, kept = host.open(":5000"), host.open(":5001,bytes")
    for port in (5000, 5001):
        host.hears(b"0123456789", port)
        host.hears(b"second", port)
    assert [read(plain, 4), read(plain, 4), read(plain, 4)] == [b"0123", b"seco", None]
    assert [read(kept, 4) for _ in range(6)] == [b"0123", b"4567", b"89", b"seco", b"nd", None]


def test_headers_make_a_server_in_a_shell() -> None:
    host = UdpHost()
    handle = host.open(":5000,headers")
    host.hears(b"hello", 5000, sender_port=4242)
    host.hears(b"", 5000, sender_port=4243)
    line = b""
    while not line.endswith(b"\n"):  # an octet at a time, as a shell reads
        line += read(handle, 1)
    assert line == b"10.0.2.2:4242 5\n"
    assert read(handle, 5) == b"hello"
    assert read(handle) == b"10.0.2.2:4243 0\n"
    assert write(handle, b"10.0.2.2:4242\nanswer") == 20
    assert write(handle, b"peer:4243\n") == 10
    assert host.sent() == [("10.0.2.2", 5000, 4242, b"answer"), ("10.0.2.2", 5000, 4243, b"")]
    fails(errno.EDESTADDRREQ, write, handle, b"no line")
    fails(errno.EINVAL, write, handle, b"no address\n")
    fails(errno.EINVAL, write, handle, b"\xff\xfe:1\n")


def test_an_answer_leaves_from_the_address_that_was_asked() -> None:
    host = UdpHost()
    second = address("10.0.2.16")
    host.eth0.add_address(second, 24, 0.0)
    handle = host.open(":5000,headers")
    host.hears(b"x", 5000, destination=second)
    read(handle)
    host.link.sent.clear()
    write(handle, b"10.0.2.2:53\nanswer")
    assert host.link.sent[0][0][26:30] == second


def test_a_zero_length_datagram_is_a_read_of_nothing() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    assert write(handle, b"") == 0
    assert host.sent()[0][3] == b""
    host.hears(b"", port_of(handle))
    assert handle.fevent(Event.IN) == Event.IN
    assert read(handle) == b""
    assert read(handle) is None


def test_larger_than_the_mtu_is_fragmented_and_too_large_is_emsgsize() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    assert write(handle, bytes(65507)) == 65507
    assert sum(len(bytes(ip)) - 20 for ip in host.sent_datagrams()) == 65515
    fails(errno.EMSGSIZE, write, handle, bytes(65508))


def test_the_queue_is_bounded_and_drops_are_counted() -> None:
    host = UdpHost()
    handle = host.open(":5000")
    for _ in range(3000):
        host.hears(bytes(1000), 5000)
    count = 0
    while read(handle):
        count += 1
    assert count < 1100
    assert host.scheme.udp.statistics()["dropped_queue_full"] == 3000 - count
    assert f"dropped_queue_full={3000 - count}\n" in host.text("0/status")


def test_a_refusing_link_blocks_and_space_wakes() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    woken = []
    handle.on_changed = lambda: woken.append(handle.fevent(Event.OUT))
    host.link.room = 0
    assert write(handle, b"x") is None
    assert handle.fevent(Event.ALL) == 0
    host.link.room = 9
    host.link.on_space(0.0)
    assert woken == [Event.OUT]
    assert write(handle, b"x") == 1


def test_ports_are_claimed_and_given_back() -> None:
    host = UdpHost()
    first = host.open(":5000")
    fails(errno.EADDRINUSE, host.open, ":5000")
    fails(errno.EADDRINUSE, host.open, "10.0.2.2:53,from=:5000")
    first.close(0.0)
    second = host.open("10.0.2.2:53,from=10.0.2.15:5000")
    assert host.text(f"{second.conversation.number}/local") == "10.0.2.15:5000\n"
    second.close(0.0)
    shared = [host.open(":5000,reuse") for _ in range(2)]
    host.hears(b"to the newest", 5000)
    assert read(shared[1]) == b"to the newest"
    fails(errno.EADDRNOTAVAIL, host.open, "10.0.2.2:53,from=10.9.9.9:5001")


def test_ports_below_1024_are_for_root() -> None:
    host = UdpHost()
    fails(errno.EACCES, host.open, ":53", os.O_RDWR, USER)
    fails(errno.EACCES, host.open, "10.0.2.2:53,from=:53", os.O_RDWR, USER)
    host.open(":53", os.O_RDWR, ROOT)
    host.open("10.0.2.2:53", os.O_RDWR, USER)


def test_two_shells_talk_through_lo() -> None:
    host = UdpHost()
    server = host.open(":5000,headers")
    client = host.open("127.0.0.1:5000")
    write(client, b"ping")
    host.pump()
    line = read(server)
    assert line == f"127.0.0.1:{port_of(client)} 4\nping".encode()
    write(server, line.split()[0] + b"\npong")
    host.pump()
    assert read(client) == b"pong"


def test_wronly_discards_what_comes_and_tx_can_be_opened_again() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53", os.O_WRONLY)
    host.hears(b"answer", port_of(handle))
    assert "datagrams_queued=0\n" in host.text("0/status")
    again = host.open("0/tx", os.O_WRONLY)
    handle.close(0.0)
    assert write(again, b"x") == 1
    again.close(0.0)
    fails(errno.ENOENT, host.open, "0/tx")


def test_settings_and_status() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53,ttl=3")
    write(handle, b"x")
    assert host.link.sent.pop()[0][22] == 3
    assert host.text("0/settings/hop_limit") == "3\n"
    assert host.text("0/remote") == "10.0.2.2:53\n"
    assert host.text("0/status").startswith("state=CONNECTED\n")
    assert "OutDatagrams=1\n" in host.text("stats")
    control = host.open("0/ctl")
    write(control, b"hop_limit 9\n")
    write(handle, b"x")
    assert host.link.sent.pop()[0][22] == 9
    fails(errno.EINVAL, write, control, b"hop_limit 0\n")
    write(control, b"shutdown read\n")
    assert read(handle) == b""
    assert handle.fevent(Event.ALL) == Event.IN | Event.OUT | Event.RDHUP


def test_shut_down_for_writing_is_epipe_but_a_closed_tx_is_not() -> None:
    # The verb had no effect.
    host = UdpHost()
    handle = host.open("10.0.2.2:53", os.O_RDONLY)
    tx = host.open("0/tx", os.O_WRONLY)
    write(tx, b"x")
    tx.close(0.0)
    tx = host.open("0/tx", os.O_WRONLY)
    assert write(tx, b"x") == 1
    write(host.open("0/ctl"), b"shutdown write\n")
    fails(errno.EPIPE, write, tx, b"x")
    host.hears(b"still heard", port_of(handle))
    assert read(handle) == b"still heard"
    write(host.open("0/ctl"), b"shutdown read\n")
    assert tx.fevent(0) == Event.HUP


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "10.0.2.15:53,listen,bind",
            "'bind' applies only to bound addresses; listening addresses take: accept, backlog, bytes, events, ",
        ),
        ("10.0.2.15:53,bind,accept", "'bind' applies only to bound addresses"),
        ("10.0.2.15:53,bind,from=:5000", "'from' applies only to connecting addresses; bound addresses take: bind, "),
        ("10.0.2.15:53,listen=yes", "listen: the option takes no value, not 'yes'"),
        ("10.0.2.2:53,join=224.0.0.251", "'join' applies only to listening addresses"),
        ("10.0.2.2:53,backlog=5", "'backlog' applies only to listening addresses"),
        (":5000,backlog=5", "'backlog' needs 'listen' or 'accept'"),
        (":5000,from=:5001", "'from' applies only to connecting addresses"),
        (":5000,headers=yes", "headers: the option takes no value, not 'yes'"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(path: str, words: str) -> None:
    assert words in fails(errno.EINVAL, UdpHost().open, path).sentence


def test_what_accept_takes_from_a_listener_has_its_own_modes() -> None:
    host = UdpHost()
    host.open(":5000,listen")
    waiting = host.open(":5000,accept,headers,ttl=9")
    host.hears(b"hello", 5000, sender_port=1111)
    assert not waiting.opening(0.0)
    assert read(waiting) == b"10.0.2.2:1111 5\nhello"
    write(waiting, b"10.0.2.2:1111\nanswer")
    assert host.link.sent.pop()[0][22] == 9


def test_a_port_that_was_announced_is_free_when_its_ctl_is_closed() -> None:
    # It stayed for half a minute: a script that was started again found its own port in use.
    host = UdpHost()
    ctl = host.open("clone")
    assert read(ctl) == b"0\n"
    write(ctl, b"announce :5000")
    ctl.close(0.0)
    host.open(":5000")


def test_an_empty_datagram_does_not_end_a_reader_of_octets() -> None:
    # Any sender could end `while read -r line`.
    host = UdpHost()
    handle = host.open(":5000,bytes")
    host.hears(b"", 5000)
    assert handle.fevent(Event.IN) == 0
    assert read(handle) is None
    host.hears(b"line\n", 5000)
    assert read(handle, 3) == b"lin"
    plain = host.open(":5001")
    host.hears(b"", 5001)
    assert plain.fevent(Event.IN) == Event.IN
    assert read(plain) == b""
    assert read(plain) is None


def test_a_bound_conversation_gets_a_peer_and_keeps_what_waits() -> None:
    host = UdpHost()
    handle = host.open(":5000,headers")
    ctl = host.open("0/ctl")
    host.hears(b"early", 5000)
    for line in (b"peer 10.0.2.2:0", b"peer 10.0.2.2", b"peer"):
        fails(errno.EINVAL, write, ctl, line)
    write(ctl, b"peer 10.0.2.2:53")
    host.hears(b"late", 5000)
    host.hears(b"of another port", 5000, sender_port=54)
    assert [read(handle) for _ in range(3)] == [b"early", b"late", None]
    write(handle, b"answer")
    assert host.sent()[-1] == ("10.0.2.2", 5000, 53, b"answer")
    write(ctl, b"peer 10.0.2.2:54")
    host.hears(b"of the new peer", 5000, sender_port=54)
    host.hears(b"of the former peer", 5000)
    assert [read(handle) for _ in range(2)] == [b"of the new peer", None]
