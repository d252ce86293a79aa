"""The loopback driver: each frame that is sent is received."""

from drivers.loopback.driver import LoopbackDriver
from drivers.loopback.link import LoopbackLink
from schemefs.driver_option import AsDefault

__all__ = ["AS_DEFAULT", "LoopbackDriver", "LoopbackLink"]

AS_DEFAULT = AsDefault(rank=2, obstacle=str)  # nothing is in its way
