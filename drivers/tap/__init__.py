"""The TAP driver: a virtual Ethernet cable to this machine's own kernel.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.tap.options import OPTIONS
from drivers.tap.permission import obstacle
from schemefs.driver_option import AsDefault

if TYPE_CHECKING:
    from drivers.tap.driver import TapDriver

__all__ = ["AS_DEFAULT", "OPTIONS", "TapDriver"]

AS_DEFAULT = AsDefault(rank=0, obstacle=obstacle)


def __getattr__(name: str) -> object:
    if name != "TapDriver":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from drivers.tap.driver import TapDriver  # noqa: PLC0415 - see the module's text

    return TapDriver
