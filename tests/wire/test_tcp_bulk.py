"""100 MiB each way between files and the Linux stack, in full a GiB: every octet arrives, and the end is a FIN."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

PEERS = str(Path(__file__).with_name("tcp_peers.py"))
OCTETS = 100 << 20
GIB = 1 << 30


@pytest.fixture(scope="module")
def octets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of 100 MiB that does not compress or repeat."""
    path = tmp_path_factory.mktemp("bulk") / "octets"
    path.write_bytes(os.urandom(OCTETS))
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def gibibyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of 1 GiB."""
    path = tmp_path_factory.mktemp("bulk") / "gibibyte"
    with path.open("wb") as file:
        block = os.urandom(GIB // 64)
        for number in range(64):
            file.write(number.to_bytes(8, "big") + block[8:])
    yield path
    path.unlink()


NONE = "none"
SOME = "loss 0.02% delay 1ms jitter 500us reorder 0.05% detour 1ms duplicate 0.05% corrupt 0.01%"


@pytest.mark.full
@pytest.mark.parametrize(("impairment", "size"), [(NONE, GIB), (SOME, GIB >> 3)], ids=["none", "some"])
def test_a_gibibyte_each_way(
    module_tap_network: TapNetwork, gibibyte: Path, impairment: str, size: int, family: Family
) -> None:
    """The impairment hits segments of the size of the MSS, each direction with a seed of its own."""
    network = module_tap_network
    os.truncate(gibibyte, size)
    directions = (
        f"{impairment} direction in seed 1\n{impairment} direction out seed 2\n" if impairment != NONE else NONE
    )
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text(directions)
    source = serve(network, "source", 7005, str(gibibyte))
    command = f"cat {network.mount.path}/tcp/{family.peer.at(7005)} | sha256sum"
    got = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=600, check=True)
    assert got.stdout.split()[0] == digest(gibibyte)
    sink = serve(network, "sink", 7006)
    command = f"cat {gibibyte} >{network.mount.path}/tcp/{family.peer.at(7006)}"
    subprocess.run(command, shell=True, timeout=600, check=True)
    assert line(sink) == [digest(gibibyte), str(size)]
    for server in (source, sink):
        server.kill()
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("none\n")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def serve(network: TapNetwork, role: str, port: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a server on the peer and wait until it listens."""
    server = network.start_peer([sys.executable, PEERS, role, str(port), *arguments], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def line(server: subprocess.Popen[str]) -> list[str]:
    """Return the words of the next line that a server prints."""
    assert server.stdout is not None
    return server.stdout.readline().split()


def test_receiving_100_mib(module_tap_network: TapNetwork, octets: Path, family: Family) -> None:
    network = module_tap_network
    serve(network, "source", 7001, str(octets))
    got = subprocess.run(
        f"cat {network.mount.path}/tcp/{family.peer.at(7001)} | sha256sum",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert got.stdout.split()[0] == digest(octets)


def test_sending_100_mib(module_tap_network: TapNetwork, octets: Path, family: Family) -> None:
    network = module_tap_network
    server = serve(network, "sink", 7002)
    command = f"cat {octets} >{network.mount.path}/tcp/{family.peer.at(7002)}"
    subprocess.run(command, shell=True, timeout=60, check=True)
    assert line(server) == [digest(octets), str(OCTETS)]


def test_100_mib_into_an_echo_server_that_nobody_reads(
    module_tap_network: TapNetwork, octets: Path, family: Family
) -> None:
    """The access mode decides: what comes back is discarded, so the writer is never stuck, and the peer sees a FIN."""
    network = module_tap_network
    server = serve(network, "echo", 7003)
    command = f"cat {octets} >{network.mount.path}/tcp/{family.peer.at(7003)}"
    subprocess.run(command, shell=True, timeout=60, check=True)
    assert line(server) == [digest(octets), str(OCTETS)]


def test_100_mib_through_an_echo_server_and_back(module_tap_network: TapNetwork, octets: Path, family: Family) -> None:
    """Both directions of one descriptor at once, from two processes."""
    network = module_tap_network
    server = serve(network, "echo", 7004)
    script = f"""
        exec 3<>{network.mount.path}/tcp/{family.peer.at(7004)}
        head -c {OCTETS} <&3 | sha256sum &
        cat {octets} >&3
        wait
        exec 3>&-
    """
    got = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=90, check=True)
    assert got.stdout.split()[0] == digest(octets)
    assert line(server) == [digest(octets), str(OCTETS)]


# With offload all other tests of this file run.
@pytest.mark.parametrize("offload", ["off", pytest.param("on", marks=pytest.mark.full)])
def test_both_ways_with_and_without_offload(octets: Path, offload: str, family: Family) -> None:
    with TapNetwork("--offload", offload, log_level="info") as network:
        family.prepare(network)
        serve(network, "source", 7001, str(octets))
        got = subprocess.run(
            f"head -c {OCTETS} {network.mount.path}/tcp/{family.peer.at(7001)} | sha256sum",
            shell=True,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert got.stdout.split()[0] == digest(octets)
        server = serve(network, "sink", 7002)
        command = f"head -c 20M {octets} >{network.mount.path}/tcp/{family.peer.at(7002)}"
        subprocess.run(command, shell=True, timeout=60, check=True)
        assert line(server)[1] == str(20 << 20)
