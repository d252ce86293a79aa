"""What one user may take of what all users of the mount share. Sans-IO.

    Share        things that a uid has at one time: look-ups, conversations, watches of event queues
    RateShare    octets that a uid sends per second: echo requests

Root and the daemon's own uid are free: a mount of one user has no bounds but those of the machine. The refusal is a
SchemeError whose sentence says how many are allowed. Readers of callers' files have a share too, which is waited for
(`schemefs/fs/caller_files.py`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from schemefs.errors import SchemeError

LOOKUPS: Final = 64  # names being looked up
CONVERSATIONS: Final = 8192  # of all protocols
WATCHES: Final = 4096  # in all event queues: what closing one of them removes takes 10 ms
ERROR_READERS: Final = 64  # open files of icmp/errors and icmp/udp: each ICMP error adds a line to each of them
ECHO_OCTETS: Final = 2_000_000  # per second: 30 requests of the largest size, or 1,900 of the smallest
ECHO_OVERHEAD: Final = 1000  # octets: sending a small request takes as long as so many octets of a large one


class Share:
    """How many things of one kind each uid has. *what* names them in the refusal: `uid 1000 has 64 look-ups …`."""

    __slots__ = ("_errno", "_free", "_taken", "_what", "limit")

    def __init__(self, limit: int, what: str, number: int, free: frozenset[int]) -> None:
        self.limit = limit
        self._what = what
        self._errno = number
        self._free = free
        self._taken: dict[int, int] = {}  # uid -> count, never 0

    def require(self, uid: int) -> None:
        """Raise SchemeError if *uid* may have no more."""
        if uid not in self._free and self._taken.get(uid, 0) >= self.limit:
            raise SchemeError(self._errno, f"uid {uid} has {self.limit} {self._what}; no more are allowed")

    def take(self, uid: int) -> None:
        """Count one more of *uid*. SchemeError: it may have no more."""
        self.require(uid)
        if uid not in self._free:
            self._taken[uid] = self._taken.get(uid, 0) + 1

    def give_back(self, uid: int) -> None:
        """Count one less."""
        if uid not in self._free:
            left = self._taken[uid] - 1
            if left:
                self._taken[uid] = left
            else:
                del self._taken[uid]

    def taken(self, uid: int) -> int:
        """Return how many *uid* has; 0 of a free uid, which is not counted."""
        return self._taken.get(uid, 0)


class RateShare:
    """Octets per second for each uid. What exceeds them waits for its turn, in the order of the reservations."""

    __slots__ = ("_free", "_turns", "rate")

    def __init__(self, rate: int, free: frozenset[int]) -> None:
        self.rate = rate
        self._free = free
        self._turns: dict[int, float] = {}  # uid -> when all that was reserved has been sent

    def reserve(self, uid: int, octets: int, now: float) -> float:
        """Return how many seconds to wait before sending *octets*; 0: send them now."""
        if uid in self._free:
            return 0.0
        turn = max(self._turns.get(uid, 0.0), now)
        if uid not in self._turns:
            self._turns = {other: at for other, at in self._turns.items() if at > now}
        self._turns[uid] = turn + octets / self.rate
        return turn - now

    def wait(self, uid: int, now: float) -> float:
        """Return how many seconds a reservation made now would wait."""
        return max(self._turns.get(uid, 0.0) - now, 0.0)


UNBOUNDED: Final = RateShare(1, frozenset((0,)))
"""For engines without a mount, whose only user is root."""


class Shares:
    """All shares of a mount. *free*: uids without bounds."""

    def __init__(self, free: Iterable[int] = (0,)) -> None:
        uids = frozenset(free)
        self.lookups = Share(LOOKUPS, "look-ups under way", errno.ENOBUFS, uids)
        self.conversations = Share(CONVERSATIONS, "conversations", errno.EMFILE, uids)
        self.watches = Share(WATCHES, "watches in event queues", errno.ENOSPC, uids)
        self.error_readers = Share(ERROR_READERS, "open files of ICMP errors", errno.EMFILE, uids)
        self.echoes = RateShare(ECHO_OCTETS, uids)
