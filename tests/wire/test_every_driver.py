"""The driver contract against our own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
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


class TestStream(DriverContract):
    driver = StreamDriver

    @pytest.fixture(autouse=True)
    def other_end(self, tmp_path: Path) -> Iterator[None]:
        """A program that sends every frame back."""
        path = str(tmp_path / "socket")
        listener = socket.create_server(path, family=socket.AF_UNIX)
        type(self).options = {"socket": path}
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listener.close()

    def question(self, link: Link) -> bytes:
        return b"\xff" * 6 + link.mac + b"\x88\xb5" + bytes(46)  # IEEE 802: an EtherType for experiments


def echo(listener: socket.socket) -> None:
    """Send back what each connection brings, until *listener* is shut down."""
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer, suppress(ConnectionError):
            while octets := peer.recv(1 << 16):
                peer.sendall(octets)


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
