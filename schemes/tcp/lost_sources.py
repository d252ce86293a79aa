"""Which connections have lost their local address: it was removed, given up or has expired, or its interface is down.

Linux says nothing: writes are taken, and the connection ends when the retransmissions time out, a quarter of an hour
later by default. Here a write fails at once, with nothing taken, and `events` has a line. The connection does not end:
when the address is back, writes are taken again and the retransmissions get through, as on Linux.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer
    from schemes.tcp.control_block import ControlBlock
    from schemes.tcp.tcp import Tcp


class LostSources:
    """Sets `lost_source` of the connections of a Tcp, at each change of addresses: before the next write is taken."""

    def __init__(self, tcp: Tcp, network: NetworkLayer) -> None:
        self._tcp = tcp
        self._network = network
        self._has_doubtful = False  # a route decides whether some connection can send
        network.on_change.append(self._changed)

    def _changed(self, key: str) -> None:
        is_address = key == "ifaces" or (key.startswith("ifaces/") and key.endswith(("/addr/list", "/state")))
        if is_address or (key == "route/list" and self._has_doubtful):
            self._look()

    def _look(self) -> None:
        self._has_doubtful = False
        doubtful: dict[bytes, bool] = {}  # whether a source may be lost; there are few, and many connections
        for tcb in tuple(self._tcp.connections.values()):
            source = tcb.path.source
            is_doubtful = doubtful.get(source)
            if is_doubtful is None:
                is_doubtful = doubtful[source] = self._may_be_lost(source)
            if is_doubtful or tcb.lost_source is not None:
                _settle(tcb, is_doubtful=is_doubtful)
                self._has_doubtful |= is_doubtful

    def _may_be_lost(self, source: bytes) -> bool:
        interfaces = self._network.interfaces.values()
        return not self._network.is_local(source) or any(
            not interface.is_up and any(ours == source for ours, _ in interface.addresses) for interface in interfaces
        )


def _settle(tcb: ControlBlock, *, is_doubtful: bool) -> None:
    """Look whether *tcb* can send: it can also while its interface is down, if a route leads over another one."""
    before, tcb.lost_source = tcb.lost_source, None
    if is_doubtful:
        try:
            tcb.path.check()
        except SchemeError as error:
            tcb.lost_source = error.with_traceback(None)
    after = tcb.lost_source
    if (before and before.sentence) != (after and after.sentence):
        text = after.sentence if after is not None else f"{tcb.local} can be sent from again"
        tcb.log_event(None, text, "connectivity:source_updated", {"local": tcb.local, "usable": after is None})
        tcb.on_changed()
