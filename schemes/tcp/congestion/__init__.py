"""Congestion control: how much may be in flight. What was lost, and what to send again, is `schemes.tcp.recovery`."""

from __future__ import annotations

from typing import Final

from schemes.tcp.congestion.control import CongestionControl
from schemes.tcp.congestion.cubic import Cubic
from schemes.tcp.congestion.newreno import NewReno

CONTROLS: Final[dict[str, type[CongestionControl]]] = {"cubic": Cubic, "newreno": NewReno}
"""What the setting `congestion` may be; the first is the default."""

__all__ = ["CONTROLS", "CongestionControl", "Cubic", "NewReno"]
