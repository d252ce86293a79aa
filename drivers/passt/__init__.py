"""The passt driver: the network of the host for an ordinary user, through the program passt.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.passt.options import OPTIONS
from drivers.passt.program import obstacle
from schemefs.driver_option import AsDefault, deferred_class

if TYPE_CHECKING:
    from drivers.passt.driver import PasstDriver

__all__ = ["AS_DEFAULT", "OPTIONS", "PasstDriver"]

AS_DEFAULT = AsDefault(rank=1, obstacle=obstacle)

__getattr__ = deferred_class(__name__, "PasstDriver")
