"""A port that another scheme has opened receives every datagram to it, whatever its destination."""

from __future__ import annotations

from tests.support.ip_host import BROADCAST_MAC, address
from tests.support.udp_host import UdpHost


def test_a_port_receives_unicast_broadcasts_and_what_is_for_an_address_to_come() -> None:
    host = UdpHost()
    received: list[bytes] = []
    port = host.scheme.provides.open_port(68, lambda payload, _now: received.append(payload))
    host.hears(b"ours", 68)
    host.hears(b"all", 68, destination=address("255.255.255.255"), to=BROADCAST_MAC)
    host.hears(b"not taken", 68, destination=address("10.0.2.100"))
    host.eth0.bootstrap_port = 68
    host.hears(b"to come", 68, destination=address("10.0.2.100"))
    assert received == [b"ours", b"all", b"to come"]
    port.close(0.0)
    host.hears(b"closed", 68, destination=address("10.0.2.100"))
    assert (len(received), host.reports.reported) == (3, [])
