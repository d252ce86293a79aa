"""icmp on the real ip scheme: over lo, over ARP, with the errors that ip detects. Virtual time."""

import errno
import random
from struct import pack

import dpkt
import pytest
from icmp_network import ROOT, error_message, lines

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.network_layer import UDP
from schemefs.net.offload import NO_OFFLOAD
from schemefs.scheme import SchemeContext
from schemes.icmp import IcmpScheme
from tests.support.ip_host import MAC, PEER, PEER_MAC, US, IpHost

LOOP_TIME = 0.000250  # seconds from `send` on lo to its delivery, in these tests


class Stack(IpHost):
    def __init__(self):
        super().__init__()
        context = SchemeContext(
            self.timers, random.Random(1), Config(), Names(), LogRings(lambda: 0.0), services={"ip": self.network}
        )
        self.scheme = IcmpScheme(context)

    def open(self, path, now=0.0):
        return self.scheme.open(path, 0, ROOT, now)

    def run_until(self, end):
        """Timers at their times; what is sent on lo arrives LOOP_TIME later."""
        while (deadline := self.timers.next_deadline()) <= end:
            self.timers.on_deadline(deadline)
            self.loop(deadline)

    def loop(self, now):
        while self.lo.queued:
            now += LOOP_TIME
            self.lo.pump(now)

    def arp_reply(self, now):
        arp = dpkt.arp.ARP(op=2, sha=PEER_MAC, spa=PEER, tha=MAC, tpa=US)
        frame = dpkt.ethernet.Ethernet(dst=MAC, src=PEER_MAC, type=0x0806, data=arp)
        self.link.receive(memoryview(bytes(frame)), NO_OFFLOAD, now)

    def receive(self, payload, *, protocol=1, source=PEER, destination=US, now=1.0):
        ip = dpkt.ip.IP(p=protocol, src=source, dst=destination, ttl=64, data=payload)
        ip.len = 20 + len(payload)
        frame = dpkt.ethernet.Ethernet(dst=MAC, src=PEER_MAC, type=0x0800, data=ip)
        self.link.receive(memoryview(bytes(frame)), NO_OFFLOAD, now)

    def frames(self):
        return [dpkt.ethernet.Ethernet(frame) for frame, _ in self.link.sent]


def test_ping_of_lo_is_answered():
    stack = Stack()
    ping = stack.open("ping/127.0.0.1,count=3,interval=1", now=1.0)
    stack.loop(1.0)
    stack.run_until(5.0)
    assert lines(ping)[0] == [
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.",
        "From 127.0.0.1 icmp_seq=0 ttl=64 time=0.500ms",
        "From 127.0.0.1 icmp_seq=1 ttl=64 time=0.500ms",
        "From 127.0.0.1 icmp_seq=2 ttl=64 time=0.500ms",
        "--- 127.0.0.1 ping statistics ---",
        "3 packets transmitted, 3 packets received, 0.00% packet loss",
        "rtt min/avg/max = 0.500/0.500/0.500 ms",
    ]
    assert stack.timers.pending == 0


def test_our_own_address_answers_too():
    stack = Stack()
    ping = stack.open("ping/10.0.2.15,count=1", now=1.0)
    stack.loop(1.0)
    assert "From 10.0.2.15 icmp_seq=0 ttl=64 time=0.500ms" in lines(ping)[0]
    assert stack.link.sent == []


def test_a_ping_larger_than_the_mtu_is_fragmented_and_put_together():
    stack = Stack()
    for interface in stack.network.interfaces.values():
        interface.set_mtu(1500, 0.0)
    ping = stack.open("ping/127.0.0.1,count=1,size=65507", now=1.0)
    stack.loop(1.0)
    said = lines(ping)[0]
    assert said[0] == "PING 127.0.0.1 (127.0.0.1) 65507(65535) bytes of data."
    assert said[1].startswith("From 127.0.0.1 icmp_seq=0 ttl=64 time=")
    assert "differs" not in said[1]


