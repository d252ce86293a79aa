"""The loopback driver: what is sent comes back."""

from drivers.loopback.driver import LoopbackDriver
from drivers.loopback.link import LoopbackLink

__all__ = ["LoopbackDriver", "LoopbackLink"]
