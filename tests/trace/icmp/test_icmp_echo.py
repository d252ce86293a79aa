"""`icmp/echo/HOST`: requests and replies in Redox's binary form, as a conversation."""

import errno

import dpkt
import pytest
from icmp_network import PEER, ROOT, US, Host, datagram, error_message, octets

from schemefs.errors import SchemeError
from schemefs.scheme import Caller, Event
from schemefs.shares import ECHO_OCTETS
from schemes.icmp import wire


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

    def test_more_than_the_share_of_a_user_is_enobufs(self):
        host = Host()
        echo, other = (host.open("echo/10.0.2.2", caller=Caller(uid)) for uid in (1000, 1001))
        taken = 0
        with pytest.raises(SchemeError) as caught:
            while taken < ECHO_OCTETS:
                taken += self.write(echo, bytes(60_000))
        assert caught.value.errno == errno.ENOBUFS
        sentence = f"uid 1000 sends {ECHO_OCTETS} octets of echo requests a second; no more are allowed"
        assert caught.value.sentence == sentence
        assert self.write(other, b"\x00\x01hello") == 7
        assert self.write(echo, b"\x00\x01hello", now=0.1) == 7

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
        for sequence in range(1000):
            self.write(echo, sequence.to_bytes(2, "big"))
            self.answer(host)
        assert host.network.turns.are_due, "a reader would be let read before more frames are taken"
        count = 0
        while echo.read(100, 0.0) is not None:
            count += 1
        assert count == 190_208 // (256 + 2)
        assert f"dropped_queue_full={1000 - count}\n" in host.text("0/status")

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
        for counted in ("unanswered=2\n", "datagrams_sent=2\n", "datagrams_received=0\n"):
            assert counted in host.text("0/status")
        self.answer(host)
        rx = host.scheme.open("0/rx", 0, ROOT, 0.0)
        assert rx.read(100, 0.0) == b"\x00\x02"
        rx.close(0.0)
        echo.close(0.0)
        with pytest.raises(SchemeError, match="there is no conversation icmp/0"):
            host.scheme.lookup("0", ROOT)

    def test_ctl_begins_it_too(self):
        host = Host()
        ctl = host.open("clone")
        assert ctl.read(10, 0.0) == b"0\n"
        self.write(ctl, b"connect 10.0.2.2\n")
        assert host.text("0/remote") == "10.0.2.2\n"
        for line, number in ((b"connect 10.0.2.2", errno.EISCONN), (b"colour red", errno.EINVAL)):
            with pytest.raises(SchemeError) as caught:
                self.write(ctl, line)
            assert caught.value.errno == number
        assert "hop_limit" in host.text("0/err")
        ctl.close(0.0)
        other = host.open("clone")
        for verb in ("announce", "bind"):  # they need ports
            with pytest.raises(SchemeError, match=f"no verb or setting '{verb}'; there are: connect ADDRESS, shutdown"):
                self.write(other, f"{verb} 10.0.2.2".encode())
        assert "listen" not in [name for name, _ in host.scheme.lookup("1", ROOT).list(ROOT)]

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
