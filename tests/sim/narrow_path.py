"""A path whose MTU falls: it then drops larger datagrams, with an ICMP error or without one (a black hole)."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from schemefs.net.network_layer import DeliveryError

if TYPE_CHECKING:
    from schemefs.testing.wire import WireLink
    from tests.support.tcp_pair import Pair

ROUTER_DELAY = 0.001  # seconds until the error is back


class NarrowPath:
    """Both ways of *pair*'s wire carry datagrams of at most *mtu* octets from *at* seconds on."""

    def __init__(self, pair: Pair, mtu: int, at: float, *, is_told: bool) -> None:
        self.pair = pair
        self.mtu = mtu
        pair.timers.timer(self._narrow, "path becomes narrow").set(at)
        if is_told:
            pair.wire.loss_watchers.append(self._lost)

    def _narrow(self, _now: float) -> None:
        wire = self.pair.wire
        for impairment in filter(None, (wire.impairment, wire.back)):
            impairment.largest = self.mtu

    def _lost(self, link: WireLink, frame: bytes, now: float) -> None:
        if len(frame) > self.pair.wire.impairment.largest:
            self.pair.timers.timer(partial(self._tell, link, frame), "fragmentation needed").set(now + ROUTER_DELAY)

    def _tell(self, link: WireLink, frame: bytes, now: float) -> None:
        """RFC 1191 §4, RFC 4443 §3.2: the error quotes the datagram's first octets and says what would fit."""
        if frame[0] >> 4 == 4:
            source, destination, transport = frame[12:16], frame[16:20], frame[20:28]
        else:
            source, destination, transport = frame[8:24], frame[24:40], frame[40:48]
        error = DeliveryError(
            errno.EMSGSIZE, False, "too large", 6, source, destination, transport, mtu=self.mtu, reporter=destination
        )
        stack = self.pair.left if link is self.pair.wire.left else self.pair.right
        stack.network.deliver_error(error, now)  # type: ignore[attr-defined]
