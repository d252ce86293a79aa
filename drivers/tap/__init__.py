"""The TAP driver: a virtual Ethernet cable to this machine's own kernel."""

from drivers.tap.driver import TapDriver

__all__ = ["TapDriver"]
