"""The ICMP engine, message by message: replies, received errors, drops and counters."""

import errno

import dpkt
import pytest
from icmp_network import PEER, US, Host, datagram, echo_request, error_message, lines, octets, udp_datagram

from schemefs.errors import SchemeError
from schemefs.net.checksum import is_valid
from schemefs.net.network_layer import UDP
from schemefs.net.offload import CHECKED, NO_OFFLOAD
from schemes.icmp.error_meaning import meaning_of


class TestEchoServer:
    """RFC 1122 §3.2.2.6: every host MUST answer echo requests, with the same data and from the address asked."""

    def test_a_request_is_answered_with_its_own_octets(self):
        host = Host()
        host.network.receive(datagram(PEER, US, echo_request()), 1.0)
        (reply,) = host.network.sent
        assert (reply[12:16], reply[16:20]) == (US, PEER)
        echo = dpkt.icmp.ICMP(reply[20:])
        assert (echo.type, echo.code, echo.data.id, echo.data.seq, echo.data.data) == (0, 0, 7, 1, b"payload")
        assert is_valid(reply[20:])

    @pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 1473, bytes(65507)])
    def test_payloads_of_any_length(self, payload):
        host = Host()
        host.network.receive(_cut(PEER, US, echo_request(payload)), 1.0)
        assert host.network.sent[0][28:] == payload
        assert is_valid(host.network.sent[0][20:])

    @pytest.mark.parametrize("destination", ["10.0.2.255", "255.255.255.255", "224.0.0.1"])
    def test_broadcast_and_multicast_are_not_answered(self, destination):
        host = Host()
        host.network.receive(datagram(PEER, octets(destination), echo_request()), 1.0)
        assert host.network.sent == []
        assert host.counters()["dropped_echo_to_broadcast"] == 1

    def test_a_bad_checksum_is_dropped_unless_the_device_has_checked(self):
        host = Host()
        broken = bytearray(datagram(PEER, US, echo_request()))
        broken[-1] ^= 1
        host.network.receive(bytes(broken), 1.0, NO_OFFLOAD)
        assert host.network.sent == []
        assert host.counters()["dropped_bad_checksum"] == 1
        host.network.receive(bytes(broken), 1.0, CHECKED)
        assert len(host.network.sent) == 1

    def test_no_route_for_the_reply_and_no_room_are_counted(self):
        host = Host()
        host.network.unreachable.add(PEER)
        host.network.receive(datagram(PEER, US, echo_request()), 1.0)
        host.network.unreachable.clear()
        host.network.room = False
        host.network.receive(datagram(PEER, US, echo_request()), 1.0)
        counters = host.counters()
        assert (counters["dropped_reply_unreachable"], counters["dropped_reply_no_room"]) == (1, 1)

    def test_the_number_of_reply_paths_is_bounded(self):
        host = Host()
        for number in range(1000):
            source = (0x0A000300 + number).to_bytes(4, "big")
            host.network.receive(datagram(source, US, echo_request()), 1.0)
        assert len(host.network.sent) == 1000
        assert len(host.engine._reply_paths) <= 64


def _cut(source, destination, payload):
    """A datagram with the total length of its header, for payloads that exceed the 16-bit field with the header."""
    return datagram(source, destination, b"") + payload


