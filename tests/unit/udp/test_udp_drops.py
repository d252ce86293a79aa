"""Each datagram that no conversation takes is counted, once and under one reason; so is each error about nothing."""

from __future__ import annotations

import errno

import pytest

from schemefs.net.network_layer import DeliveryError
from schemefs.net.offload import GSO_UDP_L4, NEEDS_CHECKSUM, Offload
from schemefs.scheme import FollowedFile
from tests.support.event_schema import checked
from tests.support.ip_host import BROADCAST_MAC, PEER, US, address
from tests.support.udp_host import ROOT, UdpHost, read, write

OTHER = address("10.0.2.77")
BROADCAST = address("10.0.2.255")


def counted(host: UdpHost) -> dict[str, int]:
    """Return the reasons, without zeros, and InDatagrams."""
    found = {reason: count for reason, count in host.scheme.udp.dropped.items() if count}
    return {**found, "in": host.scheme.udp.in_datagrams}


def error(port: int, remote_port: int, destination: bytes, reporter: bytes = PEER) -> DeliveryError:
    quoted = port.to_bytes(2, "big") + remote_port.to_bytes(2, "big") + bytes(4)
    return DeliveryError(errno.ECONNREFUSED, True, "refused", 17, US, destination, quoted, reporter=reporter)


def test_reading_shut_down_is_a_reason() -> None:
    host = UdpHost()
    host.open(":9")
    host.scheme.lookup("0/ctl", ROOT).open(2, ROOT, 0.0).write(memoryview(b"shutdown read"), 0.0)  # type: ignore[attr-defined]
    host.hears(b"x", 9)
    assert counted(host) == {"not_read": 1, "in": 0}


def test_an_empty_datagram_that_bytes_can_not_show_is_a_reason() -> None:
    host = UdpHost()
    host.open(":9,bytes")
    host.hears(b"", 9)
    assert counted(host) == {"empty": 1, "in": 0}


def test_a_drop_is_an_event_of_its_conversation() -> None:
    host = UdpHost()
    host.open(":9,bytes,events")
    host.hears(b"", 9)
    host.scheme.lookup("0/ctl", ROOT).open(2, ROOT, 0.0).write(memoryview(b"shutdown read"), 0.0)  # type: ignore[attr-defined]
    host.hears(b"hello", 9)
    events = host.scheme.lookup("0/events.json", ROOT)
    assert isinstance(events, FollowedFile)
    told = checked(events.ring.read(0, 1 << 16)[0].decode())
    dropped = [event["data"] for event in told if event["name"] == "transport:datagram_dropped"]
    assert [(data["reason"], data["octets"]) for data in dropped] == [("empty", 0), ("not_read", 5)]


def test_a_full_queue_and_a_full_backlog() -> None:
    host = UdpHost()
    host.open(":9")
    host.open(":11,listen,backlog=1")
    for sender in range(3):
        host.hears(b"x", 11, sender_port=1000 + sender)
    for _ in range(3000):
        host.hears(bytes(1000), 9)
    assert counted(host) == {"backlog_full": 2, "queue_full": 3000 - (host.scheme.udp.in_datagrams - 1), "in": 835}
    assert "queue_full" in host.scheme.udp.samples.summaries()


def test_a_sender_whose_conversation_has_another_address_of_ours() -> None:
    host = UdpHost()
    host.open(":11,listen")
    host.hears(b"x", 11, sender_port=5)
    host.hears(b"x", 11, sender_port=5, destination=BROADCAST, to=BROADCAST_MAC)
    assert counted(host) == {"taken_sender": 1, "in": 1}


def test_copies_are_told_apart_from_frames() -> None:
    host = UdpHost()
    first, second = host.open(":9,reuse"), host.open(":9,reuse")
    host.hears(b"x", 9, destination=BROADCAST, to=BROADCAST_MAC)
    assert (read(first), read(second)) == (b"x", b"x")
    assert (host.scheme.udp.copies, host.scheme.udp.in_datagrams) == (1, 2)
    host.hears(b"abcdef", 9, offload=Offload(NEEDS_CHECKSUM, GSO_UDP_L4, 42, 2, 34, 6))
    assert (host.scheme.udp.copies, host.scheme.udp.in_datagrams) == (3, 5)


@pytest.mark.parametrize("path", [":5000", ":5000,listen", ":5001", "10.0.2.2:53"])
def test_an_icmp_error_about_a_datagram_that_was_not_sent_is_counted_and_changes_nothing(path: str) -> None:
    host = UdpHost()
    host.open(path)
    host.network.deliver_error(error(5000, 53, OTHER), 0.0)
    assert counted(host) == {"unmatched_error": 1, "in": 0}
    assert host.text("0/err") == ""
    host.network.deliver_error(error(5000, 53, OTHER, reporter=b""), 0.0)
    assert counted(host) == {"unmatched_error": 1, "in": 0}, "no message has come: this host has found it out"


def test_an_icmp_error_about_a_datagram_that_was_sent_is_not_counted() -> None:
    host = UdpHost()
    bound = host.open(":5000,headers")
    write(bound, b"10.0.2.77:53\nx")
    host.network.deliver_error(error(5000, 53, OTHER), 0.0)
    assert counted(host) == {"in": 0}
    assert host.text("0/err") == "refused\n"


def test_an_error_about_a_protocol_without_a_transport_is_counted_by_ip() -> None:
    host = UdpHost()
    host.network.deliver_error(
        DeliveryError(errno.EHOSTUNREACH, True, "gone", 47, US, PEER, bytes(8), reporter=PEER), 0.0
    )
    assert host.dropped == {"unmatched_error": 1}
