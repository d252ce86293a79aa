"""The loopback driver: one task that delivers what was sent, and sleeps while nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import trio

from drivers.loopback.link import LoopbackLink
from schemefs.driver import Driver

if TYPE_CHECKING:
    from schemefs.driver import DriverContext


class LoopbackDriver(Driver):
    """Needs no device and no privilege."""

    name: ClassVar[str] = "loopback"

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._queued = trio.Event()
        self._link = LoopbackLink(context.interface, self._wake)

    @property
    def link(self) -> LoopbackLink:
        """The one link."""
        return self._link

    def open(self) -> None:
        """Nothing to have."""

    async def run(self) -> None:
        """Deliver in bursts, each with one look at the clock and one checkpoint."""
        while True:
            await self._queued.wait()
            if not self._link.pump(trio.current_time()):
                self._queued = trio.Event()

    def _wake(self) -> None:
        self._queued.set()
