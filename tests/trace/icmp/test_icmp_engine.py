"""The ICMP engine, message by message: echo replies, errors received, errors sent, what is dropped and counted."""

import errno

import dpkt
import pytest
from icmp_network import ROOT, Host, datagram, lines, octets

from schemefs.errors import SchemeError
from schemefs.net.checksum import is_valid
from schemefs.net.layers import UDP
from schemefs.net.offload import CHECKED, NO_OFFLOAD
from schemefs.scheme import Event
from schemes.icmp import wire

US, PEER = octets("10.0.2.15"), octets("10.0.2.2")


def echo_request(payload=b"payload", identifier=7, sequence=1):
    return wire.echo_header(wire.ECHO_REQUEST, identifier, sequence, payload) + payload


def error_message(icmp_type, code, quote, low_word=0):
    return wire.error_header(icmp_type, code, low_word, quote) + quote


def udp_datagram(source="10.0.2.15", destination="10.0.2.2", length=20, **fields):
    ports = (5000).to_bytes(2, "big") + (9).to_bytes(2, "big")
    return datagram(octets(source), octets(destination), ports.ljust(length, b"u"), protocol=UDP, **fields)


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

    def test_no_way_back_and_no_room_are_counted(self):
        host = Host()
        host.network.unreachable.add(PEER)
        host.network.receive(datagram(PEER, US, echo_request()), 1.0)
        host.network.unreachable.clear()
        host.network.room = False
        host.network.receive(datagram(PEER, US, echo_request()), 1.0)
        counters = host.counters()
        assert (counters["dropped_reply_unreachable"], counters["dropped_reply_no_room"]) == (1, 1)

    def test_ways_back_are_kept_but_not_without_bound(self):
        host = Host()
        for number in range(1000):
            source = (0x0A000300 + number).to_bytes(4, "big")
            host.network.receive(datagram(source, US, echo_request()), 1.0)
        assert len(host.network.sent) == 1000
        assert len(host.engine._reply_paths) <= 64


def _cut(source, destination, payload):
    """A datagram whose total length is not told, for payloads that a 16-bit field can hold only without the header."""
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
    def test_the_transport_is_told(self, icmp_type, code, number, hard):
        host = Host()
        host.network.receive(datagram(PEER, US, error_message(icmp_type, code, udp_datagram())), 1.0)
        (error,) = host.network.errors
        assert (error.errno, error.hard, error.protocol) == (number, hard, UDP)
        assert (error.source, error.destination, error.reporter) == (US, PEER, PEER)
        assert error.transport[:4] == b"\x13\x88\x00\x09"
        assert (error.icmp_type, error.icmp_code) == (icmp_type, code)
        assert error.sentence.startswith("10.0.2.2 says: ")

    def test_fragmentation_needed_tells_the_mtu(self):
        host = Host()
        host.network.receive(datagram(PEER, US, error_message(3, 4, udp_datagram(), 1280)), 1.0)
        (error,) = host.network.errors
        assert (error.errno, error.mtu, error.hard) == (errno.EMSGSIZE, 1280, False)

    def test_only_the_mtu_of_fragmentation_needed_is_an_mtu(self):
        host = Host()
        host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram(), 1280)), 1.0)
        assert host.network.errors[0].mtu == 0

    @pytest.mark.parametrize(
        ("message", "counter"),
        [
            (error_message(3, 3, udp_datagram(source="10.0.2.99")), "dropped_quote_not_ours"),
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

    def test_a_reader_that_sleeps_is_told_how_much_it_missed(self):
        host = Host()
        errors = host.open("errors")
        for _ in range(2000):
            host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram())), 1.0)
        assert errors.queued() < 70_000
        read = len(lines(errors)[0])
        host.network.receive(datagram(PEER, US, error_message(3, 3, udp_datagram())), 1.0)
        assert lines(errors)[0][0] == f"{2000 - read} errors were not read in time"


