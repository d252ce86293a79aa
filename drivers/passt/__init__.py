"""The passt driver: the network of the host for an ordinary user, through the program passt.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.passt.options import OPTIONS
from drivers.passt.program import obstacle
from schemefs.driver_option import AsDefault

if TYPE_CHECKING:
    from drivers.passt.driver import PasstDriver

__all__ = ["AS_DEFAULT", "OPTIONS", "PasstDriver"]

AS_DEFAULT = AsDefault(rank=1, obstacle=obstacle)


def __getattr__(name: str) -> object:
    if name != "PasstDriver":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from drivers.passt.driver import PasstDriver  # noqa: PLC0415 - see the module's text

    return PasstDriver
