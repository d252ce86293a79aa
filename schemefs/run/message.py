"""struct msghdr and struct mmsghdr, read once."""

from __future__ import annotations

import errno
import struct
from typing import Final, NamedTuple

from schemefs.run.call import MAX_VECTORS, Call, Failed

_MSGHDR: Final = struct.Struct("=QI4xQQQQi4x")
MMSGHDR_SIZE: Final = _MSGHDR.size + 8
NAME_LENGTH, CONTROL_LENGTH, FLAGS, LENGTH = 8, 40, 48, _MSGHDR.size  # offsets


class Message(NamedTuple):
    """A struct msghdr, read once."""

    place: int
    name: int
    name_length: int
    vectors: list[tuple[int, int]]
    control: int
    control_length: int

    @property
    def size(self) -> int:
        """The octets that it has room for."""
        return sum(length for _, length in self.vectors)


def read_message(call: Call, place: int) -> Message:
    """Read a struct msghdr and its vectors. EMSGSIZE: too many."""
    name, name_length, vectors, count, control, control_length, _flags = _MSGHDR.unpack(call.read(place, _MSGHDR.size))
    if count > MAX_VECTORS:
        raise Failed(errno.EMSGSIZE)
    octets = call.read(vectors, 16 * count)
    return Message(place, name, name_length, list(struct.iter_unpack("=QQ", octets)), control, control_length)
