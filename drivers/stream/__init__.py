"""The stream driver: Ethernet frames over a UNIX socket, as QEMU's `-netdev stream`, passt and gvproxy send them.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.stream.options import OPTIONS

if TYPE_CHECKING:
    from drivers.stream.driver import StreamDriver

__all__ = ["OPTIONS", "StreamDriver"]


def __getattr__(name: str) -> object:
    if name != "StreamDriver":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from drivers.stream.driver import StreamDriver  # noqa: PLC0415 - see the module's text

    return StreamDriver
