"""`schemefs ping --iputils` and `schemefs traceroute` beside the tools of Linux on the other side of a TAP."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import FAMILIES, V4, V6, Family
from tests.support.running_tools import Tools

pytestmark = pytest.mark.needs("root", "tap", "fuse")


@pytest.fixture(scope="module")
def both(module_tap_network: TapNetwork) -> Iterator[TapNetwork]:
    """The peer has a name, and a second link-local address."""
    network = module_tap_network
    network.run_peer(["ip", "-6", "addr", "add", "fe80::2/64", "dev", "schemefs0", "nodad"])
    hosts = "".join(f"{family.peer} far.example\n" for family in FAMILIES)
    (network.mount.path / "netcfg/resolv/hosts").write_text(hosts)
    yield network


def shape(text: str, family: Family) -> list[str]:
    """Return the lines without what differs: times, and the addresses of the two sides."""
    text = re.sub(rf"\b({re.escape(family.ours)}|{re.escape(family.peer)})\b", "ADDRESS", text)
    text = re.sub(r"[\d.]+/[\d./]+ ms|time[= ][\d.]+ ?ms", "TIME", text)
    return re.sub(r", pipe \d+", "", text).splitlines()


@pytest.mark.parametrize(
    "words",
    [
        "-c 3 -i 0.2 {}",
        "-q -c 2 -i 0.01 -s 1000 {}",
        "-c 1 -n {}",
        "-q -f -c 100 {}",
        "-c 2 -w 9 -i 4 {absent}",
        "-c 1 -W 3 {absent}",
        "-c 1 -M want -s 3000 {}",
        "-c 2 -M do -s {largest} -i 0.2 -t 9 {}",
    ],
)
def test_the_lines_and_the_status_are_those_of_ping(both: TapNetwork, family: Family, words: str) -> None:
    fields = {"absent": family.absent, "largest": 1500 - family.header - 8}
    ours = subprocess.run(
        Tools(both.mount).command("ping", "--iputils", *words.format(family.peer, **fields).split()),
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    theirs = both.run_peer(["ping", *words.format(family.ours, **fields).split()], check=False)
    assert shape(ours.stdout, family) == shape(theirs.stdout, family), ours.stderr
    assert ours.returncode == theirs.returncode


@pytest.mark.needs("traceroute")
def test_the_lines_are_those_of_traceroute(both: TapNetwork, family: Family) -> None:
    ours = Tools(both.mount).run("traceroute", "-n", "-q", "2", family.peer)
    theirs = both.run_peer(["traceroute", "-I", "-n", "-q", "2", "-w", "5", family.ours]).stdout
    lines = [re.sub(r"[\d.]+ ms", "…", "\n".join(shape(text, family))) for text in (ours, theirs)]
    assert lines[0] == lines[1]


def test_a_given_name_and_a_family(both: TapNetwork) -> None:
    tools = Tools(both.mount)
    shown = tools.run("ping", "--iputils", "-4", "-c", "1", "far.example").splitlines()
    assert shown[0] == f"PING far.example ({V4.peer}) 56(84) bytes of data."
    assert shown[1].startswith(f"64 bytes from far.example ({V4.peer}): icmp_seq=1 ttl=64 time=")
    assert shown[3] == "--- far.example ping statistics ---"
    assert f"far.example(far.example ({V6.peer})) 56 data" in tools.run("ping", "--iputils", "-6c1", "far.example")
    assert "::1 is no address of IPv4" in tools.run("ping", "-4", "::1", status=2)
    assert "nobody.invalid" in tools.run("ping", "-6", "nobody.invalid", status=2)


def test_the_way_is_an_address_or_an_interface(both: TapNetwork, family: Family) -> None:
    tools = Tools(both.mount)
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", family.ours, family.peer)
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", "eth0", family.peer)
    assert f"no route to {family.peer} through lo" in tools.run("ping", "-I", "lo", family.peer, status=2)
    assert "there are: lo, eth0" in tools.run("ping", "-I", "eth9", family.peer, status=2)
    assert f"{family.absent} is not a local address" in tools.run("ping", "-I", family.absent, family.peer, status=2)
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", "eth0", "fe80::2")


def test_too_large_for_the_path_is_said(both: TapNetwork, family: Family) -> None:
    shown = Tools(both.mount).run(
        "ping", "-c", "1", "-M", "do", "-s", str(1501 - family.header - 8), family.peer, status=1
    )
    assert f"icmp_seq=0 a datagram of 1501 octets exceeds the path MTU to {family.peer}, 1500\n" in shown


def test_ctrl_c_prints_what_ping_prints(both: TapNetwork, family: Family) -> None:
    process = Tools(both.mount).start("ping", "--iputils", "-i", "0.05", family.peer)
    assert process.stdout is not None
    text = b"".join(process.stdout.readline() for _ in range(3))
    process.send_signal(signal.SIGINT)
    text += process.communicate(timeout=10)[0]
    assert process.returncode == 0
    end = (
        rf"ms\n\n--- {re.escape(family.peer)} ping statistics ---\n(\d+) packets transmitted, \d+ received, .*ms\nrtt "
    )
    assert re.search(end, text.decode())
