"""`schemefs ping --iputils` and `schemefs traceroute` beside the tools of Linux on the other side of a TAP."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.running_tools import Tools

pytestmark = pytest.mark.needs("root", "tap", "fuse")


@pytest.fixture(scope="module")
def both(module_tap_network: TapNetwork) -> Iterator[TapNetwork]:
    """Both sides know the other's name, and have addresses of IPv6."""
    network = module_tap_network
    for address in ("fd00:a02::2/64", "fe80::2/64"):
        network.run_peer(["ip", "-6", "addr", "add", address, "dev", "schemefs0", "nodad"])
    (network.mount.path / "netcfg/ifaces/eth0/addr/add").write_text("fd00:a02::15/64\n")
    (network.mount.path / "netcfg/resolv/hosts").write_text("10.0.2.2 far.example\nfd00:a02::2 far.example\n")
    yield network


def shape(text: str) -> list[str]:
    """Return the lines without what differs: times, and the addresses of the two sides."""
    text = re.sub(r"\b10\.0\.2\.(2|15)\b|\bfd00:a02::(2|15)\b", "ADDRESS", text)
    text = re.sub(r"[\d.]+/[\d./]+ ms|time[= ][\d.]+ ?ms", "TIME", text)
    return re.sub(r", pipe \d+", "", text).splitlines()


@pytest.mark.parametrize(
    "words",
    [
        "-c 3 -i 0.2 {}",
        "-q -c 2 -i 0.01 -s 1000 {}",
        "-c 1 -n {6}",
        "-q -f -c 100 {}",
        "-c 2 -w 9 -i 4 10.0.2.77",
        "-c 1 -W 3 10.0.2.77",
        "-c 1 -M want -s 3000 {}",
        "-c 2 -M do -s 1472 -i 0.2 -t 9 {}",
    ],
)
def test_the_lines_and_the_status_are_those_of_ping(both: TapNetwork, words: str) -> None:
    ours = subprocess.run(
        Tools(both.mount).command("ping", "--iputils", *_words(words, "10.0.2.2", "fd00:a02::2")),
        check=False, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    theirs = both.run_peer(["ping", *_words(words, "10.0.2.15", "fd00:a02::15")], check=False)
    assert shape(ours.stdout) == shape(theirs.stdout), ours.stderr
    assert ours.returncode == theirs.returncode


def _words(text: str, v4: str, v6: str) -> list[str]:
    return text.replace("{}", v4).replace("{6}", v6).split()


@pytest.mark.needs("traceroute")
def test_the_lines_are_those_of_traceroute(both: TapNetwork) -> None:
    ours = Tools(both.mount).run("traceroute", "-n", "-q", "2", "10.0.2.2")
    theirs = both.run_peer(["traceroute", "-I", "-n", "-q", "2", "-w", "5", "10.0.2.15"]).stdout
    lines = [re.sub(r"10\.0\.2\.\d+|[\d.]+ ms", "…", text) for text in (ours, theirs)]
    assert lines[0] == lines[1]


def test_a_given_name_and_a_family(both: TapNetwork) -> None:
    tools = Tools(both.mount)
    shown = tools.run("ping", "--iputils", "-4", "-c", "1", "far.example").splitlines()
    assert shown[0] == "PING far.example (10.0.2.2) 56(84) bytes of data."
    assert shown[1].startswith("64 bytes from far.example (10.0.2.2): icmp_seq=1 ttl=64 time=")
    assert shown[3] == "--- far.example ping statistics ---"
    assert "far.example(far.example (fd00:a02::2)) 56 data" in tools.run("ping", "--iputils", "-6c1", "far.example")
    assert "::1 is no address of IPv4" in tools.run("ping", "-4", "::1", status=2)
    assert "nobody.invalid" in tools.run("ping", "-6", "nobody.invalid", status=2)


def test_the_way_is_an_address_or_an_interface(both: TapNetwork) -> None:
    tools = Tools(both.mount)
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", "10.0.2.15", "10.0.2.2")
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", "eth0", "10.0.2.2")
    assert "no route to 10.0.2.2 through lo" in tools.run("ping", "-I", "lo", "10.0.2.2", status=2)
    assert "there are: lo, eth0" in tools.run("ping", "-I", "eth9", "10.0.2.2", status=2)
    assert "10.0.2.99 is not a local address" in tools.run("ping", "-I", "10.0.2.99", "10.0.2.2", status=2)
    assert "1 packets received" in tools.run("ping", "-c", "1", "-I", "eth0", "fe80::2")


def test_too_large_for_the_path_is_said(both: TapNetwork) -> None:
    shown = Tools(both.mount).run("ping", "-c", "1", "-M", "do", "-s", "1473", "10.0.2.2", status=1)
    assert "icmp_seq=0 a datagram of 1501 octets exceeds the path MTU to 10.0.2.2, 1500\n" in shown


def test_ctrl_c_prints_what_ping_prints(both: TapNetwork) -> None:
    process = Tools(both.mount).start("ping", "--iputils", "-i", "0.05", "10.0.2.2")
    assert process.stdout is not None
    text = b"".join(process.stdout.readline() for _ in range(3))
    process.send_signal(signal.SIGINT)
    text += process.communicate(timeout=10)[0]
    assert process.returncode == 0
    assert re.search(
        rb"ms\n\n--- 10.0.2.2 ping statistics ---\n(\d+) packets transmitted, \d+ received, .*ms\nrtt ", text
    )
