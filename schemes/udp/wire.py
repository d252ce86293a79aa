"""The UDP header on the wire (RFC 768).

 0      7 8     15 16    23 24    31
+--------+--------+--------+--------+
|     Source      |   Destination   |
+--------+--------+--------+--------+
|     Length      |    Checksum     |   0: the sender computed none
+--------+--------+--------+--------+
"""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER: Final = Struct(">HHHH")
HEADER_LENGTH: Final = 8
CHECKSUM_OFFSET: Final = 6
