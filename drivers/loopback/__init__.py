"""The loopback driver: each frame that is sent is received."""

from drivers.loopback.driver import LoopbackDriver
from drivers.loopback.link import LoopbackLink

__all__ = ["LoopbackDriver", "LoopbackLink"]
