"""The rules of --uplink and its relay's answers, as far as no kernel is needed."""

from __future__ import annotations

import os
import shutil
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from drivers.tap import TapDriver, examination, relay
from drivers.tap.addressing import TapAddresses, relay_addresses
from drivers.tap.relay import Relay, server_failure
from drivers.tap.uplink import UplinkChanges, UplinkEnds, begin
from drivers.tap.uplink_rules import load, rules
from schemefs.driver import DriverContext, DriverError, OptionError

NETWORK = IPv4Network("10.0.2.0/24")


def test_the_rules_name_the_device_by_number_and_the_table_in_letters_of_nft():
    changes = UplinkChanges(tap='a "b-1', index=7, enabled_forwarding=True)
    text = rules(changes.table, 7, NETWORK, only_ours=True)
    assert changes.table == "schemefs_a_20__22_b_2d_1"
    assert "ip saddr 10.0.2.0/24 oif != 7 masquerade" in text
    assert "meta mark & 0x10000000 == 0 drop" in text
    assert "oif 7 meta mark set meta mark | 0x10000000" in text
    assert "iif 7 ip saddr 10.0.2.0/24 ct state { new, established, related } accept\n    iif 7 drop\n" in text
    assert "oif 7 ct state { established, related } accept\n    oif 7 drop\n" in text
    assert '"' not in text


def test_where_the_host_forwarded_before_nobody_elses_packets_are_dropped():
    assert "== 0 drop" not in rules("t", 7, NETWORK, only_ours=False)


def test_doctor_names_the_commands_that_undo_both_families():
    settings = {"eth0/accept_ra": "1", "all/forwarding": "0", "v.7/forwarding": "1"}
    changes = UplinkChanges("t", 7, enabled_forwarding=True, has_ipv6=True, settings6=settings)
    assert examination._undo(changes).split("; ") == [
        "nft delete table ip schemefs_t",
        "sysctl net.ipv4.ip_forward=0",
        "nft delete table ip6 schemefs_t",
        "sysctl -w net/ipv6/conf/all/forwarding=0",
        "sysctl -w net/ipv6/conf/eth0/accept_ra=1",
        "sysctl -w net/ipv6/conf/v.7/forwarding=1",
    ]
    assert examination._undo(UplinkChanges("t", 7, enabled_forwarding=False)) == "nft delete table ip schemefs_t"


def test_the_rules_of_ipv6_are_the_same_in_a_table_of_its_own():
    six = rules("t", 7, IPv6Network("fd00:10:0:2::/64"), only_ours=True)
    assert six.startswith("table ip6 t\ndelete table ip6 t\ntable ip6 t {\n")
    four = six.replace("ip6 ", "ip ").replace("fd00:10:0:2::/64", "10.0.2.0/24")
    assert four == rules("t", 7, NETWORK, only_ours=True)


def test_server_failure_is_the_query_with_two_octets_changed():
    query = bytes.fromhex("abcd 0100 0001 0000 0000 0000") + b"\x03www\x00\x00\x01\x00\x01"
    answer = server_failure(query)
    assert answer[:4] == bytes.fromhex("abcd 8182")
    assert answer[4:] == query[4:]


def test_the_resolvers_are_those_of_resolv_conf_but_never_the_relay_itself(tmp_path, monkeypatch):
    file = tmp_path / "resolv.conf"
    file.write_text("search lan\nnameserver 10.0.2.3\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver x\n")
    monkeypatch.setattr(relay, "RESOLV_CONF", file)
    asked = Relay.__new__(Relay)
    asked.address, asked._resolver = IPv4Address("10.0.2.3"), None
    assert asked.resolvers() == ["127.0.0.53", "fe80::1%eth0"]
    monkeypatch.setattr(relay, "RESOLV_CONF", tmp_path / "none")
    assert asked.resolvers() == []


def relay_address(nameserver: str, number: int = 2, nameserver6: str | None = None) -> list[str]:
    asked = {"host_address": IPv4Interface("10.0.2.2/24"), "host_address6": IPv6Interface("fd00:10:0:2::2/64")}
    context = DriverContext(
        "eth0",
        asked,
        nameserver=IPv4Address(nameserver) if nameserver else None,
        nameserver6=IPv6Address(nameserver6) if nameserver6 else None,
    )
    four = [IPv4Interface(f"10.0.{number}.{place}/24") for place in (15, 2)]
    six = [IPv6Interface(f"fd00:10:0:{number}::{place}/64") for place in (15, 2)]
    return list(map(str, relay_addresses(context, TapAddresses(*four, *six))))


def test_names_are_answered_at_the_name_servers_place_in_the_subnet_of_the_tap():
    assert relay_address("10.0.2.3") == ["10.0.2.3", "fd00:10:0:2::3"]
    assert relay_address("10.0.2.3", 7) == ["10.0.7.3", "fd00:10:0:7::3"]
    assert relay_address("10.0.2.3", 7, "fd00:10:0:2::53") == ["10.0.7.3", "fd00:10:0:7::53"]
    assert relay_address("10.0.2.3", 2, "2001:db8::53") == ["10.0.2.3", "None"]
    assert relay_address("", 2, "fd00:10:0:2::3") == ["None", "fd00:10:0:2::3"]
    for elsewhere in ("192.0.2.53", "10.0.2.2", "10.0.2.15"):
        assert relay_address(elsewhere) == ["None", "None"]


def test_a_resolver_without_uplink_and_uplink_without_a_host_address_are_refused():
    with pytest.raises(OptionError, match="resolver is the server that uplink asks for names: give uplink too"):
        TapDriver(DriverContext("eth0", {"resolver": IPv4Address("192.0.2.53")})).open()
    with pytest.raises(OptionError, match="give a host_address other than none"):
        TapDriver(DriverContext("eth0", {"uplink": True})).open()


def test_who_is_not_root_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DriverError, match="only root may do that"):
        begin("schemefs0", [UplinkEnds(NETWORK, None)])


def test_without_nft_the_package_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_arguments, **_options: None)
    with pytest.raises(DriverError, match="install the package nftables"):
        load("")


def test_a_kernel_without_nat_is_said_to_be_one(tmp_path, monkeypatch):
    nft = tmp_path / "nft"
    nft.write_text(
        "#!/bin/sh\necho '/dev/stdin:8:5-9: Error: Could not process rule: No such file or directory' >&2; exit 1\n"
    )
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DriverError) as caught:
        load("")
    assert str(caught.value) == (
        "--uplink: this kernel can't forward and masquerade with nftables "
        "(Could not process rule: No such file or directory)"
    )
