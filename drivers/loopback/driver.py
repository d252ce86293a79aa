"""The loopback driver: frames are delivered in bursts, each as soon as the callback that sent it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drivers.loopback.link import LoopbackLink
from schemefs.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemefs.driver import DriverContext
    from schemefs.driver_option import DriverOption


class LoopbackDriver(Driver):
    """Needs no device and no privilege."""

    name: ClassVar[str] = "loopback"
    options: ClassVar[Sequence[DriverOption] | None] = ()

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._link = LoopbackLink(context.interface, self._deliver_soon)
        self._is_due = False

    @property
    def link(self) -> LoopbackLink:
        """The link, from the start."""
        return self._link

    def open(self) -> None:
        """Do nothing: there is no device."""

    async def run(self) -> None:
        """Wait until cancelled: `call_soon` moves the frames."""
        import trio  # noqa: PLC0415 - `schemefs mount` imports the class for its options, before it forks

        await trio.sleep_forever()

    def frame_descriptor(self) -> int:
        """Return -1: frames come from no descriptor."""
        return -1

    def _deliver_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.context.call_soon(self._deliver)

    def _deliver(self, now: float) -> None:
        try:
            self._link.pump(now)
        finally:  # frames behind one whose receiver fails are still delivered
            self._is_due = False
            if self._link.queued:
                self._deliver_soon()
