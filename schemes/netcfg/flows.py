"""`stats/flows`: the TCP connections that this router forwards, one line each; `off` until `on` is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemes.netcfg.commands import Command, CommandFile, each_line

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import SchemeContext, TextFile

_OFF: Final = "off"
_ON: Final = "on"


def flows_file(context: SchemeContext, network: NetworkLayer) -> TextFile:
    """Return the file. Without a connection it reads as empty."""

    def parse(line: str) -> Command:
        if line not in (_ON, _OFF):
            message = f"{line!r} is not {_ON} or {_OFF}"
            raise ValueError(message)
        return lambda now: network.observe_flows(line == _ON, now)

    def read() -> str:
        if network.flows is None:
            return f"{_OFF}\n"
        return "".join(f"{line}\n" for line in network.flows)

    return CommandFile(context, each_line(parse), read).described("the TCP connections that are forwarded: on, off")
