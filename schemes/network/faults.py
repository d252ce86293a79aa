"""`network/<if>/faults`: faults that are switched on, to see what follows from them.

A write has a rule a line; each is applied by itself. `clear` ends all, `seed N` makes the random ones repeat. Rules
about the rings are the link's (`Link.faults_on_purpose`). Those here are the daemon's, so every interface shows them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import parse_number
from schemefs.net.quantities import duration_text, parse_duration
from schemefs.scheme import TextFile

if TYPE_CHECKING:
    from schemefs.driver import Link
    from schemefs.net.link_faults import LinkFaults
    from schemefs.scheme import Caller, SchemeContext

LATE_TIMER: Final = ["late", "timer"]
MUTE_EVENT: Final = ["mute", "event"]
USAGE: Final = "late timer TIME; mute event N; seed N; clear"


class FaultsFile(TextFile):
    """Readable and writable by root and the daemon's user only."""

    def __init__(self, context: SchemeContext, link: Link) -> None:
        super().__init__(mode=0o600, uid=context.uid)
        self._context = context
        self._link = link
        self._faults: LinkFaults | None = None

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the rules in force; what each has done, and rules that have ended, are comments."""
        del caller, now
        lines = [] if self._faults is None else [f"seed {self._faults.seed}", *self._faults.lines()]
        late_by = self._context.timers.late_by
        if late_by:
            lines.append(f"{' '.join(LATE_TIMER)} {duration_text(late_by)}")
        lines += self._context.muted_events.lines()
        return "".join(f"{line}\n" for line in lines).encode()

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Apply the lines in order. EACCES: the caller is not privileged. EINVAL: a line is malformed."""
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, faults.not_privileged("switch on faults"))
        for line in data.decode(errors="replace").splitlines():
            words = line.partition("#")[0].split()
            if words:
                try:
                    self._apply(words, now)
                except ValueError as error:
                    raise SchemeError(errno.EINVAL, str(error)) from None
        self.changed()

    def _apply(self, words: list[str], now: float) -> None:
        timers = self._context.timers
        own = self._own()
        if words == ["clear"]:
            timers.set_late(0.0)
            self._context.muted_events.clear()
            if own is not None:
                own.clear(now)
        elif words[:2] == LATE_TIMER:
            timers.set_late(parse_duration(" ".join(words[2:])))
        elif words[:2] == MUTE_EVENT:
            self._context.muted_events.switch_on(parse_number(" ".join(words[2:]), 1, 0xFFFF))
        elif words[0] == "seed" and own is not None:
            own.set_seed(parse_number(" ".join(words[1:]), 0, 0xFFFFFFFF))
        elif own is None or not own.switch_on(words, now):
            usage = USAGE if own is None else f"{own.usage}; {USAGE}"
            message = f"{' '.join(words)!r} is not a fault of {self._link.name}; the rules are: {usage}"
            raise ValueError(message)

    def _own(self) -> LinkFaults | None:
        if self._faults is None:
            self._faults = self._link.faults_on_purpose(self._context.random.getrandbits(32))
        return self._faults
