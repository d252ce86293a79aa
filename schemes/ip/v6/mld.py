"""The multicast groups of one interface, and MLD version 2 with its fallback to version 1: RFC 3810 as a listener.

join, leave ──> report of the change at once, and again as often as routers ask for
query       ──> report of the state after a random time
query of version 1 ──> version 1 until its router has been silent for long enough (§8.2.1, §8.3.1)

All memberships are for any source, so a report has no source lists: a query for some sources is answered as one for the
group is. A group of interface-local scope and the one of all nodes are never reported (§6).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from schemes.ip.v6 import mld_messages
from schemes.ip.v6.mld_messages import IS_EXCLUDE, TO_EXCLUDE, TO_INCLUDE
from schemes.ip.v6.scopes import ALL_NODES, ALL_ROUTERS, LINK_LOCAL

if TYPE_CHECKING:
    import random

    from schemefs.timers import Timer, Timers
    from schemes.ip.v6.mld_messages import Query

UNSOLICITED_INTERVAL: Final = 1.0  # seconds, RFC 3810 §9.11
UNSOLICITED_INTERVAL_V1: Final = 10.0  # seconds, RFC 2710 §7.10
OLDER_QUERIER_TIME: Final = 2 * 125.0 + 10.0  # seconds, RFC 3810 §9.12 with its defaults
ANSWER_PAUSE: Final = 0.2  # seconds between two answers: queries without a delay must not cause as many reports
RECORDS_PER_REPORT: Final = (1280 - 40 - 8 - 8) // mld_messages.RECORD_LENGTH
DEFAULT_ROBUSTNESS: Final = 2  # RFC 3810 §9.1


class MldLink(Protocol):
    """What the engine needs of its interface."""

    name: str
    timers: Timers
    random: random.Random

    def send_mld(self, message: bytes, destination: bytes, now: float) -> None:
        """Send a message with hop limit 1 and the router alert option, from a link-local address or `::` (§5)."""

    def groups_changed(self) -> None:
        """Accept the datagrams of another set of groups."""


class _Membership:
    __slots__ = (
        "count",  # joins without a leave
        "timer",  # when an answer to a query for this group, or in version 1 a repeated report, is due
    )

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self.count = 0


class Mld:
    """The memberships of one interface."""

    __slots__ = (
        "_answer",  # when the answer to a general query is due
        "_answered_at",  # when a report of the state was sent last, seconds
        "_changes",  # group -> (record type, how often it is still to be sent)
        "_link",
        "_older_until",  # version 1 is spoken until then, seconds
        "_repeat",  # when `_changes` are sent next
        "_robustness",
        "groups",  # group -> its membership
    )

    def __init__(self, link: MldLink) -> None:
        self._link = link
        timers = link.timers
        self.groups: dict[bytes, _Membership] = {}
        self._changes: dict[bytes, tuple[int, int]] = {}
        self._robustness = DEFAULT_ROBUSTNESS
        self._older_until = -math.inf
        self._answered_at = -math.inf
        self._answer = timers.timer(self._answer_general, f"answer to a query of groups on {link.name}")
        self._repeat = timers.timer(self._send_changes, f"changes of groups on {link.name}")

    def version(self, now: float) -> int:
        """Return the version that is spoken."""
        return 1 if now < self._older_until else 2

    def join(self, group: bytes, now: float) -> None:
        """Receive the datagrams to *group*, and report it to routers and switches."""
        member = self.groups.get(group)
        if member is None:
            timer = self._link.timers.timer(lambda now: self._answer_group(group, now), "a group")
            member = self.groups[group] = _Membership(timer)
            self._link.groups_changed()
            self._report_change(group, TO_EXCLUDE, now)
        member.count += 1

    def leave(self, group: bytes, now: float) -> None:
        """Undo one `join`; harmless when there is none."""
        member = self.groups.get(group)
        if member is None:
            return
        member.count -= 1
        if not member.count:
            member.timer.clear()
            del self.groups[group]
            self._link.groups_changed()
            self._report_change(group, TO_INCLUDE, now)

    def start(self, now: float) -> None:
        """Report all groups: the interface came up, or its link-local address is in use (RFC 3590 §4)."""
        for group in self.groups:
            self._report_change(group, TO_EXCLUDE, now)

    def stop(self) -> None:
        """Send nothing more: the interface went down. The memberships stay."""
        self._change_version()
        self._older_until = -math.inf
        self._robustness = DEFAULT_ROBUSTNESS

    def receive_query(self, query: Query, now: float) -> None:
        """Answer a checked query within its time (§6.2)."""
        if query.version == 1:
            if self.version(now) != 1:
                self._change_version()
            self._older_until = now + OLDER_QUERIER_TIME
        self._robustness = query.robustness
        if self.version(now) == 2:
            deadline = self._deadline(query, now)
            if deadline < self._answer.deadline:  # otherwise that answer has the group too
                if any(query.group):
                    self._arm(query.group, deadline)
                else:
                    self._answer.set(deadline)
            return
        for group in (query.group,) if any(query.group) else self.groups:
            # Each group has its own time, so that the report of another listener suppresses it (RFC 2710 §4).
            self._arm(group, self._deadline(query, now))

    def receive_report_v1(self, group: bytes, now: float) -> None:
        """Do not report a group that another host has just reported (RFC 2710 §4)."""
        if self.version(now) == 1 and group in self.groups:
            self.groups[group].timer.clear()

    def _deadline(self, query: Query, now: float) -> float:
        return max(now + self._link.random.uniform(0, query.response_delay), self._answered_at + ANSWER_PAUSE)

    def _arm(self, group: bytes, deadline: float) -> None:
        member = self.groups.get(group)
        if member is not None and is_reported(group) and deadline < member.timer.deadline:
            member.timer.set(deadline)

    def _change_version(self) -> None:
        """Forget what is pending (§8.2.1)."""
        self._answer.clear()
        self._repeat.clear()
        self._changes.clear()
        for member in self.groups.values():
            member.timer.clear()

    def _report_change(self, group: bytes, kind: int, now: float) -> None:
        if not is_reported(group):
            return
        if self.version(now) == 1:
            if kind == TO_INCLUDE:
                self._link.send_mld(mld_messages.build_v1(mld_messages.DONE, group), ALL_ROUTERS, now)
            else:
                self._link.send_mld(mld_messages.build_v1(mld_messages.REPORT_V1, group), group, now)
                self._arm(group, now + self._link.random.uniform(0, UNSOLICITED_INTERVAL_V1))
            return
        self._changes.pop(group, None)  # a change back replaces the first one (§6.1)
        self._send_records([(kind, group)], now)
        if self._robustness > 1:
            self._changes[group] = (kind, self._robustness - 1)
            self._arm_repeat(now)

    def _arm_repeat(self, now: float) -> None:
        deadline = now + self._link.random.uniform(0, UNSOLICITED_INTERVAL)
        if deadline < self._repeat.deadline:
            self._repeat.set(deadline)

    def _send_changes(self, now: float) -> None:
        self._send_records([(kind, group) for group, (kind, _) in self._changes.items()], now)
        self._changes = {group: (kind, left - 1) for group, (kind, left) in self._changes.items() if left > 1}
        if self._changes:
            self._arm_repeat(now)

    def _answer_general(self, now: float) -> None:
        self._answered_at = now
        for member in self.groups.values():
            member.timer.clear()  # §6.3: this answer has them all
        self._send_records([(IS_EXCLUDE, group) for group in self.groups if is_reported(group)], now)

    def _answer_group(self, group: bytes, now: float) -> None:
        self._answered_at = now
        if self.version(now) == 1:
            self._link.send_mld(mld_messages.build_v1(mld_messages.REPORT_V1, group), group, now)
        else:
            self._send_records([(IS_EXCLUDE, group)], now)

    def _send_records(self, records: list[tuple[int, bytes]], now: float) -> None:
        for at in range(0, len(records), RECORDS_PER_REPORT):
            message = mld_messages.build_report(records[at : at + RECORDS_PER_REPORT])
            self._link.send_mld(message, mld_messages.ALL_ROUTERS_V2, now)


def is_reported(group: bytes) -> bool:
    """Return whether routers hear of memberships in *group* (RFC 3810 §6)."""
    return group != ALL_NODES and group[1] & 15 >= LINK_LOCAL
