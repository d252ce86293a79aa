"""The story of one conversation: a record of what happened, in the order of time, whatever it was read from.

    Story ── Segment    what was on the wire, in both directions
          ── Step       what was not: open, read, poll, a look-up, a new state, a timer, a drop, a reason to wait
          ── Metrics    the windows and the round trip after each change; none in a capture

Every time is in seconds since the conversation began. Sequence and acknowledgment numbers are relative to the first
number of their direction: each side's SYN has 0, and its first octet of text 1. Values only: readers fill it in, and
what draws it imports nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Side = Literal["app", "stack", "link"]
"""Where a step happened: in the program (a call on a file), in the protocol, or in the link and its neighbors."""

AGAIN: Final = "again"
PROBE: Final = "probe"
DROPPED: Final = "dropped"
DIFFERS: Final = "differs"


class StoryError(Exception):
    """A record that can't be read: one sentence, with the place."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment, or one super-segment, as it left or arrived."""

    time: float
    outgoing: bool
    flags: str  # as tcpdump writes them: "S", "S.", "P.", "F.", "R", "."
    seq: int
    ack: int  # 0 without ACK
    length: int  # octets of text
    window: int  # octets, scaled
    sack: tuple[tuple[int, int], ...] = ()  # (left, right) each
    remark: str = ""  # why it was sent, or what became of it: "again: RACK", "dropped: old_timestamp"; empty: nothing

    @property
    def kind(self) -> str:
        """The word that the remark begins with: `AGAIN`, `PROBE`, `DROPPED`…; empty: there is no remark."""
        return self.remark.partition(":")[0]

    @property
    def end(self) -> int:
        """The sequence number after its text, with SYN and FIN counted (SEG.SEQ + SEG.LEN)."""
        return self.seq + self.length + ("S" in self.flags) + ("F" in self.flags)


@dataclass(frozen=True, slots=True)
class Step:
    """One event that is no segment."""

    time: float
    side: Side
    name: str  # the event's name in docs/events.md, such as "recovery:packet_lost"
    text: str  # a sentence for a reader


@dataclass(frozen=True, slots=True)
class Metrics:
    """The state of the sender at one moment. None: not known, as of most in a capture."""

    time: float
    cwnd: int | None = None  # octets, as the other sizes
    ssthresh: int | None = None  # None also while no loss has set it
    in_flight: int | None = None
    srtt: float | None = None  # seconds; None also before the first round trip
    rto: float | None = None  # seconds
    peer_window: int | None = None


Entry = Segment | Step | Metrics


@dataclass(frozen=True, slots=True)
class Story:
    """One conversation. *entries* are in the order in which they happened, also those of the same moment."""

    title: str  # "tcp/3", or the number of the conversation in a capture
    local: str  # "10.0.2.15:49152"; in a capture, the end that sent first
    remote: str
    began: float | None = None  # seconds since the epoch at time 0; None: not known
    entries: list[Entry] = field(default_factory=list)

    @property
    def segments(self) -> list[Segment]:
        """What was on the wire, in both directions."""
        return [entry for entry in self.entries if isinstance(entry, Segment)]

    @property
    def steps(self) -> list[Step]:
        """What was not: calls, states, timers, decisions."""
        return [entry for entry in self.entries if isinstance(entry, Step)]

    @property
    def metrics(self) -> list[Metrics]:
        """The windows and the round trip after each change."""
        return [entry for entry in self.entries if isinstance(entry, Metrics)]

    @property
    def lasts(self) -> float:
        """The time of the last entry."""
        return self.entries[-1].time if self.entries else 0.0
