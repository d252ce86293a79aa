"""A TCP connection over lo with both ends in this process, without mount or daemon."""

from __future__ import annotations

import random

from drivers.loopback.link import LoopbackLink
from schemefs.net.addresses import packed
from schemefs.timers import Timers
from schemes.ip.network import Network
from schemes.tcp.tcp import Tcp


class LoopbackPair:
    """Both ends are established. What one sends arrives by `deliver`; `timers` run as the caller says."""

    def __init__(self, now: float) -> None:
        self.timers = Timers()
        self._link = LoopbackLink()
        network = Network(self.timers, random.Random(1))
        here = packed("127.0.0.1") or b""
        network.attach(self._link, now)  # lo has its address
        tcp = Tcp(network, self.timers, random.Random(1))
        listener = tcp.listen(bytes(4), 80)
        self.client = tcp.connect(here, 80, now)
        tcp.begin(self.client, now)
        self.deliver(now)
        server = listener.accept(now)
        assert server is not None
        self.server = server

    def deliver(self, now: float) -> None:
        """Let arrive what was sent, and what is sent in return."""
        while self._link.pump(now):
            pass
