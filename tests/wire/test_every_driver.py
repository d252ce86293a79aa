"""The driver contract against our own."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface

import pytest

from drivers.loopback import LoopbackDriver
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
