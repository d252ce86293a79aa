"""IPv6 in a mount with lo alone, which needs no root: `::1`, listeners of both families, and configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture
def tree(module_scheme_mount) -> Path:
    return module_scheme_mount.path


def test_the_loopback_address_answers(tree: Path) -> None:
    said = (tree / "icmp/ping/::1,count=1").read_text()
    assert said.startswith("PING ::1 (::1) 56(104) bytes of data.\nFrom ::1 icmp_seq=0 ttl=64")
    listed = (tree / "netcfg/ifaces/lo/addr/list").read_text().splitlines()
    assert [line.split()[0] for line in listed] == ["127.0.0.1/8", "::1/128"]
    assert (tree / "netcfg/route/get/::1").read_text() == "::1 is a local address: delivered through lo\n"


@pytest.mark.parametrize("listened", [":0", "*:0", "[::]:0", "0.0.0.0:0"])
def test_a_listener_on_any_address_has_both_families(tree: Path, listened: str) -> None:
    """As Linux's [::] without IPV6_V6ONLY."""
    listener = os.open(tree / f"tcp/{listened},listen", os.O_RDWR)
    local = os.getxattr(listener, "user.local").decode()
    assert local.startswith("*:")
    port = local.rpartition(":")[2]
    for host in ("127.0.0.1", "[::1]"):
        client = os.open(tree / f"tcp/{host}:{port}", os.O_RDWR)
        number, remote, local = os.read(listener, 200).decode().split()
        assert (remote.rpartition(":")[0], local) == (host, f"{host}:{port}")
        accepted = os.open(tree / f"tcp/{number}/data", os.O_RDWR)
        os.write(client, b"there")
        assert os.read(accepted, 10) == b"there"
        os.write(accepted, b"back")
        assert os.read(client, 10) == b"back"
        os.close(accepted)
        os.close(client)
    os.close(listener)


def test_a_listener_on_one_address_has_one_family(tree: Path) -> None:
    listener = os.open(tree / "tcp/[::1]:0,listen", os.O_RDWR)
    local = os.getxattr(listener, "user.local").decode()
    assert local.startswith("[::1]:")
    with pytest.raises(ConnectionRefusedError):
        os.open(tree / f"tcp/127.0.0.1:{local.rpartition(':')[2]}", os.O_RDWR)
    os.close(os.open(tree / f"tcp/{local}", os.O_RDWR))
    os.close(listener)


def test_datagrams_to_both_families_come_to_one_port(tree: Path) -> None:
    server = os.open(tree / "udp/:5300,headers", os.O_RDWR)
    for host in ("127.0.0.1", "[::1]"):
        client = os.open(tree / f"udp/{host}:5300", os.O_RDWR)
        os.write(client, b"question")
        line, _, payload = os.read(server, 200).partition(b"\n")
        sender = line.split()[0].decode()
        assert (sender.rpartition(":")[0], payload) == (host, b"question")
        os.write(server, f"{sender}\nanswer".encode())
        assert os.read(client, 20) == b"answer"
        os.close(client)
    closed = os.open(tree / "udp/[::1]:5301", os.O_RDWR)
    os.write(closed, b"x")
    with pytest.raises(ConnectionRefusedError):
        os.read(closed, 1)
    os.close(closed)
    os.close(server)


def test_echo_and_raw_datagrams(tree: Path) -> None:
    raw = os.open(tree / "ip/ipv6-icmp", os.O_RDWR)
    echo = os.open(tree / "icmp/echo/::1", os.O_RDWR)
    os.write(echo, b"\0\x07text")
    assert os.read(echo, 20) == b"\0\x07text"
    request, reply = os.read(raw, 200), os.read(raw, 200)
    assert (request[0] >> 4, request[6], request[40], reply[40]) == (6, 58, 128, 129)
    os.write(raw, request)  # a written datagram begins with its header, as a read one
    assert os.read(raw, 200)[40] == 128
    os.close(echo)
    os.close(raw)


def test_addresses_and_routes_of_both_families_are_configured_together(tree: Path) -> None:
    netcfg = tree / "netcfg"
    (netcfg / "ifaces/lo/addr/add").write_text("10.7.0.1/24\nfd00:7::1/64\n")
    (netcfg / "route/add").write_text("2001:db8::/32 dev lo\n")
    assert "fd00:7::/64  dev lo src fd00:7::1" in (netcfg / "route/list").read_text().splitlines()
    assert (netcfg / "route/get/2001:db8::1").read_text().startswith("2001:db8::1 goes by: 2001:db8::/32 dev lo")
    assert "1 packets received" in (tree / "icmp/ping/fd00:7::1,count=1").read_text()
    before = (netcfg / "config").read_text()
    assert '"fd00:7::1/64"' in before
    assert "::1/128" not in before  # needs no configuration
    (netcfg / "config").write_text(before)
    assert (netcfg / "config").read_text() == before
    (netcfg / "ifaces/lo/addr/rm").write_text("fd00:7::1/64\n10.7.0.1/24\n")
    (netcfg / "route/rm").write_text("2001:db8::/32\n")
    assert "fd00" not in (netcfg / "route/list").read_text()


@pytest.mark.parametrize(
    ("node", "line", "sentence"),
    [
        ("ifaces/lo/addr/add", "ff02::1/64", "'ff02::1/64' is not a unicast address"),
        ("ifaces/lo/addr/add", "fd00::1/129", "'fd00::1/129' is not ADDRESS/PREFIXLENGTH"),
        ("ifaces/lo/addr/add", "::1/128", "::1 is an address of lo already"),
        ("route/add", "2001:db8::/32 via fe80::1", "the gateway fe80::1 may be on each link"),
        (
            "route/add",
            "2001:db8::/32 via 10.0.2.2",
            "the gateway 10.0.2.2 is not of the same family as the destination",
        ),
    ],
)
def test_a_bad_line_is_refused_with_a_sentence(tree: Path, node: str, line: str, sentence: str) -> None:
    with pytest.raises(OSError):
        (tree / "netcfg" / node).write_text(f"{line}\n")
    assert sentence in (tree / "netcfg/err").read_text()


def test_tools_take_addresses_of_both_families(tree: Path) -> None:
    for host in ("127.0.0.1", "::1"):
        done = subprocess.run(
            [sys.executable, "-m", "schemefs", "ping", "--mount", tree, "-c", "1", host],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert "1 packets received" in done.stdout, done
