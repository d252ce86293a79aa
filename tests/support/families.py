"""The address families that a test of the mount or the wire runs with: its argument `family`.

    def test_x(module_tap_network, family):
        client = os.open(module_tap_network.mount.path / "tcp" / family.peer.at(80), os.O_RDWR)

tests/conftest.py runs such a test with one family, and with both by `--full`. The choice depends on the test's name
alone, so about half of the tests use IPv6 and a test always uses the same. `@pytest.mark.both_families` runs both
always: for a test of code that differs by family.
"""

from __future__ import annotations

import re
import socket
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from schemefs.testing.network import TapNetwork

WORDS: Final = re.compile(r"\[(LO|OURS|PEER|ABSENT|UNROUTED)\]|\b(LO|OURS|PEER|ABSENT|UNROUTED|BITS|SOCKET)\b")


class Address(str):
    """An address as text; with a port it is an endpoint."""

    __slots__ = ()

    def at(self, port: int | str) -> str:
        """Return `10.0.2.2:80` or `[fd00:10:0:2::2]:80`, as paths, URLs and `status` write it."""
        return f"{self.host}:{port}"

    @property
    def host(self) -> str:
        """The address, in brackets if it has colons."""
        return f"[{self}]" if ":" in self else str(self)


class Family:
    """What differs between IPv4 and IPv6 in a test: addresses of the loopback mount and of the TAP's network."""

    def __init__(self, version: int, **addresses: str) -> None:
        self.version: Final = version
        self.socket: Final = {4: "AF_INET", 6: "AF_INET6"}[version]  # of Python's module socket
        self.bits: Final = {4: 32, 6: 128}[version]
        self.neighbors: Final = {4: "ARP", 6: "ND"}[version]  # as events call the protocol
        self.header: Final = {4: 20, 6: 40}[version]  # octets
        self.any = Address(addresses["any"])
        self.lo = Address(addresses["lo"])
        self.ours = Address(addresses["ours"])
        self.peer = Address(addresses["peer"])
        self.absent = Address(addresses["absent"])  # of the TAP's network; no host has it
        self.unrouted = Address(addresses["unrouted"])  # beyond the gateway, which does not forward
        self.link = addresses["link"]  # the prefix of the TAP's network

    def __str__(self) -> str:
        return f"IPv{self.version}"

    def pick(self, v4: Any, v6: Any) -> Any:
        """Return what this family has."""
        return v4 if self.version == 4 else v6

    def fill(self, text: str) -> str:
        """Return a program or a table's cell with its words LO, PEER, BITS, SOCKET… replaced by the family's.

        `[LO]` is the address as a path or a URL has it: in brackets for IPv6 alone.
        """
        return WORDS.sub(lambda word: self._named(word[1]).host if word[1] else str(self._named(word[2])), text)

    def _named(self, word: str) -> Any:
        return getattr(self, word.lower())

    def of_kernel(self) -> Family:
        """Return this family, or IPv4 where the machine's own lo has no ::1, as in a container without IPv6."""
        try:
            with socket.socket(getattr(socket, self.socket)) as tried:
                tried.bind((self.lo, 0))
        except OSError:
            return V4
        return self

    def prepare(self, network: TapNetwork) -> None:
        """Give us the gateway of this family; both ends have its addresses, and IPv4's gateway is there."""
        routes = network.mount.path / "netcfg/route"
        if f"default via {self.peer} " not in (routes / "list").read_text():
            (routes / "add").write_text(f"default via {self.peer}\n")


V4: Final = Family(
    4, any="0.0.0.0", lo="127.0.0.1", ours="10.0.2.15", peer="10.0.2.2", absent="10.0.2.77", unrouted="192.0.2.1",
    link="10.0.2.0/24",
)  # fmt: skip
V6: Final = Family(
    6, any="::", lo="::1", ours="fd00:10:0:2::15", peer="fd00:10:0:2::2", absent="fd00:10:0:2::77",
    unrouted="2001:db8::1", link="fd00:10:0:2::/64",
)  # fmt: skip
FAMILIES: Final = (V4, V6)


def of_test(name: str) -> Family:
    """Return the family with which CI runs the test function *name*."""
    return FAMILIES[zlib.crc32(name.encode()) & 1]
