"""What was answered, for as long as it holds: by TTL (RFC 1035 §3.2.1), "there is none" too (RFC 2308 §5). Bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.errors import SchemeError
    from schemes.dns.wire import Question

ENTRIES: Final = 1000
OCTETS: Final = 1 << 20  # of texts, so that a thousand long TXT records don't fill the memory
LONGEST: Final = 86_400  # seconds; a larger TTL counts as this (RFC 8767 §4 lets a cache choose)
LONGEST_NEGATIVE: Final = 10_800  # RFC 2308 §5: one to three hours work well


class Cache:
    """Answers by question; the ones not asked for longest go first."""

    __slots__ = ("_entries", "_octets")

    def __init__(self) -> None:
        self._entries: OrderedDict[Question, tuple[float, tuple[str, ...] | SchemeError]] = OrderedDict()
        self._octets = 0

    def get(self, question: Question, now: float) -> tuple[str, ...] | SchemeError | None:
        """Return what is known and still holds."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        expires, answer = entry
        if expires <= now:
            self._remove(question)
            return None
        self._entries.move_to_end(question)
        return answer

    def put(self, question: Question, answer: tuple[str, ...] | SchemeError, ttl: float, now: float) -> None:
        """Keep *answer* for *ttl* seconds; 0: not at all."""
        longest = LONGEST if isinstance(answer, tuple) else LONGEST_NEGATIVE
        if ttl <= 0:
            return
        self._remove(question)
        self._entries[question] = (now + min(ttl, longest), answer)
        self._octets += _cost(question, answer)
        while len(self._entries) > ENTRIES or self._octets > OCTETS:
            self._remove(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything: there are other servers now."""
        self._entries.clear()
        self._octets = 0

    def rows(self, now: float) -> Iterator[tuple[Question, float, tuple[str, ...] | SchemeError]]:
        """Yield what holds still, with the seconds that are left of it."""
        for question, (expires, answer) in self._entries.items():
            if expires > now:
                yield question, expires - now, answer

    def __len__(self) -> int:
        """How many answers are kept, stale ones included."""
        return len(self._entries)

    def _remove(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._octets -= _cost(question, entry[1])


def _cost(question: Question, answer: tuple[str, ...] | SchemeError) -> int:
    texts = answer if isinstance(answer, tuple) else (answer.sentence,)
    return len(question.name) + sum(map(len, texts))
