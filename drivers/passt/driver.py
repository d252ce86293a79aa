"""The passt driver: frames go to passt(1), which makes system calls of the host's network of them. No privilege needed.

    our TCP ── frames ── passt ── sockets of the host ── a LAN, the internet

passt takes our segments as if none could be lost: with loss, 8 of 20 connects failed after 10 s. So the link takes no
impairments; they belong on links between two ends that are TCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import trio

from drivers.passt import examination
from drivers.passt.options import OPTIONS
from drivers.passt.program import READY_WITHIN, Passt
from drivers.stream.options import LARGEST_MTU, mtu_fault
from drivers.stream.stream_end import StreamEnd
from schemefs.driver import OptionError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from schemefs.driver import DriverContext, Finding
    from schemefs.driver_option import DriverOption

IMPAIR_REFUSAL: Final = (
    "passt does not send again what is lost on this side, so connects would fail; "
    "lo, a TAP and the links of a lab take them"
)

# passt copies all that is not acknowledged again for each piece that it sends (those before 2024), so more is no gain.
WINDOW: Final = 1 << 20  # octets


class PasstDriver(StreamEnd):
    """Starts passt at `open`, again when it is gone, and ends it with the interface."""

    name: ClassVar[str] = "passt"
    options: ClassVar[Sequence[DriverOption] | None] = OPTIONS
    # passt is our child, and only its socket pair carries the frames. It sends the payload of ours by sockets of the
    # host, and takes that of its own from them: the kernel checks and makes the checksums of what is on a wire.
    has_checksums: ClassVar[bool] = False

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._passt: Passt | None = None

    @classmethod
    def examine(cls) -> Iterable[Finding]:
        """Look at user namespaces and at passt, which is started and ended once."""
        return examination.examine()

    def open(self) -> None:
        """Start passt, and wait until it answers."""
        fault = mtu_fault(self.context.mtu)
        if not fault and self.context.address is None:
            fault = "the driver passt needs an address: passt translates it, so any private one will do"
        if fault:
            raise OptionError(fault)
        self.open_link(f"passt:{self.context.options['passt']}", mtu=LARGEST_MTU, mac_seed="passt")
        self.link.impair_refusal = IMPAIR_REFUSAL
        self.link.carries_ping = not any(examination.echo())
        self.connected(self._start())

    def close(self) -> None:
        """End passt."""
        super().close()
        self._end()

    def why_gone(self, reason: str) -> str:
        """Return how passt has ended."""
        passt, self._passt = self._passt, None
        return reason if passt is None else f"passt has ended: {passt.end()}"

    async def another_end(self) -> socket.socket:
        """Start passt once more. Other calls go on while it does not answer."""
        passt = self._new()
        passt.ask(self.link.mac)
        try:
            with trio.move_on_after(READY_WITHIN):
                await trio.lowlevel.wait_readable(passt.socket)
        except BaseException:
            passt.end()
            raise
        passt.check_answer()
        return self._use(passt)

    def _start(self) -> socket.socket:
        passt = self._new()
        passt.wait_until_ready(self.link.mac)
        return self._use(passt)

    def _new(self) -> Passt:
        context = self.context
        assert context.address is not None
        return Passt(context.options["passt"], context.address, context.nameserver, self.link.mtu)

    def _use(self, passt: Passt) -> socket.socket:
        self._passt = passt
        self.link.largest_window = min(WINDOW, passt.room)
        for line in passt.lines():
            self.log.debug("passt: %s", line)
        return passt.socket

    def _end(self) -> None:
        passt, self._passt = self._passt, None
        if passt is not None:
            self.log.info("passt has ended: %s", passt.end())
