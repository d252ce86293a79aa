"""How many octets all buffers of a mount hold together, and how many one user's hold. Sans-IO.

    a buffer ── put, taken ──> Account of its uid ── each STEP octets ──> HeldOctets: the sum, and what each may hold

The marks are those of Linux's tcp_mem, in parts of a limit:

    1/2    receive buffers grow no more
    3/4    writes wait
    7/8    windows are not opened further, so that peers wait
    1      what still arrives is dropped; its sender sends it again, or it is a datagram

There is one limit for the sum. One user's share is a quarter of it; root and the daemon's user have no share. A user
beyond a mark of its share may put nothing more. When the sum is beyond a mark, each buffer of a user that is within its
share may still hold FLOOR octets: so it goes on, slowly, while others hold the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

DEFAULT_LIMIT: Final = 512 << 20  # octets
SMALLEST_LIMIT: Final = 16 << 20
SHARES: Final = 4  # a user's share is the limit divided by this
FLOOR: Final = 16 << 10  # octets of one buffer
STEP: Final = 256 << 10  # octets by which an account changes until the sum is looked at; less with a small limit
UNBOUNDED: Final = 1 << 62

_UNITS: Final = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10}

GROWING, SETTLED, WAITING, CLOSED, FULL = range(5)


def parse_limit(text: str) -> int:
    """Return the octets that `512M`, `1G` or a plain number stands for. ValueError: none of these, or too little."""
    digits, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 15):
        message = f"{text!r} is not a size such as 512M or 1G"
        raise ValueError(message)
    if int(digits) * unit < SMALLEST_LIMIT:
        message = f"{text} is too little; at least {limit_text(SMALLEST_LIMIT)} is needed"
        raise ValueError(message)
    return int(digits) * unit


def limit_text(octets: int) -> str:
    """Return the shortest text for `parse_limit`."""
    for unit, size in _UNITS.items():
        if not octets % size:
            return f"{octets // size}{unit}"
    return str(octets)


def _level(held: int, limit: int) -> int:
    """Return which mark *held* has reached."""
    eighths = held * 8
    if eighths < limit * 6:
        return SETTLED if eighths >= limit * 4 else GROWING
    if eighths < limit * 7:
        return WAITING
    return CLOSED if eighths < limit * 8 else FULL


class Account:
    """What the buffers of one uid hold, and what each of them may hold. `HeldOctets.account` makes it."""

    __slots__ = (
        "_high",  # the next look at the sum is due when `held` is above this
        "_low",  # or below this
        "_whole",
        "arrival_room",  # octets up to which a buffer takes what arrives
        "held",  # octets
        "may_grow",  # whether receive buffers may grow
        "receive_room",  # octets up to which a receive buffer offers a window
        "refused",  # what wants more -> called when there is more room, in the middle of anything
        "send_room",  # octets up to which a send buffer takes a write
        "settled",  # `held` at the last look
        "share",  # octets
    )

    def __init__(self, whole: HeldOctets, share: int) -> None:
        self._whole = whole
        self.share = share
        self.held = self.settled = 0
        self.may_grow = True
        self.send_room = self.receive_room = self.arrival_room = UNBOUNDED
        self.refused: dict[object, Callable[[], None]] = {}
        self.set_marks()

    def set_marks(self) -> None:
        """Note when the next look at the sum is due."""
        step = self._whole.step
        self._high = self.held + step
        self._low = self.held - step

    def put(self, octets: int) -> None:
        """A buffer holds so many more."""
        self.held += octets
        if self.held > self._high:
            self._whole.settle(self)

    def taken(self, octets: int) -> None:
        """A buffer holds so many less."""
        self.held -= octets
        if self.held < self._low:
            self._whole.settle(self)

    def allow(self, level_of_sum: int) -> None:
        """Update what each buffer may hold, and tell those that were refused of more room."""
        own = _level(self.held, self.share)
        before = self.send_room, self.receive_room
        self.may_grow = own < SETTLED > level_of_sum
        self.send_room = _room(own, level_of_sum, WAITING)
        self.receive_room = _room(own, level_of_sum, CLOSED)
        self.arrival_room = _room(own, level_of_sum, FULL)
        if self.refused and (self.send_room > before[0] or self.receive_room > before[1]):
            refused, self.refused = self.refused, {}
            for relieved in refused.values():
                relieved()


def _room(own: int, level_of_sum: int, mark: int) -> int:
    if own >= mark:
        return 0
    return FLOOR if level_of_sum >= mark else UNBOUNDED


class HeldOctets:
    """The sum over all accounts. *free*: uids without a share."""

    def __init__(self, limit: int = DEFAULT_LIMIT, free: Iterable[int] = (0,)) -> None:
        self.limit = limit
        self.held = 0  # at the last look at each account
        self.level = GROWING
        self.step = 0
        self._free = frozenset(free)
        self._accounts: dict[int, Account] = {}
        self.set_limit(limit)

    def set_limit(self, limit: int) -> None:
        """Replace the limit, in octets."""
        self.limit = limit
        self.step = min(STEP, limit // (16 * SHARES))
        for uid, account in self._accounts.items():
            account.share = self._share_of(uid)
            account.set_marks()
        self._look()

    def account(self, uid: int) -> Account:
        """Return the account of *uid*, which is always the same."""
        account = self._accounts.get(uid)
        if account is None:
            account = self._accounts[uid] = Account(self, self._share_of(uid))
            account.allow(self.level)
        return account

    def _share_of(self, uid: int) -> int:
        return UNBOUNDED if uid in self._free else self.limit // SHARES

    def settle(self, account: Account) -> None:
        """Add to the sum what *account* has changed by, and update what its buffers may hold, and all others'."""
        self.held += account.held - account.settled
        account.settled = account.held
        account.set_marks()
        level = _level(self.held, self.limit)
        if level != self.level:
            self._look()
        else:
            account.allow(level)

    def _look(self) -> None:
        self.level = _level(self.held, self.limit)
        for account in self._accounts.values():
            account.allow(self.level)


NO_ACCOUNT: Final = HeldOctets(UNBOUNDED).account(0)
"""For buffers that belong to no user: engines by themselves, tests."""
