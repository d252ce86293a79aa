"""How `schemefs ping` prints a ping: in Redox's lines, which are those of the file, or in those of iputils' ping(8)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final, Protocol

from schemefs.tools.exit_status import show
from schemefs.tools.json_output import show_json_line
from schemefs.tools.ping_lines import Begin, Failure, PingLine, Reply, Timeout, Totals
from schemefs.tools.reverse_names import ReverseNames

_ICMP_HEADER: Final = 8
_EWMA_WEIGHT: Final = 8  # of the average so far, as in iputils


@dataclass(frozen=True, slots=True)
class PingLook:
    """What the options ask to see."""

    host: str  # as given
    quiet: bool = False  # -q: only the first and the last lines
    flood: bool = False  # -f: a dot for each probe that is not answered
    interval: float = 1.0  # seconds
    bound_to: str = ""  # -I, as given

    def dot(self, line: PingLine | None) -> str:
        """Return what -f shows of *line*: a dot, which an answer takes back; E for an error."""
        match line:
            case Reply(is_duplicate=False, is_late=False) if self.flood and not self.quiet:
                return ".\b \b"
            case Timeout() if self.flood and not self.quiet:
                return "."
            case Failure() if self.flood and not self.quiet:
                return "E"
        return ""

    def hides(self, line: PingLine | None) -> bool:
        """Return whether *line* is not shown as text."""
        return (self.quiet or self.flood) and isinstance(line, (Reply, Timeout, Failure))


class PingFormat(Protocol):
    """Prints a ping, line by line."""

    def print(self, text: str, line: PingLine | None) -> None:
        """Print a line of the file, which is given as text and as value."""


class RedoxFormat:
    """The lines as the file has them."""

    def __init__(self, look: PingLook) -> None:
        self._look = look

    def print(self, text: str, line: PingLine | None) -> None:
        """Print *text*."""
        if not self._look.hides(line):
            is_after_dots = line is None and self._look.flood
            show(f"\n{text}" if is_after_dots else text)


class JsonFormat:
    """One JSON object a line."""

    def print(self, text: str, line: PingLine | None) -> None:
        """Print *line*; the title of the statistics has no value."""
        del text
        if line is not None:
            show_json_line(line)


class IputilsFormat:
    """The lines of iputils: numbers begin with 1, the given name, the mean deviation, the time of all."""

    def __init__(self, look: PingLook, names: ReverseNames) -> None:
        self._look = look
        self._names = names
        self._began_at = self._last_at = time.monotonic()
        self._times: list[float] = []  # milliseconds
        self._ewma = 0.0  # milliseconds
        self._errors = 0
        self._size = 0  # octets of payload

    def print(self, text: str, line: PingLine | None) -> None:
        """Print *line* in iputils' words. Its time-outs have no line there; the loss counts them."""
        del text
        match line:
            case Begin():
                self._size = line.size
                show(self._begin(line))
            case Reply():
                self._note(line)
                if not self._look.hides(line):
                    show(self._reply(line))
            case Failure():
                self._last_at = time.monotonic()
                self._errors += 1
                if not self._look.hides(line):
                    reporter = self._names.both(line.reporter)
                    show(f"From {reporter} icmp_seq={line.sequence + 1} {line.sentence}")
            case Totals():
                self._print_statistics(line)

    def _begin(self, line: Begin) -> str:
        host, address = self._look.host, line.address
        bound = f" from {self._look.bound_to}:" if self._look.bound_to else ""
        if ":" in address:
            shown = address if host == address else self._names.both(address)
            return f"PING {host}({shown}){bound} {line.size} data bytes"
        return f"PING {host} ({address}){bound} {line.size}({line.length}) bytes of data."

    def _note(self, line: Reply) -> None:
        self._last_at = time.monotonic()
        self._times.append(line.time)
        first = len(self._times) == 1
        self._ewma = line.time if first else self._ewma + (line.time - self._ewma) / _EWMA_WEIGHT

    def _reply(self, line: Reply) -> str:
        size = self._size + _ICMP_HEADER
        marks = " (DUP!)" if line.is_duplicate else ""
        marks += " (payload differs)" if line.differs else ""
        address = self._names.both(line.address)
        numbers = f"icmp_seq={line.sequence + 1} ttl={line.ttl} time={_shown(line.time)} ms"
        return f"{size} bytes from {address}: {numbers}{marks}"

    def _print_statistics(self, totals: Totals) -> None:
        received = totals.received + totals.late
        loss = 100 * (totals.transmitted - received) / totals.transmitted if totals.transmitted else 0.0
        extra = f", +{totals.duplicates} duplicates" if totals.duplicates else ""
        extra += f", +{self._errors} errors" if self._errors else ""
        sent_for = max(totals.transmitted - 1, 0) * self._look.interval
        took = max(self._last_at - self._began_at, sent_for) * 1000
        show(f"\n--- {self._look.host} ping statistics ---")
        counts = f"{totals.transmitted} packets transmitted, {received} received{extra}"
        show(f"{counts}, {loss:g}% packet loss, time {took:.0f}ms")
        show(self._round_trips(totals.transmitted) if self._times else "")

    def _round_trips(self, transmitted: int) -> str:
        times = self._times
        mean = sum(times) / len(times)
        deviation = math.sqrt(max(sum(each * each for each in times) / len(times) - mean * mean, 0.0))
        line = f"rtt min/avg/max/mdev = {min(times):.3f}/{mean:.3f}/{max(times):.3f}/{deviation:.3f} ms"
        if self._look.flood and transmitted > 1:
            gap = (self._last_at - self._began_at) * 1000 / (transmitted - 1)
            line += f", ipg/ewma {gap:.3f}/{self._ewma:.3f} ms"
        return line


def _shown(milliseconds: float) -> str:
    """Return a time as iputils has it: fewer decimals the longer it is."""
    for limit, decimals in ((1.0, 3), (9.995, 2), (99.95, 1)):
        if milliseconds < limit:
            return f"{milliseconds:.{decimals}f}"
    return f"{milliseconds:.0f}"
