"""Congestion control: the limit of octets in flight. Loss detection is in `schemes.tcp.recovery`."""

from __future__ import annotations

from typing import Final

from schemes.tcp.congestion.control import CongestionControl
from schemes.tcp.congestion.cubic import Cubic
from schemes.tcp.congestion.newreno import NewReno

CONTROLS: Final[dict[str, type[CongestionControl]]] = {"cubic": Cubic, "newreno": NewReno}
"""The values of the setting `congestion`; the first is the default."""

__all__ = ["CONTROLS", "CongestionControl", "Cubic", "NewReno"]
