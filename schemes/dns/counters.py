"""What dns counts, in the order in which `dns/stats` shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

_DROPS = ("short", "wrong_id", "not_a_response", "malformed", "wrong_question")


@dataclass(slots=True)
class Counters:
    """One scheme's counters."""

    questions: int = 0  # asked by users, here or by a name in an address
    from_hosts_file: int = 0
    from_cache: int = 0
    joined: int = 0  # the same question was under way already
    queries_sent: int = 0
    queries_by_tcp: int = 0
    replies: int = 0
    timeouts: int = 0
    not_delivered: int = 0  # ICMP said so, or there was no way to the server
    refused: int = 0  # a server answered that it can't: SERVFAIL, REFUSED…
    retried_without_edns: int = 0
    names_followed: int = 0  # CNAMEs that had to be asked for
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_DROPS, 0))

    def rows(self) -> dict[str, int]:
        """Return everything by name."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "dropped"}
        return shown | {f"dropped_{reason}": count for reason, count in self.dropped.items()}
