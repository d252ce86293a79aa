"""A driver of a third party, for tests: options of each kind. This file is copied into a package."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import ClassVar

import trio

from drivers.loopback.link import LoopbackLink
from schemefs.driver import Driver, DriverContext, DriverOption


def wire_name(text: str) -> str:
    if not text.isalnum():
        raise ValueError(f"{text!r} is no name of a wire: letters and digits")
    return text


def speed(text: str) -> int:
    if text not in ("10", "100"):
        raise ValueError(f"{text!r} is no speed of a wire: 10 or 100")
    return int(text)


class WireDriver(Driver):
    name: ClassVar[str] = "wire"
    options = (
        DriverOption("wire", wire_name, "The wire.", default="w%d", metavar="NAME"),
        DriverOption("line_speed", speed, "Megabits a second.", default="10", completion=("10", "100")),
        DriverOption("far_end", IPv4Interface, "The address at the other end.", is_peer=True, metavar="CIDR"),
        DriverOption("noisy", str, "Say more.", is_flag=True, overrides_file=True),
    )

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        said = self.context.options
        self._link = LoopbackLink(context.interface)
        self._link.device = f"wire:{said['wire']} at {said['line_speed'] * 2}/2 to {said['far_end']} {said['noisy']}"

    @property
    def link(self) -> LoopbackLink:
        return self._link

    def open(self) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep_forever()
