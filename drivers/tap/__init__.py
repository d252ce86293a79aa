"""The TAP driver: a virtual Ethernet cable to this machine's own kernel.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.tap.options import OPTIONS
from drivers.tap.permission import obstacle
from schemefs.driver_option import AsDefault, deferred_class

if TYPE_CHECKING:
    from drivers.tap.driver import TapDriver

__all__ = ["AS_DEFAULT", "OPTIONS", "TapDriver"]

AS_DEFAULT = AsDefault(rank=0, obstacle=obstacle)

__getattr__ = deferred_class(__name__, "TapDriver")
