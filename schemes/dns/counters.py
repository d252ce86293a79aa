"""The counters of `dns/stats`, in the order in which the file shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

_DROPS = ("short", "wrong_id", "not_a_response", "malformed", "wrong_question")


@dataclass(slots=True)
class DnsCounters:
    """One scheme's counters."""

    questions: int = 0  # opens of dns/NAME, and names in addresses
    from_hosts_file: int = 0
    from_cache: int = 0
    joined: int = 0  # the same question was pending already
    queries_sent: int = 0
    queries_by_tcp: int = 0
    replies: int = 0
    timeouts: int = 0
    not_delivered: int = 0  # an ICMP error, or no route to the server
    refused: int = 0  # responses with an error code: SERVFAIL, REFUSED…
    retried_without_edns: int = 0
    names_followed: int = 0  # CNAMEs that needed a query of their own
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_DROPS, 0))

    def rows(self) -> dict[str, int]:
        """Return all counters by name; drops as `dropped_REASON`."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "dropped"}
        return shown | {f"dropped_{reason}": count for reason, count in self.dropped.items()}
