"""SO_RCVTIMEO and SO_SNDTIMEO: struct timeval, and the time-outs of a conversation."""

from __future__ import annotations

import errno
import struct
from typing import Final

from schemefs.run.call import Failed
from schemefs.run.sockets import Socket

_TIMEVAL: Final = struct.Struct("=qq")
SOL_SOCKET: Final = 1
RECEIVING: Final = (20, 66)  # SO_RCVTIMEO_OLD, _NEW; the same struct where long has 64 bits
SENDING: Final = (21, 67)


def seconds(octets: bytes) -> float:
    """Return a struct timeval in seconds; 0: no limit. EINVAL, EDOM."""
    if len(octets) < _TIMEVAL.size:
        raise Failed(errno.EINVAL)
    whole, micro = _TIMEVAL.unpack_from(octets)
    if not 0 <= micro < 1_000_000:
        raise Failed(errno.EDOM)
    return float(max(whole, 0) + micro / 1e6)


def sending(found: Socket) -> float:
    """Return the seconds that a connect or a send may wait; 0: no limit."""
    return seconds(found.values.get((SOL_SOCKET, SENDING[0]), bytes(16)))


def receiving(found: Socket) -> float:
    """Return the seconds that a receive may wait; 0: no limit."""
    return seconds(found.values.get((SOL_SOCKET, RECEIVING[0]), bytes(16)))