class TestErrorsReceived:
    """RFC 1122 §3.2.2.1: errors MUST be reported to the transport layer; Linux's errnos."""

    @pytest.mark.parametrize(
        ("icmp_type", "code", "number", "hard"),
        [
            (3, 0, errno.ENETUNREACH, False),
            (3, 1, errno.EHOSTUNREACH, False),
            (3, 2, errno.ENOPROTOOPT, True),
            (3, 3, errno.ECONNREFUSED, True),
            (3, 5, errno.EOPNOTSUPP, False),
            (3, 9, errno.ENETUNREACH, True),
            (3, 10, errno.EHOSTUNREACH, True),
            (3, 13, errno.EHOSTUNREACH, True),
            (11, 0, errno.EHOSTUNREACH, False),
            (12, 0, errno.EPROTO, True),
        ],
    )
    def test_the_transport_receives_the_error(self, icmp_type, code, number, hard):
        host = Host()
        host.network.receive(datagram(PEER, US, error_message(icmp_type, code, udp_datagram())), 1.0)
        (error,) = host.network.errors
        assert (error.errno, error.hard, error.protocol) == (number, hard, UDP)
        assert (error.source, error.destination, error.reporter) == (US, PEER, PEER)
        assert error.transport[:4] == b"\x13\x88\x00\x09"
        assert (error.reason, error.text) == (meaning_of(icmp_type, code).reason, meaning_of(icmp_type, code).text)
        assert error.sentence.startswith("ICMP ")
        assert " from 10.0.2.2, about udp 10.0.2.15:5000 -> 10.0.2.2:9" in error.sentence

    @pytest.mark.parametrize(
        ("code", "expected"), [(4, (errno.EMSGSIZE, 1280, False)), (3, (errno.ECONNREFUSED, 0, True))]
    )
    def test_only_fragmentation_needed_has_an_mtu(self, code, expected):
        host = Host()
        host.network.receive(datagram(PEER, US, error_message(3, code, udp_datagram(), 1280)), 1.0)
        (error,) = host.network.errors
        assert (error.errno, error.mtu, error.hard) == expected

    @pytest.mark.parametrize(
        ("message", "counter"),
        [
            (error_message(3, 3, udp_datagram(source="10.0.2.99")), "dropped_quote_not_ours"),
            (error_message(3, 3, udp_datagram(fragment=0x2001)), "dropped_quote_of_fragment"),
            (error_message(3, 4, udp_datagram(fragment=185), 552), "dropped_quote_of_fragment"),
            (error_message(3, 3, udp_datagram()[:27]), "dropped_bad_quote"),
            (error_message(3, 3, b""), "dropped_bad_quote"),
            (error_message(3, 3, udp_datagram(length=2) + bytes(20)), "dropped_bad_quote"),
            (error_message(3, 3, b"\x65" + udp_datagram()[1:]), "dropped_bad_quote"),
            (error_message(3, 3, b"\x4f" + udp_datagram()[1:]), "dropped_bad_quote"),
            (error_message(3, 3, b"\x44" + udp_datagram()[1:]), "dropped_bad_quote"),
            (error_message(3, 16, udp_datagram()), "dropped_unknown_code"),
            (error_message(11, 2, udp_datagram()), "dropped_unknown_code"),
            (error_message(4, 0, udp_datagram()), "dropped_source_quench"),
            (error_message(5, 1, udp_datagram()), "dropped_redirect"),
            (error_message(200, 0, b""), "dropped_unknown_type"),
            (b"\x03\x03\xfc\xfc", "dropped_truncated"),
            (b"", "dropped_truncated"),
        ],
    )
    def test_what_can_not_be_used_is_counted_by_reason(self, message, counter):
        host = Host()
        assert host.network.receive(datagram(PEER, US, message), 1.0) is True
        assert host.network.errors == []
        assert host.counters()[counter] == 1

    def test_errors_are_a_file(self):
        host = Host()
        everything, port, other = host.open("errors"), host.open("udp/5000"), host.open("udp/5001")
        host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram())), 1.0)
        host.network.receive(datagram(PEER, US, error_message(11, 0, datagram(US, PEER, echo_request()))), 1.0)
        line = "10.0.2.2 Destination Port Unreachable udp 10.0.2.15:5000 -> 10.0.2.2:9"
        assert lines(everything) == ([line, "10.0.2.2 Time to live exceeded icmp 10.0.2.15 -> 10.0.2.2"], False)
        assert lines(port) == ([line], False)
        assert lines(other) == ([], False)
        for handle in (everything, port, other):
            handle.close(1.0)
        assert host.engine.error_observers == []

    def test_a_slow_reader_gets_the_number_of_errors_it_missed(self):
        host = Host()
        errors = host.open("errors")
        for _ in range(2000):
            host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram())), 1.0)
        assert errors.queued() < 70_000
        read = len(lines(errors)[0])
        host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram())), 1.0)
        assert lines(errors)[0][0] == f"{2000 - read} errors were not read in time"


def test_statistics_have_the_names_of_rfc_4293():
    host = Host()
    host.network.receive(datagram(PEER, US, echo_request()), 1.0)
    host.network.receive(datagram(PEER, US, b"junk"), 1.0)
    assert host.text("stats").splitlines() == [
        "icmpStatsInMsgs=2",
        "icmpStatsInErrors=1",
        "icmpStatsOutMsgs=1",
        "icmpStatsOutErrors=0",
        "icmpMsgStatsInPkts.8=1",
        "icmpMsgStatsOutPkts.0=1",
        "icmp6StatsInMsgs=0",
        "icmp6StatsOutMsgs=0",
        "used_requests=1",
        "dropped_truncated=1",
    ]


def test_the_directory_lists_what_is_there_and_no_addresses():
    host = Host()
    root = host.scheme.root
    assert [name for name, _ in root.list(None)] == [
        "README",
        "stats",
        "err",
        "errors",
        "clone",
        "echo",
        "ping",
        "trace",
        "udp",
    ]
    assert list(root.children["ping"].list(None)) == []


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("pong/10.0.2.2", errno.ENOENT),
        ("ping/10.0.2.300", errno.EINVAL),
        ("ping/10.0.2.2,x=1", errno.EINVAL),
        ("udp/0", errno.EINVAL),
        ("udp/70000", errno.EINVAL),
        ("echo/10.0.2.2:7", errno.EINVAL),
    ],
)
def test_malformed_is_einval_and_unknown_is_enoent_at_lookup(path, number):
    with pytest.raises(SchemeError) as caught:
        Host().scheme.lookup(path, None)
    assert caught.value.errno == number
