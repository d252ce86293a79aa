"""udp when its local address goes: as sendto(2) on Linux, with the sentence."""

from __future__ import annotations

import errno

from schemefs.net.addresses import presentation
from tests.support.ip_host import PEER, US, address
from tests.support.udp_host import UdpHost, fails, write

OTHER = address("10.0.2.77")
QUESTION = b"10.0.2.2:53\nquestion"


def sources(host: UdpHost) -> list[str]:
    """Return the source of each datagram sent since the last look."""
    return [presentation(ip.src) for ip in host.sent_datagrams()]


def test_a_connected_endpoint_says_that_its_address_is_gone() -> None:
    """send(2) of a socket that is bound to such an address fails with ENETUNREACH on Linux."""
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    host.eth0.remove_address(US, 24, 0.0)
    assert fails(errno.ENETUNREACH, write, handle, b"question").sentence == "10.0.2.15 is not a local address"
    host.eth0.add_address(US, 24, 0.0)
    assert write(handle, b"question") == 8


def test_an_endpoint_on_an_address_does_not_send_from_another_one() -> None:
    host = UdpHost()
    host.eth0.add_address(OTHER, 24, 0.0)
    handle = host.open("10.0.2.77:5000,bind,headers")
    assert write(handle, QUESTION) == len(QUESTION)
    host.eth0.remove_address(OTHER, 24, 0.0)
    assert fails(errno.ENETUNREACH, write, handle, QUESTION).sentence == "10.0.2.77 is not a local address"


def test_an_endpoint_on_every_address_sends_from_the_one_that_is_left() -> None:
    host = UdpHost()
    handle = host.open(":5000,bind,headers")
    write(handle, QUESTION)
    assert sources(host) == ["10.0.2.15"]
    host.eth0.set_addresses([(OTHER, 24)], 0.0)
    host.receives_arp("reply", PEER, OTHER, 0.0)
    host.link.sent.clear()
    write(handle, QUESTION)
    assert sources(host) == ["10.0.2.77"]


def test_an_interface_that_is_down_is_said() -> None:
    host = UdpHost()
    handle = host.open("10.0.2.2:53")
    host.eth0.set_up(False, 0.0)
    assert fails(errno.ENETUNREACH, write, handle, b"question").sentence.endswith(": eth0 is down")
