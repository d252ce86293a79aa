"""`schemefs traceroute --live`: the trace again and again, and a table of its hops, as mtr(8) has it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemefs.tools.exit_status import show
from schemefs.tools.reverse_names import ReverseNames
from schemefs.tools.trace_lines import Hop

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS: Final = ("Loss%", "Snt", "Last", "Avg", "Best", "Wrst", "StDev")
_HOST_WIDTH: Final = 40


@dataclass(slots=True)
class HopRow:
    """What the probes of one hop have met so far."""

    number: int
    addresses: list[str] = field(default_factory=list)
    sent: int = 0
    times: list[float] = field(default_factory=list)  # milliseconds

    def add(self, hop: Hop) -> None:
        """Count the probes of one more trace."""
        self.sent += len(hop.probes)
        for answer in hop.probes:
            if answer is not None:
                self.times.append(answer.time)
                if answer.address not in self.addresses:
                    self.addresses.append(answer.address)

    def cells(self) -> tuple[str, ...]:
        """Return the values of `_COLUMNS`."""
        times = self.times
        loss = 100 * (self.sent - len(times)) / self.sent if self.sent else 0.0
        if not times:
            return f"{loss:.1f}%", str(self.sent), *("-",) * 5
        mean = sum(times) / len(times)
        deviation = math.sqrt(sum((each - mean) ** 2 for each in times) / len(times))
        numbers = (times[-1], mean, min(times), max(times), deviation)
        return f"{loss:.1f}%", str(self.sent), *(f"{number:.1f}" for number in numbers)


class LiveTrace:
    """Repeats a trace, and shows the table: on a terminal after each line, else at the end."""

    def __init__(self, trace: Callable[[], Iterable[Hop]], names: ReverseNames, title: str) -> None:
        self._trace = trace
        self._names = names
        self._title = title
        self._rows: dict[int, HopRow] = {}

    def run(self, cycles: int, interval: float) -> None:
        """Run *cycles* traces (0: no limit), one each *interval* seconds at most, or until Ctrl-C."""
        if not sys.stdout.isatty():
            self._repeat(cycles, interval, lambda: None)
            self._print()
            return
        from rich.live import Live  # noqa: PLC0415 - a slow import that only a terminal needs

        with Live(self._table(), auto_refresh=False) as live:
            self._repeat(cycles, interval, lambda: live.update(self._table(), refresh=True))

    def _repeat(self, cycles: int, interval: float, shown: Callable[[], None]) -> None:
        number = 0
        try:
            while True:
                began_at = time.monotonic()
                for hop in self._trace():
                    self._rows.setdefault(hop.number, HopRow(hop.number)).add(hop)
                    shown()
                number += 1
                if number == cycles:
                    return
                time.sleep(max(began_at + interval - time.monotonic(), 0.0))
        except KeyboardInterrupt:
            return  # the table so far

    def _cells(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [
            (f"{row.number:2d}", ", ".join(map(self._names.of, row.addresses)) or "???", row.cells())
            for row in self._rows.values()
        ]

    def _print(self) -> None:
        show(f"{self._title:<{_HOST_WIDTH + 4}} " + " ".join(f"{column:>7}" for column in _COLUMNS))
        for number, host, cells in self._cells():
            show(f"{number}. {host:<{_HOST_WIDTH}} " + " ".join(f"{cell:>7}" for cell in cells))

    def _table(self) -> Table:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(title=Text(self._title), title_justify="left", box=None)
        table.add_column("")
        table.add_column("Host")
        for column in _COLUMNS:
            table.add_column(column, justify="right")
        for number, host, cells in self._cells():
            table.add_row(number, Text(host), *cells)
        return table
