"""The notations of registrations and events: lines for people and shells, and Redox's records for its programs.

    text     write `tcp/3 read`, `udp/0 read write`, `tcp/3 none`     read `tcp/3 read`, `tcp/4 read write error hangup`
    raw      struct Event { id, flags, data }, three native 64-bit words [redox_syscall, src/data.rs]
             id is a descriptor of the process that opened event/raw; flags: EVENT_READ 1, EVENT_WRITE 2, 0 removes

Redox's records have no bit for an error or a hang-up. There an error sets the bits of the caller's interest, because a
read or a write that fails does not block either.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.scheme import Event

if TYPE_CHECKING:
    from schemes.event.queue import Registration

WORDS: Final = {"read": Event.IN, "write": Event.OUT}
REPORTED: Final = {"read": Event.IN, "write": Event.OUT, "error": Event.ERR, "hangup": Event.HUP}
LINE_MAX: Final = 4096  # octets, far more than a path in the tree

RECORD: Final = Struct("=QQQ")
EVENT_READ: Final = 1
EVENT_WRITE: Final = 2


@dataclass(frozen=True, slots=True)
class Request:
    """One line or record: watch *name* or *descriptor* for the events in *interest*; 0: stop watching."""

    key: str
    name: str = ""
    descriptor: int = -1
    interest: int = 0
    cookie: int = 0


class Notation(ABC):
    """Parses registrations and formats events."""

    smallest_read: int = 1  # octets that a read must ask for

    @abstractmethod
    def parse(self, data: bytes) -> tuple[Request, int]:
        """Return the first registration in *data* and its length in octets. EINVAL: it is malformed.

        `LINE_MAX` + 1 octets of *data* are enough.
        """

    @abstractmethod
    def format(self, registration: Registration, events: int) -> bytes:
        """Return one event as a reader gets it."""


class Text(Notation):
    """Lines of text."""

    def parse(self, data: bytes) -> tuple[Request, int]:
        """Parse `tcp/3 read write`; the last line of a write may lack its newline."""
        line, newline, _ = data.partition(b"\n")
        try:
            name, *words = line.decode().split() if len(line) <= LINE_MAX else [""]
            interest = 0 if words == ["none"] else sum({WORDS[word] for word in words})
        except (ValueError, KeyError):
            name, words, interest = "", [], 0
        if not words:
            shown = line[:LINE_MAX].decode(errors="replace")
            raise SchemeError(
                errno.EINVAL,
                f"{shown!r} is not a registration, such as `tcp/3 read`, `udp/0 read write` or `tcp/3 none`",
            )
        name = name.strip("/")
        return Request(name, name=name, interest=interest), len(line) + len(newline)

    def format(self, registration: Registration, events: int) -> bytes:
        """Return `tcp/3 read` and a newline."""
        words = [word for word, event in REPORTED.items() if events & event]
        return f"{registration.key} {' '.join(words)}\n".encode()


class Raw(Notation):
    """Redox's records."""

    smallest_read = RECORD.size

    def parse(self, data: bytes) -> tuple[Request, int]:
        """Parse one record."""
        if len(data) < RECORD.size:
            raise SchemeError(errno.EINVAL, f"a record has {RECORD.size} octets, not {len(data)}")
        descriptor, flags, cookie = RECORD.unpack_from(data)
        if flags & ~(EVENT_READ | EVENT_WRITE):
            raise SchemeError(errno.EINVAL, f"flags {flags:#x} are not supported; EVENT_READ 1 and EVENT_WRITE 2 are")
        interest = (Event.IN if flags & EVENT_READ else 0) | (Event.OUT if flags & EVENT_WRITE else 0)
        return Request(str(descriptor), descriptor=descriptor, interest=interest, cookie=cookie), RECORD.size

    def format(self, registration: Registration, events: int) -> bytes:
        """Return one record; an error sets the bits of the interest."""
        if events & (Event.ERR | Event.HUP):
            events |= registration.interest
        flags = (EVENT_READ if events & Event.IN else 0) | (EVENT_WRITE if events & Event.OUT else 0)
        return RECORD.pack(int(registration.key), flags, registration.cookie)
