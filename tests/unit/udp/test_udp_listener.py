"""udp/:PORT,listen: one conversation for each sender."""

from __future__ import annotations

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.net.error_reason import ErrorReason
from schemefs.scheme import Event
from tests.support.ip_host import address
from tests.support.udp_host import UdpHost, read, write

OTHER = address("10.0.2.77")


def test_each_sender_is_a_line_and_a_conversation() -> None:
    host = UdpHost()
    listener = host.open(":5000,listen")
    assert listener.fevent(Event.IN) == 0
    host.hears(b"first", 5000, sender_port=1111)
    host.hears(b"second", 5000, sender_port=1111)
    host.hears(b"other", 5000, sender_port=2222)
    assert listener.fevent(Event.IN) == Event.IN
    assert read(listener) == b"1 10.0.2.2:1111 10.0.2.15:5000\n"
    one = host.open("1/data")
    assert [read(one), read(one), read(one)] == [b"first", b"second", None]
    write(one, b"answer")
    assert host.sent() == [("10.0.2.2", 5000, 1111, b"answer")]
    assert read(listener) == b"2 10.0.2.2:2222 10.0.2.15:5000\n"
    assert read(listener) is None
    # Closed, its sender is new again.
    one.close(0.0)
    host.hears(b"again", 5000, sender_port=1111)
    assert read(listener) == b"3 10.0.2.2:1111 10.0.2.15:5000\n"


def test_the_backlog_is_bounded() -> None:
    host = UdpHost()
    listener = host.open(":5000,listen,backlog=2")
    for port in range(1, 6):
        host.hears(b"x", 5000, sender_port=port)
    assert host.scheme.udp.dropped["backlog_full"] == 3
    assert read(listener)
    host.hears(b"x", 5000, sender_port=9)
    assert host.text("0/status").splitlines()[:3] == ["state=LISTEN", "local=*:5000", "pending=2"]


def test_closing_frees_the_port_and_what_waits_but_not_what_was_accepted() -> None:
    host = UdpHost()
    listener = host.open(":5000,listen")
    host.hears(b"x", 5000, sender_port=1)
    host.hears(b"x", 5000, sender_port=2)
    read(listener)
    accepted = host.open("1/data")
    listener.close(0.0)
    host.hears(b"more", 5000, sender_port=1)
    assert [read(accepted), read(accepted)] == [b"x", b"more"]
    host.hears(b"more", 5000, sender_port=2)
    assert host.reports.reported == [ErrorReason.PORT_UNREACHABLE]
    host.open(":5000").close(0.0)


def test_accept_waits_for_one_sender() -> None:
    host = UdpHost()
    handle = host.open(":5000,listen,accept")
    assert handle.opening(0.0)
    host.hears(b"x", 5000, sender_port=1)
    assert not handle.opening(0.0)
    assert read(handle) == b"x"
    with pytest.raises(SchemeError) as caught:
        host.open(":5000,listen,backlog=0")
    assert caught.value.errno == errno.EINVAL


def test_accept_alone_waits_for_a_sender_too() -> None:
    # It was bound, not listening: the open failed and its conversation stayed for half a minute.
    host = UdpHost()
    handle = host.open("127.0.0.1:5000,accept")
    assert handle.opening(0.0)
    handle.close(0.0)
    assert len(host.scheme.conversations) == 0


def test_what_is_bound_says_how_it_would_have_connections() -> None:
    host = UdpHost()
    host.open(":5000")
    with pytest.raises(SchemeError, match="udp/0 is bound without ',listen', so it accepts no connections"):
        host.open("0/listen")


def test_a_listener_of_one_address() -> None:
    host = UdpHost()
    listener = host.open("10.0.2.15:5000,listen")
    host.hears(b"first", 5000, sender_port=1111)
    assert read(listener) == b"1 10.0.2.2:1111 10.0.2.15:5000\n"
    host.hears(b"a broadcast", 5000, sender_port=2222, destination=address("10.0.2.255"), to=b"\xff" * 6)
    assert read(listener) is None
    other = host.open("127.0.0.1:5000,listen")  # the same port of another address
    assert other.fevent(Event.IN) == 0


def test_an_endpoint_bound_to_one_address() -> None:
    host = UdpHost()
    bound = host.open("10.0.2.15:5000,bind,headers")
    assert host.text("0/status").splitlines()[:2] == ["state=BOUND", "local=10.0.2.15:5000"]
    for port in (1, 2):
        host.hears(b"x", 5000, sender_port=port)
    assert [read(bound), read(bound)] == [b"10.0.2.2:1 1\nx", b"10.0.2.2:2 1\nx"]
    write(bound, b"10.0.2.2:53\nquestion")
    assert host.sent() == [("10.0.2.2", 5000, 53, b"question")]
    other = host.open("127.0.0.1:5000,bind")
    other.close(0.0)
    any_address = host.open(":5001,bind")  # as :5001
    host.hears(b"y", 5001)
    assert read(any_address) == b"y"


@pytest.mark.parametrize("group", ["224.0.0.251", "10.0.2.255", "255.255.255.255"])
def test_a_group_or_a_broadcast_address_can_be_bound_as_with_bind_2(group: str) -> None:
    host = UdpHost()
    bound = host.open(f"{group}:5353,bind" + (f",join={group}" if group.startswith("224") else ""))
    host.hears(b"to one", 5353)
    assert read(bound) is None
    mac = b"\x01\x00\x5e\x00\x00\xfb" if group.startswith("224") else b"\xff" * 6
    host.hears(b"to all", 5353, destination=address(group), to=mac)
    assert read(bound) == b"to all"


@pytest.mark.parametrize("name", ["10.0.2.2", "peer", "nowhere", "192.0.2.1"])
@pytest.mark.parametrize("word", ["bind", "listen", "accept"])
def test_only_an_own_address_can_be_bound(name: str, word: str) -> None:
    host = UdpHost()
    with pytest.raises(SchemeError, match=f"{name} is not a local address") as caught:
        host.open(f"{name}:5000,{word}")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert len(host.scheme.conversations) == 0
