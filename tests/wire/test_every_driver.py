"""The driver contract against our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from drivers.loopback import LoopbackDriver
from drivers.stream import StreamDriver
from drivers.tap import TapDriver
from schemefs.driver import Link
from schemefs.testing.driver_contract import DriverContract
from schemes.ip import wire
from tests.support.namespaces import private_network

HERE = bytes([127, 0, 0, 1])


class TestLoopback(DriverContract):
    driver = LoopbackDriver

    def question(self, link: Link) -> bytes:
        return wire.header(HERE, HERE, 253, 4) + b"echo"


ECHO = """
import socket, sys
listener = socket.create_server(sys.argv[1], family=socket.AF_UNIX)
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    try:
        while octets := peer.recv(1 << 16):
            peer.sendall(octets)
    except ConnectionError:
        pass
    peer.close()
"""


class TestStream(DriverContract):
    driver = StreamDriver

    @pytest.fixture(autouse=True)
    def other_end(self, tmp_path: Path) -> Iterator[None]:
        """A program that sends every frame back."""
        path = str(tmp_path / "socket")
        type(self).options = {"socket": path}
        with subprocess.Popen([sys.executable, "-c", ECHO, path], stdout=subprocess.PIPE, text=True) as echo:
            assert echo.stdout is not None
            assert echo.stdout.readline() == "ready\n"
            yield
            echo.kill()

    def question(self, link: Link) -> bytes:
        return b"\xff" * 6 + link.mac + b"\x88\xb5" + bytes(46)  # IEEE 802: an EtherType for experiments


@pytest.mark.needs("root", "tap")
class TestTap(DriverContract):
    driver = TapDriver
    address = IPv4Interface("10.0.2.15/24")
    options = {"host_address": IPv4Interface("10.0.2.2/24")}

    @pytest.fixture(autouse=True)
    def network(self) -> Iterator[None]:
        with private_network():
            yield

    def question(self, link: Link) -> bytes:
        """ARP (RFC 826): who has 10.0.2.2? The kernel does."""
        request = bytes.fromhex("0001080006040001") + link.mac + bytes([10, 0, 2, 15]) + bytes(6) + bytes([10, 0, 2, 2])
        return b"\xff" * 6 + link.mac + b"\x08\x06" + request


@pytest.mark.needs("root", "tap")
class TestTapWithoutOffload(TestTap):
    options = TestTap.options | {"offload": "off"}