class TestErrorsSent:
    """RFC 1122 §3.2.2: about what, to whom, from where, how much, how often."""

    def report(self, host, about, now=1.0, **more):
        host.engine.report_error(3, 3, memoryview(about), now, **more)
        return host.network.sent

    def test_port_unreachable_quotes_the_datagram(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15")
        (sent,) = self.report(host, about)
        assert (sent[12:16], sent[16:20]) == (US, PEER)
        icmp = dpkt.icmp.ICMP(sent[20:])
        assert (icmp.type, icmp.code) == (3, 3)
        assert sent[28:] == about
        assert is_valid(sent[20:])

    def test_the_whole_error_has_at_most_576_octets(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15", length=1400)
        (sent,) = self.report(host, about)
        assert len(sent) == 576
        assert about.startswith(sent[28:])

    def test_what_follows_the_datagram_in_its_frame_is_not_quoted(self):
        host = Host()
        about = udp_datagram(source="10.0.2.2", destination="10.0.2.15", length=8)
        (sent,) = self.report(host, about + b"padding")
        assert sent[28:] == about

    def test_the_mtu_of_a_next_hop_is_carried(self):
        host = Host()
        host.engine.report_error(3, 4, memoryview(udp_datagram("10.0.2.2", "10.0.2.15")), 1.0, mtu=1280)
        assert host.network.sent[0][26:28] == (1280).to_bytes(2, "big")

    @pytest.mark.parametrize(
        ("about", "counter"),
        [
            (datagram(PEER, US, error_message(3, 3, udp_datagram())), "withheld_about_icmp_error"),
            (datagram(PEER, US, error_message(200, 0, b"")), "withheld_about_icmp_error"),
            (datagram(PEER, US, b""), "withheld_about_icmp_error"),
            (udp_datagram("10.0.2.2", "10.0.2.15", fragment=1), "withheld_about_fragment"),
            (udp_datagram("10.0.2.2", "10.0.2.255"), "withheld_about_broadcast"),
            (udp_datagram("10.0.2.2", "224.0.0.251"), "withheld_about_broadcast"),
            (udp_datagram("0.0.0.0", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("10.0.2.255", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("224.0.0.1", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("240.0.0.1", "10.0.2.15"), "withheld_about_source"),
            (udp_datagram("127.0.0.1", "10.0.2.99"), "withheld_about_source"),
            (b"", "withheld_about_garbage"),
            (bytes(40), "withheld_about_garbage"),
        ],
    )
    def test_about_these_none_may_be_sent(self, about, counter):
        host = Host()
        assert self.report(host, about) == []
        assert host.counters()[counter] == 1
        assert host.counters()["icmpStatsOutErrors"] == 1

    def test_first_fragments_and_queries_may_have_errors(self):
        host = Host()
        self.report(host, udp_datagram("10.0.2.2", "10.0.2.15", fragment=0x2000))
        self.report(host, datagram(PEER, US, echo_request()))
        assert len(host.network.sent) == 2

    def test_they_are_rate_limited_but_not_on_lo(self):
        host = Host()
        about = udp_datagram("10.0.2.2", "10.0.2.15")
        for _ in range(100):
            self.report(host, about)
        assert len(host.network.sent) == 50
        assert host.counters()["withheld_rate_limited"] == 50
        self.report(host, about, now=1.010)
        assert len(host.network.sent) == 51
        for _ in range(100):
            self.report(host, udp_datagram("127.0.0.1", "127.0.0.1"))
        assert len(host.network.sent) == 151


class TestBinaryEcho:
    """`icmp/echo/HOST` as Redox has it."""

    def write(self, handle, octets, now=0.0):
        return handle.write(memoryview(octets), now)

    def answer(self, host, number=-1, source=PEER):
        request = host.network.sent[number]
        _, _, _, identifier, sequence = wire.HEADER.unpack_from(request, 20)
        message = wire.echo_header(wire.ECHO_REPLY, identifier, sequence, request[28:]) + request[28:]
        host.network.receive(datagram(source, US, message), 1.0)

    def test_a_request_and_its_reply(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        assert self.write(echo, b"\x01\x02hello") == 7
        request = dpkt.icmp.ICMP(host.network.sent[0][20:])
        assert (request.type, request.data.seq, request.data.data) == (8, 0x0102, b"hello")
        assert echo.read(100, 0.0) is None
        assert echo.fevent(Event.ALL) == Event.OUT
        self.answer(host)
        assert echo.fevent(Event.ALL) == Event.IN | Event.OUT
        assert echo.read(100, 0.0) == b"\x01\x02hello"
        assert echo.read(100, 0.0) is None

    def test_less_than_a_sequence_number_is_einval(self):
        echo = Host().open("echo/10.0.2.2")
        for octets_ in (b"", b"x"):
            with pytest.raises(SchemeError) as caught:
                self.write(echo, octets_)
            assert caught.value.errno == errno.EINVAL

    def test_more_than_a_datagram_is_emsgsize(self):
        echo = Host().open("echo/10.0.2.2")
        with pytest.raises(SchemeError) as caught:
            self.write(echo, bytes(65536))
        assert caught.value.errno == errno.EMSGSIZE

    def test_a_small_buffer_gets_what_fits(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        self.write(echo, b"\x00\x01hello")
        self.answer(host)
        assert echo.read(4, 0.0) == b"\x00\x01he"
        assert echo.read(4, 0.0) is None

    def test_only_the_peer_can_answer_and_only_once(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        self.write(echo, b"\x00\x01")
        self.answer(host, source=octets("10.0.2.9"))
        assert echo.read(100, 0.0) is None
        self.answer(host)
        self.answer(host)
        assert echo.read(100, 0.0) == b"\x00\x01"
        assert echo.read(100, 0.0) is None
        assert host.counters()["dropped_unmatched_reply"] == 2

    def test_two_openers_never_get_each_others_replies(self):
        host = Host()
        one, two = host.open("echo/10.0.2.2"), host.open("echo/10.0.2.2")
        self.write(one, b"\x00\x01one")
        self.write(two, b"\x00\x01two")
        self.answer(host, 1)
        assert one.read(100, 0.0) is None
        assert two.read(100, 0.0) == b"\x00\x01two"

    def test_an_error_fails_the_next_call_once(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        self.write(echo, b"\x00\x01")
        host.network.receive(datagram(PEER, US, error_message(3, 1, host.network.sent[0])), 1.0)
        assert echo.fevent(0) == Event.ERR
        with pytest.raises(SchemeError) as caught:
            echo.read(100, 0.0)
        assert caught.value.errno == errno.EHOSTUNREACH
        assert echo.read(100, 0.0) is None
        assert echo.fevent(Event.ALL) == Event.OUT

    def test_a_full_link_blocks_until_there_is_space(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        changes = []
        echo.on_changed = lambda: changes.append(1)
        host.network.room = False
        assert self.write(echo, b"\x00\x01") is None
        assert echo.fevent(Event.ALL) == 0
        host.network.room = True
        host.engine.transmit_space(1.0)
        assert changes == [1]
        assert echo.fevent(Event.ALL) == Event.OUT
        assert self.write(echo, b"\x00\x01") == 2

    def test_replies_nobody_reads_are_bounded(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        for sequence in range(200):
            self.write(echo, sequence.to_bytes(2, "big"))
            self.answer(host)
        count = 0
        while echo.read(100, 0.0) is not None:
            count += 1
        assert count == 128

    def test_what_comes_after_close_is_dropped(self):
        host = Host()
        echo = host.open("echo/10.0.2.2")
        self.write(echo, b"\x00\x01")
        echo.close(0.0)
        self.answer(host)
        assert host.counters()["dropped_unmatched_reply"] == 1

    def test_it_is_a_conversation_with_a_number(self):
        host = Host()
        echo = host.open("echo/10.0.2.2,ttl=9")
        assert echo.name == "icmp/0"
        self.write(echo, b"\x00\x01")
        assert host.network.sent[-1][8] == 9
        assert [name for name, _ in host.scheme.root.list(ROOT)][-1] == "0"
        assert (host.text("0/local"), host.text("0/remote")) == ("10.0.2.15\n", "10.0.2.2\n")
        assert host.text("0/status").startswith("state=CONNECTED\nlocal=10.0.2.15\nremote=10.0.2.2\n")
        assert host.text("0/settings/hop_limit") == "9\n"
        host.scheme.lookup("0/settings/hop_limit.raw", ROOT).write(b"\x21", ROOT, 0.0)
        self.write(echo, b"\x00\x02")
        assert host.network.sent[-1][8] == 0x21
        assert "requests_sent=2\nreplies_received=0\nunanswered=2\n" in host.text("0/status")
        self.answer(host)
        rx = host.scheme.open("0/rx", 0, ROOT, 0.0)
        assert rx.read(100, 0.0) == b"\x00\x02"
        rx.close(0.0)
        echo.close(0.0)
        with pytest.raises(SchemeError, match="no conversation icmp/0 lives"):
            host.scheme.lookup("0", ROOT)

    def test_ctl_begins_it_too(self):
        host = Host()
        ctl = host.open("clone")
        assert ctl.read(10, 0.0) == b"0\n"
        self.write(ctl, b"connect 10.0.2.2\n")
        assert host.text("0/remote") == "10.0.2.2\n"
        for line, number in ((b"announce 10.0.2.2", errno.EISCONN), (b"colour red", errno.EINVAL)):
            with pytest.raises(SchemeError) as caught:
                self.write(ctl, line)
            assert caught.value.errno == number
        assert "hop_limit" in host.text("0/err")
        ctl.close(0.0)
        other = host.open("clone")
        with pytest.raises(SchemeError, match="answered at once"):
            self.write(other, b"announce 10.0.2.2")

    def test_everybody_is_not_a_host(self):
        for address in ("10.0.2.255", "255.255.255.255", "224.0.0.1"):
            with pytest.raises(SchemeError) as caught:
                Host().open(f"echo/{address}")
            assert caught.value.errno == errno.EACCES

    def test_all_identifiers_in_use_is_an_error_not_a_loop(self):
        host = Host()
        for _ in range(65535):
            host.engine.register(object())
        with pytest.raises(SchemeError) as caught:
            host.open("echo/10.0.2.2")
        assert caught.value.errno == errno.EADDRINUSE


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
