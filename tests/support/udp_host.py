"""udp on a host of tests: files opened as the mount would, datagrams made and read by dpkt."""

from __future__ import annotations

import os
import random

import dpkt
import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.buffer import Buffer
from schemefs.net.offload import NO_OFFLOAD, Offload, split
from schemefs.scheme import Caller, Handle, SchemeContext
from schemefs.timers import Timers
from schemes.udp import UdpScheme
from tests.support.ip_host import MAC, PEER, US, IpHost, datagram

ROOT = Caller(0)
USER = Caller(1000)


class UdpHost(IpHost):
    """An IpHost with the udp scheme; the peer is known already."""

    def __init__(self, mtu: int = 1500) -> None:
        super().__init__(mtu)
        names = Names("10.0.2.2 peer\n")
        context = SchemeContext(Timers(), random.Random(2), Config(), names, LogRings(lambda: 0.0), services={})
        context.services["ip"] = self.network
        self.scheme = UdpScheme(context)
        self.resolve_peer()

    def open(self, path: str, flags: int = os.O_RDWR, caller: Caller = ROOT) -> Handle:
        return self.scheme.open(path, flags, caller, 0.0)

    def text(self, path: str) -> str:
        return self.scheme.lookup(path, ROOT).read(ROOT, 0.0).decode()  # type: ignore[attr-defined]

    def hears(
        self,
        payload: bytes,
        port: int,
        sender_port: int = 53,
        source: bytes = PEER,
        destination: bytes = US,
        to: bytes = MAC,
        offload: Offload = NO_OFFLOAD,
    ) -> None:
        udp = dpkt.udp.UDP(sport=sender_port, dport=port, data=payload, ulen=8 + len(payload))
        self.receives_datagram(datagram(udp, source=source, destination=destination, p=17), to=to, offload=offload)

    def sent(self) -> list[tuple[str, int, int, bytes]]:
        """Return (destination, source port, port, payload) of what was sent, checksums finished and judged by dpkt."""
        found = []
        for frame, offload in self.link.sent:
            for whole in split((frame,), offload, 14):
                ip = dpkt.ip.IP(bytes(whole[14:]))
                if ip.p == 17:
                    ours, ip.udp.sum, ip.sum = ip.udp.sum, 0, 0
                    assert dpkt.ip.IP(bytes(ip)).udp.sum == ours
                    found.append((dpkt.utils.inet_to_str(ip.dst), ip.udp.sport, ip.udp.dport, bytes(ip.udp.data)))
        self.link.sent.clear()
        return found


def write(handle: Handle, data: bytes) -> int | None:
    return handle.write(memoryview(data), 0.0)


def read(handle: Handle, size: int = 65536) -> Buffer | None:
    taken = handle.read(size, 0.0)
    return None if taken is None else bytes(taken)


def fails(number: int, call, *arguments) -> SchemeError:
    with pytest.raises(SchemeError) as caught:
        call(*arguments)
    assert caught.value.errno == number, caught.value
    assert caught.value.sentence
    return caught.value
