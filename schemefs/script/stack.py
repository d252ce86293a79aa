"""The stack of a script: the schemes ip, icmp and tcp, made as the daemon makes them, with the clock of the script."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING, Final

from schemefs.config import Config, InterfaceConfig
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.plugins import load_schemes
from schemefs.scheme import Caller, SchemeContext, Tree
from schemefs.script.memory_link import MemoryLink
from schemefs.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload

SCHEMES: Final = ("ip", "icmp", "tcp")
ADDRESS: Final = IPv4Interface("10.0.2.15/24")
ADDRESS6: Final = IPv6Interface("fd00:10:0:2::15/64")
CALLER: Final = Caller(0)
_TURNS: Final = 1000  # of timers at one moment


class Stack:
    """One host at a link, in virtual time."""

    def __init__(self, on_sent: Callable[[bytes], None]) -> None:
        """*on_sent* is given each datagram as it is on the wire."""
        self.now = 0.0
        self.timers = Timers()
        self.link = MemoryLink()
        self.link.name = "eth0"
        self.context = SchemeContext(
            timers=self.timers,
            random=random.Random(1),
            config=Config(
                [InterfaceConfig(address=ADDRESS, address6=ADDRESS6)],
                detects_conflicts=False,
                record_events=True,
                stable_secret=bytes(16),
            ),
            names=Names("", ""),
            logs=LogRings(lambda: self.now),
            tree=Tree(),
        )
        for scheme_class in load_schemes(SCHEMES):
            scheme = scheme_class(replace(self.context, services=dict(self.context.services)))
            self.context.services[scheme.name] = scheme.provides
            self.context.tree.schemes[scheme.name] = scheme
        self.tcp = self.context.tree.schemes["tcp"]
        for scheme in self.context.tree.schemes.values():
            scheme.link_attached(self.link, self.now)
        self.settle()

        def observe(chunks: Chunks, _offload: Offload, _outgoing: bool, _now: float) -> None:
            on_sent(b"".join(chunks))

        self.link.observers.append(observe)

    def step(self, time: float) -> bool:
        """Let time pass to the next deadline, and fire its timers. False: there is none until *time*, which is now."""
        deadline = self.timers.next_deadline()
        if deadline > time:
            self.now = max(self.now, time)
            return False
        self.now = max(self.now, deadline)
        self.timers.on_deadline(self.now)
        return True

    def settle(self) -> None:
        """Do what is due now."""
        for _ in range(_TURNS):
            if self.timers.next_deadline() > self.now:
                return
            self.timers.on_deadline(self.now)
