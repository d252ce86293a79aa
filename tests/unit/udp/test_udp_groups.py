"""Multicast: joining and leaving groups, receiving from them, the hop limit of datagrams to them."""

from __future__ import annotations

import errno
import re

from tests.support.ip_host import address
from tests.support.udp_host import UdpHost, fails, read, write


def test_a_group_is_joined_received_from_and_left() -> None:
    host = UdpHost()
    handle = host.open(":5353,join=224.0.0.251")
    bystander = host.open(":5354")
    group = address("224.0.0.251")
    to = bytes.fromhex("01005e0000fb")
    host.hears(b"mdns", 5353, destination=group, to=to)
    host.hears(b"mdns", 5354, destination=group, to=to)
    assert read(handle) == b"mdns"
    assert read(bystander) is None
    assert host.text("0/settings/groups") == "224.0.0.251\n"
    handle.close(0.0)
    host.hears(b"mdns", 5353, destination=group, to=to)
    assert host.dropped == {"group_not_joined": 1}
    fails(errno.EINVAL, host.open, ":5353,join=10.0.0.1")


def test_several_groups_are_joined_and_left() -> None:
    host = UdpHost()
    handle = host.open(":5353,join=224.0.0.251+224.0.0.252")
    assert host.text("0/settings/groups") == "224.0.0.251 224.0.0.252\n"
    for last in (251, 252):
        to = bytes.fromhex("01005e0000") + bytes((last,))
        host.hears(b"mdns", 5353, destination=address(f"224.0.0.{last}"), to=to)
        assert read(handle) == b"mdns"
    fails(errno.EINVAL, host.open, ":5353,join=224.0.0.251+10.0.0.1")


def test_a_datagram_to_a_group_stays_on_the_network_without_a_hop_limit() -> None:
    # RFC 1112 §6.1
    host = UdpHost()

    def hop_limit() -> int:
        return host.link.sent.pop()[0][22]

    write(host.open("224.0.0.251:5353"), b"x")
    assert hop_limit() == 1
    write(host.open("224.0.0.251:5353,ttl=4"), b"x")
    assert hop_limit() == 4
    bound = host.open(":5000,headers")
    for peer, expected in (("224.0.0.251", 1), ("10.0.2.2", 64)):
        write(bound, f"{peer}:5353\nx".encode())
        assert hop_limit() == expected
    write(host.open("2/ctl"), b"hop_limit 9")
    for peer in ("224.0.0.251", "10.0.2.2"):
        write(bound, f"{peer}:5353\nx".encode())
        assert hop_limit() == 9


def test_a_ctl_joins_and_leaves_groups() -> None:
    host = UdpHost()
    handle = host.open(":5353,listen")
    ctl = host.open("0/ctl")
    group, to = address("224.0.0.251"), bytes.fromhex("01005e0000fb")
    write(ctl, b"join 224.0.0.251+224.0.0.252")
    assert host.text("0/settings/groups") == "224.0.0.251 224.0.0.252\n"
    host.hears(b"mdns", 5353, destination=group, to=to)
    assert read(handle) == b"1 10.0.2.2:53 10.0.2.15:5353\n"
    write(ctl, b"leave 224.0.0.251")
    assert host.text("0/settings/groups") == "224.0.0.252\n"
    host.hears(b"mdns", 5353, sender_port=54, destination=group, to=to)
    assert read(handle) is None
    for line in (b"leave 224.0.0.251", b"join 10.0.2.2", b"join"):
        fails(errno.EINVAL, write, ctl, line)


def test_only_an_announced_conversation_joins_groups() -> None:
    host = UdpHost()
    ctl = host.open("clone")
    fails(errno.ENOTCONN, write, ctl, b"join 224.0.0.251")
    write(ctl, b"connect 10.0.2.2:53")
    fails(errno.EINVAL, write, ctl, b"join 224.0.0.251")
    assert "announce" in host.text("0/err")
    fails(errno.EINVAL, write, ctl, b"dance")
    assert "close, owner PID [NAME], join GROUP, leave GROUP, peer HOST:PORT, read_timeout" in host.text("0/err")
    assert re.search(r"^  join GROUP +join a multicast group$", host.text("README"), re.MULTILINE)
