"""TCP options (RFC 9293 §3.2, RFC 7323, RFC 2018): parsing received lists and building lists to send.

Parsing stops at the first option with an invalid length. The options before it are used and the segment is kept, as
other stacks do; RFC 9293 MUST-7 requires only that an invalid length does no harm.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

END_OF_LIST: Final = 0
NO_OPERATION: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
USER_TIMEOUT: Final = 28

MAX_SCALE: Final = 14
TIMESTAMPS_LENGTH: Final = 12  # octets of the Timestamps option with its padding

_HALF = Struct(">H")
_TWO_WORDS = Struct(">II")
_MSS = Struct(">BBH")
_TIMESTAMPS = Struct(">HBBII")


def walk(datagram: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, offset of its data, length with kind and length octets) of each well-formed option."""
    at = start
    while at < end:
        kind = datagram[at]
        if kind == END_OF_LIST:
            return
        if kind == NO_OPERATION:
            at += 1
            continue
        length = datagram[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return
        yield kind, at + 2, length
        at += length


def one_half(datagram: memoryview, at: int) -> int:
    """Return the 16-bit number at *at*."""
    value: int = _HALF.unpack_from(datagram, at)[0]
    return value


def two_words(datagram: memoryview, at: int) -> tuple[int, int]:
    """Return the two 32-bit numbers at *at*."""
    first, second = _TWO_WORDS.unpack_from(datagram, at)
    return first, second


def sack_blocks(datagram: memoryview, at: int, length: int) -> tuple[tuple[int, int], ...]:
    """Return the (left, right) edges of a SACK option, in its order."""
    return tuple(two_words(datagram, at + offset) for offset in range(0, (length - 2) // 8 * 8, 8))


def syn_options(
    mss: int, scale: int | None, timestamps: tuple[int, int] | None, *, sack_permitted: bool, user_timeout: int = 0
) -> bytes:
    """Return the options of a SYN or SYN-ACK. None, or a *user_timeout* of 0, omits the option."""
    octets = _MSS.pack(MSS, 4, mss)
    if timestamps is not None:
        lead = SACK_PERMITTED << 8 | 2 if sack_permitted else NO_OPERATION << 8 | NO_OPERATION
        octets += _TIMESTAMPS.pack(lead, TIMESTAMPS, 10, *timestamps)
    elif sack_permitted:
        octets += bytes((NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2))
    if scale is not None:
        octets += bytes((NO_OPERATION, WINDOW_SCALE, 3, scale))
    if user_timeout:
        octets += user_timeout_option(user_timeout)
    return octets


def user_timeout_option(value: int) -> bytes:
    """Return the User Timeout option (RFC 5482) with the 16 bits of *value*."""
    return _MSS.pack(USER_TIMEOUT, 4, value)


def ack_options(timestamps: tuple[int, int] | None, blocks: Sequence[tuple[int, int]], room: int = 40) -> bytes:
    """Return Timestamps and as many SACK blocks as fit 40 octets and *room* (RFC 2018 §3: four, or three)."""
    octets = b""
    if timestamps is not None:
        octets = _TIMESTAMPS.pack(NO_OPERATION << 8 | NO_OPERATION, TIMESTAMPS, 10, *timestamps)
    fitting = blocks[: max(0, (min(room, 40) - len(octets) - 4) // 8)]
    if fitting:
        octets += bytes((NO_OPERATION, NO_OPERATION, SACK, 2 + 8 * len(fitting)))
        octets += b"".join(_TWO_WORDS.pack(left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in fitting)
    return octets