def test_the_first_packet_waits_for_arp_and_is_not_lost():
    stack = Stack()
    ping = stack.open("ping/10.0.2.2,count=1", now=1.0)
    assert [frame.type for frame in stack.frames()] == [dpkt.ethernet.ETH_TYPE_ARP]
    stack.arp_reply(1.001)
    request = stack.frames()[1]
    assert (request.dst, request.data.dst, request.data.p) == (PEER_MAC, PEER, 1)
    echo = request.data.data
    echo.type, echo.sum = 0, 0
    stack.receive(bytes(echo), now=1.002)
    assert "From 10.0.2.2 icmp_seq=0 ttl=64 time=2.000ms" in lines(ping)[0]


@pytest.mark.parametrize(("fragment", "mtu"), [(0x2000, 1006), (0x2001, 1500), (185, 1500)])
def test_an_error_about_a_later_fragment_lowers_no_path_mtu(fragment, mtu):
    """RFC 792, RFC 1191 §3: the octets after that IP header are payload, which may look like any transport header."""
    stack = Stack()
    stack.network.interfaces["eth0"].set_mtu(1500, 0.0)
    stack.open("ping/10.0.2.2,count=1", now=1.0)
    stack.arp_reply(1.001)
    sent = bytes(stack.frames()[1].data)
    assert (sent[9], sent[20]) == (1, 8)
    quote = sent[:6] + fragment.to_bytes(2, "big") + sent[8:28]
    stack.receive(error_message(3, 4, quote, 1006), now=1.002)
    assert stack.network.path(PEER).mtu == mtu


def test_a_host_that_does_not_answer_arp_is_unreachable_in_words():
    stack = Stack()
    ping = stack.open("ping/10.0.2.77,count=1", now=1.0)
    stack.run_until(20.0)
    said, ended = lines(ping)
    assert said[1] == "From 10.0.2.15 icmp_seq=0 Destination Host Unreachable"
    assert ended


def test_a_datagram_for_an_unknown_protocol_is_reported():
    stack = Stack()
    stack.receive(b"?" * 20, protocol=99)
    stack.arp_reply(1.001)
    error = stack.frames()[-1].data.data
    assert (error.type, error.code) == (3, 2)


def test_a_closed_port_is_reported_and_the_error_received_on_lo():
    stack = Stack()

    class Udp:
        """Has no open port; records the errors that it receives."""

        errors = []

        def receive_datagram(self, *_arguments):
            return False

        def expects(self, error):
            return True

        def receive_error(self, error, now):
            self.errors.append(error)

        def transmit_space(self, now):
            pass

    udp = Udp()
    stack.network.register_transport(UDP, udp)
    header = pack(">HHHH", 5000, 9, 8, 0)
    stack.network.path(bytes((127, 0, 0, 1))).send(UDP, header, (), 1.0)
    stack.loop(1.0)
    (error,) = udp.errors
    assert (error.hard, error.transport[:4]) == (True, header[:4])
    assert error.sentence.startswith("ICMP Destination Port Unreachable from 127.0.0.1, about udp 127.0.0.1:")
    text = stack.scheme.lookup("stats", ROOT).read(ROOT, 1.0).decode()
    assert "icmpMsgStatsOutPkts.3=1" in text
    assert "icmpMsgStatsInPkts.3=1" in text


def test_an_echo_request_from_an_address_that_is_gone_fails():
    stack = Stack()
    stack.resolve_peer()
    echo = stack.open("echo/10.0.2.2")
    assert echo.write(memoryview(b"\0\1ping"), 0.0) == 6
    stack.eth0.remove_address(US, 24, 0.0)
    with pytest.raises(SchemeError, match=r"^10\.0\.2\.15 is not a local address") as raised:
        echo.write(memoryview(b"\0\2ping"), 0.0)
    assert raised.value.errno == errno.ENETUNREACH
