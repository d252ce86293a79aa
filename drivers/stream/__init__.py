"""The stream driver: Ethernet frames over a UNIX socket, as QEMU's `-netdev stream`, passt and gvproxy send them.

Importing this package imports no event loop: `schemefs mount` reads OPTIONS here before it forks, and the class is
imported when it is used.
"""

from typing import TYPE_CHECKING

from drivers.stream.options import OPTIONS
from schemefs.driver_option import deferred_class

if TYPE_CHECKING:
    from drivers.stream.driver import StreamDriver

__all__ = ["OPTIONS", "StreamDriver"]

__getattr__ = deferred_class(__name__, "StreamDriver")
