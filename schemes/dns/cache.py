"""A bounded cache of answers, kept for their TTL (RFC 1035 §3.2.1); negative answers too (RFC 2308 §5)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.errors import SchemeError
    from schemes.dns.wire import Question

MAX_ENTRIES: Final = 1000
MAX_OCTETS: Final = 1 << 20  # names and texts together: a thousand long TXT records could be 64 MB
MAX_TTL: Final = 86_400  # seconds; RFC 8767 §4 lets a cache cap the TTL
MAX_NEGATIVE_TTL: Final = 10_800  # seconds; RFC 2308 §5 recommends one to three hours


class Cache:
    """Answers by question. A full cache drops the least recently used entry."""

    __slots__ = ("_entries", "_octets")

    def __init__(self) -> None:
        self._entries: OrderedDict[Question, tuple[float, tuple[str, ...] | SchemeError]] = OrderedDict()
        self._octets = 0

    def get(self, question: Question, now: float) -> tuple[str, ...] | SchemeError | None:
        """Return the cached answer; None: none, or its TTL has expired."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        expires, answer = entry
        if expires <= now:
            self._remove(question)
            return None
        self._entries.move_to_end(question)
        return answer

    def next(self, question: Question, now: float) -> tuple[str, ...] | SchemeError | None:
        """Return `get`'s answer; the next call has the addresses rotated by one, to share the load (RFC 1794)."""
        answer = self.get(question, now)
        if isinstance(answer, tuple) and len(answer) > 1 and question.type in ("A", "AAAA"):
            self._entries[question] = (self._entries[question][0], (*answer[1:], answer[0]))
        return answer

    def seconds_left(self, question: Question, now: float) -> float:
        """Return for how long the answer to *question* stays; 0: it is not cached."""
        entry = self._entries.get(question)
        return max(entry[0] - now, 0.0) if entry is not None else 0.0

    def put(self, question: Question, answer: tuple[str, ...] | SchemeError, ttl: float, now: float) -> None:
        """Keep *answer* for *ttl* seconds; 0: do not keep it."""
        limit = MAX_TTL if isinstance(answer, tuple) else MAX_NEGATIVE_TTL
        if ttl <= 0:
            return
        self._remove(question)
        self._entries[question] = (now + min(ttl, limit), answer)
        self._octets += _cost(question, answer)
        while len(self._entries) > MAX_ENTRIES or self._octets > MAX_OCTETS:
            self._remove(next(iter(self._entries)))

    def clear(self) -> None:
        """Drop all entries, after a change of the name servers."""
        self._entries.clear()
        self._octets = 0

    def rows(self, now: float) -> Iterator[tuple[Question, float, tuple[str, ...] | SchemeError]]:
        """Yield question, remaining seconds and answer of each entry that has not expired."""
        for question, (expires, answer) in self._entries.items():
            if expires > now:
                yield question, expires - now, answer

    def __len__(self) -> int:
        """Count the entries, expired ones included."""
        return len(self._entries)

    def _remove(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._octets -= _cost(question, entry[1])


def _cost(question: Question, answer: tuple[str, ...] | SchemeError) -> int:
    texts = answer if isinstance(answer, tuple) else (answer.sentence,)
    return len(question.name) + sum(map(len, texts))
