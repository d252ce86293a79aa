"""The receiver of a datagram, and the counters of damaged datagrams (RFC 1122 §4.1.3)."""

from __future__ import annotations

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemefs.net.error_reason import ErrorReason
from schemefs.net.offload import CHECKED, GSO_UDP_L4, NEEDS_CHECKSUM, Offload
from tests.support.ip_host import PEER, US, address, datagram
from tests.support.udp_host import USER, UdpHost, read


def udp(payload: bytes = b"payload", port: int = 5000, **fields: int) -> bytes:
    whole = dpkt.ip.IP(datagram(dpkt.udp.UDP(sport=53, dport=port, data=payload, ulen=8 + len(payload)), p=17))
    octets = bytearray(bytes(whole.data))
    for at, value in ((2, "port"), (4, "length"), (6, "checksum")):
        if value in fields:
            octets[at : at + 2] = fields[value].to_bytes(2, "big")
    return bytes(octets)


def arrives(host: UdpHost, octets: bytes, offload: Offload = CHECKED) -> bool:
    header = datagram(b"", p=17)[:20]
    return host.scheme.udp.receive_datagram(PEER, US, memoryview(header + octets), 20, 0, 64, offload, 0.0)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (udp()[:7], "truncated"),
        (udp(length=7), "bad_length"),
        (udp(length=16), "bad_length"),
        (udp(checksum=0x1234), "bad_checksum"),
        (udp(port=4999), "no_port"),
    ],
)
def test_damage_is_counted_by_reason(octets: bytes, reason: str) -> None:
    host = UdpHost()
    handle = host.open(":5000")
    assert arrives(host, octets, Offload()) is (reason != "no_port")
    assert read(handle) is None
    assert {name: count for name, count in host.scheme.udp.dropped.items() if count} == {reason: 1}


def test_a_port_of_one_family_leaves_the_datagrams_of_the_other() -> None:
    host = UdpHost()
    six, four = host.open(":5000,headers,family=6"), host.open(":5000,headers,family=4")
    assert arrives(host, udp())
    assert (read(six), read(four)) == (None, b"10.0.2.2:53 7\npayload")


def test_no_checksum_is_fine_and_so_is_one_the_device_has_seen() -> None:
    host = UdpHost()
    handle = host.open(":5000")
    assert arrives(host, udp(checksum=0), Offload())
    assert arrives(host, udp(checksum=0x1234), CHECKED)
    assert arrives(host, udp(), Offload())
    assert [read(handle) for _ in range(3)] == [b"payload"] * 3


def test_octets_after_the_datagram_are_not_part_of_it() -> None:
    host = UdpHost()
    handle = host.open(":5000")
    assert arrives(host, udp() + b"more", Offload())
    assert read(handle) == b"payload"


def test_a_super_segment_is_several_datagrams() -> None:
    host = UdpHost()
    handle = host.open(":5000")
    assert arrives(host, udp(bytes(range(250))), Offload(NEEDS_CHECKSUM, GSO_UDP_L4, 28, 100, 20, 6))
    assert [len(read(handle) or b"") for _ in range(4)] == [100, 100, 50, 0]


def test_the_address_bound_to_goes_before_any() -> None:
    host = UdpHost()
    second = address("10.0.2.16")
    host.eth0.add_address(second, 24, 0.0)
    control = host.open("clone")
    control.write(memoryview(b"announce 10.0.2.16:5000\n"), 0.0)
    host.hears(b"other address", 5000)
    host.hears(b"this", 5000, destination=second)
    assert read(host.open("0/rx", 0)) == b"this"
    assert host.reports.reported == [ErrorReason.PORT_UNREACHABLE]


@given(st.binary(max_size=64), st.sampled_from([Offload(), CHECKED, Offload(1, GSO_UDP_L4, 28, 3, 20, 6)]))
def test_any_octets_never_raise(octets: bytes, offload: Offload) -> None:
    host = UdpHost()
    host.open(":5000")
    arrives(host, octets, offload)
    arrives(host, octets[:2] + b"\x13\x88" + octets[4:], offload)
    host.receives_datagram(datagram(octets, p=17))


def test_what_waits_counts_for_its_user_and_beyond_the_share_it_is_dropped() -> None:
    host = UdpHost()
    account = host.scheme.context.held.account(USER.uid)
    handle, other = host.open(":5000", caller=USER), host.open(":5001", caller=USER)
    assert arrives(host, udp(b"x" * 1000))
    assert account.held > 1000
    before = account.held
    account.put(account.share)
    assert arrives(host, udp(b"lost"))
    assert arrives(host, udp(b"lost", port=5001))
    assert host.scheme.udp.dropped["queue_full"] == 2
    assert (account.held, read(other)) == (before + account.share, None)
    account.taken(account.share)
    assert read(handle) == b"x" * 1000
    assert arrives(host, udp(b"taken"))
    assert arrives(host, udp(b"dropped with its file", port=5001))
    assert read(handle) == b"taken"
    other.close(0.0)
    assert account.held == 0
