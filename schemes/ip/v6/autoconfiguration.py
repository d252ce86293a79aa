"""Stateless address autoconfiguration of one interface (RFC 4862 §5.5), with stable and temporary addresses.

prefix with the A flag ──> stable address (RFC 7217), and a temporary one where those are on (RFC 8981)
    preferred ── end of the preferred lifetime ──> deprecated ── end of the valid lifetime ──> removed
another host has it    ──> the next identifier, at most three times; then none in this network

The lifetimes of an address follow the prefix. A message can't end the use of an address at once: it leaves at least two
hours (§5.5.3 e), because advertisements are not authenticated. The number of addresses is bounded.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from schemefs.net.addresses import presentation
from schemes.ip.v6.interface_identifiers import random_identifier, stable_identifier
from schemes.ip.v6.nd_options import INFINITE
from schemes.ip.v6.scopes import is_link_local

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from schemefs.timers import Timers
    from schemes.ip.v6.nd_options import Prefix

log = logging.getLogger("schemefs.ip")

STABLE: Final = "stable"
TEMPORARY: Final = "temporary"

PREFIX_LENGTH: Final = 64  # RFC 2464 §4, RFC 4291 §2.5.1: with an identifier of 64 bits no other is possible
TWO_HOURS: Final = 7200.0
MAX_ADDRESSES: Final = 16  # of an interface, as Linux's max_addresses
IDENTIFIER_RETRIES: Final = 3  # IDGEN_RETRIES of RFC 7217 §7, TEMP_IDGEN_RETRIES of RFC 8981 §3.8
RETRY_DELAY: Final = 1.0  # IDGEN_DELAY of RFC 7217 §7: a random time up to this, seconds

# RFC 8981 §3.8, seconds
TEMPORARY_VALID: Final = 2 * 86400.0
TEMPORARY_PREFERRED: Final = 86400.0
MAX_DESYNC: Final = 0.4 * TEMPORARY_PREFERRED
REGENERATE_ADVANCE: Final = 2 + IDENTIFIER_RETRIES * 1.0  # with one probe of DAD a second


@dataclass(slots=True, eq=False)
class AutoconfiguredAddress:
    """An address of this engine; the times are of the daemon's clock, `math.inf`: without end."""

    address: bytes
    network: bytes  # 16 octets, the last eight zero
    origin: str  # STABLE or TEMPORARY
    created_at: float
    preferred_until: float
    valid_until: float
    attempt: int = 0  # identifiers before this one that another host has
    counter: int = 0  # DAD_Counter of RFC 7217 for the next identifier
    desync: float = 0.0  # DESYNC_FACTOR of a temporary address (RFC 8981 §3.8), seconds
    is_deprecated: bool = False  # whether new conversations should use another address (RFC 4862 §5.5.4)


class AutoconfigurationLink(Protocol):
    """What the engine needs of its interface."""

    name: str
    timers: Timers
    random: random.Random

    @property
    def mac(self) -> bytes:
        """The hardware address; a part of what distinguishes the interface from those of other hosts."""

    @property
    def stable_secret(self) -> bytes:
        """The secret key of RFC 7217: with another one, all stable addresses are others."""

    def add_autoconfigured(self, record: AutoconfiguredAddress, now: float) -> bool:
        """Use an address, after DAD; False: this host has it already."""

    def remove_autoconfigured(self, record: AutoconfiguredAddress, now: float) -> None:
        """No longer use an address."""

    def preferences_changed(self) -> None:
        """Select sources again: an address became deprecated, or is preferred again."""

    def refuse(self, reason: str) -> None:
        """Count a part of an advertisement that is not used."""


class Autoconfiguration:
    """The autoconfigured addresses of one interface."""

    __slots__ = (
        "_link",
        "_retries",  # (when, record) of addresses that another host has, and that get another identifier then
        "_temporary",
        "_timer",  # the next change of any address
        "addresses",  # address -> its record
    )

    def __init__(self, link: AutoconfigurationLink) -> None:
        self._link = link
        self._temporary = False
        self._retries: list[tuple[float, AutoconfiguredAddress]] = []
        self._timer = link.timers.timer(self._on_timer, f"autoconfiguration of {link.name}")
        self.addresses: dict[bytes, AutoconfiguredAddress] = {}

    @property
    def temporary(self) -> bool:
        """Whether each network has temporary addresses too."""
        return self._temporary

    def set_temporary(self, on: bool, now: float) -> None:
        """Form a temporary address in each network, or remove them all."""
        self._temporary = on
        if on:
            for record in tuple(self.addresses.values()):
                self._form_temporary(record, now)
        else:
            self._discard(lambda record: record.origin == TEMPORARY, now)
        self._settle(now)

    def stop(self, now: float) -> None:
        """Remove all addresses: the interface went down, or advertisements are no longer accepted."""
        self._discard(lambda _record: True, now)
        self._settle(now)

    def receive_prefix(self, prefix: Prefix, now: float) -> None:
        """Form an address from a prefix with the A flag, or change the lifetimes of those in it (RFC 4862 §5.5.3)."""
        if not prefix.autonomous or is_link_local(prefix.network):
            return
        if prefix.preferred_lifetime > prefix.valid_lifetime or prefix.length != PREFIX_LENGTH:
            self._link.refuse("bad_prefix")
            return
        valid, preferred = _seconds(prefix.valid_lifetime), _seconds(prefix.preferred_lifetime)
        records = self._in(prefix.network)
        for record in records:
            _refresh(record, preferred, valid, now)
            self._form_temporary(record, now)
        if not records and valid:
            self._form(prefix.network, STABLE, now + preferred, now + valid, now)
        self._settle(now)

    def receive_duplicate(self, address: bytes, now: float) -> bool:
        """Replace an address that DAD has found at another host; False: it is not one of this engine."""
        record = self.addresses.get(address)
        if record is None:
            return False
        self._remove(record, now)
        log.warning("%s on %s is in use by another host", presentation(address), self._link.name)
        if record.attempt < IDENTIFIER_RETRIES:
            record.attempt += 1
            self._retries.append((now + self._link.random.uniform(0, RETRY_DELAY), record))
        else:
            log.error("%s gets no %s address: other hosts have each", self._link.name, record.origin)
        self._settle(now)
        return True

    def _in(self, network: bytes) -> list[AutoconfiguredAddress]:
        records = [*self.addresses.values(), *(record for _, record in self._retries)]
        return [record for record in records if record.network == network]

    def _form(self, network: bytes, origin: str, preferred: float, valid: float, now: float) -> None:
        if len(self.addresses) + len(self._retries) >= MAX_ADDRESSES:
            self._link.refuse("too_many_addresses")
            return
        record = AutoconfiguredAddress(b"", network, origin, now, preferred, valid)
        if origin == TEMPORARY:
            record.desync = self._link.random.uniform(0, MAX_DESYNC)
            _cap(record)
            if record.preferred_until - now <= REGENERATE_ADVANCE:  # RFC 8981 §3.4 (5)
                return
        self._assign(record, now)

    def _form_temporary(self, stable: AutoconfiguredAddress, now: float) -> None:
        """Form a temporary address beside *stable*, if its network has none that stays preferred (RFC 8981 §3.4)."""
        if not self._temporary or stable.origin != STABLE or stable not in self.addresses.values():
            return
        present = (record for record in self._in(stable.network) if record.origin == TEMPORARY)
        if all(record.preferred_until - now <= REGENERATE_ADVANCE for record in present):
            self._form(stable.network, TEMPORARY, stable.preferred_until, stable.valid_until, now)

    def _assign(self, record: AutoconfiguredAddress, now: float) -> None:
        """Give *record* its next identifier, and use the address; one that this host has already is passed over."""
        link = self._link
        for _ in range(IDENTIFIER_RETRIES + 1):
            if record.origin == TEMPORARY:
                identifier = random_identifier(link.random)
            else:
                interface = link.name.encode() + link.mac
                identifier, record.counter = stable_identifier(
                    record.network, interface, record.counter, link.stable_secret
                )
            record.address = record.network[:8] + identifier
            self.addresses[record.address] = record
            if link.add_autoconfigured(record, now):
                if record.origin == STABLE:
                    self._form_temporary(record, now)
                return
            del self.addresses[record.address]

    def _remove(self, record: AutoconfiguredAddress, now: float) -> None:
        del self.addresses[record.address]
        self._link.remove_autoconfigured(record, now)

    def _discard(self, matches: Callable[[AutoconfiguredAddress], bool], now: float) -> None:
        self._retries = [entry for entry in self._retries if not matches(entry[1])]
        for record in tuple(self.addresses.values()):
            if matches(record):
                self._remove(record, now)

    def _on_timer(self, now: float) -> None:
        self._discard(lambda record: record.valid_until <= now, now)
        due = [record for when, record in self._retries if when <= now]
        self._retries = [entry for entry in self._retries if entry[0] > now]
        for record in due:
            self._assign(record, now)
        for record in tuple(self.addresses.values()):
            self._form_temporary(record, now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Arm the timer for what happens next."""
        turned = [each for each in self.addresses.values() if each.is_deprecated != (each.preferred_until <= now)]
        for record in turned:
            record.is_deprecated = not record.is_deprecated
        if turned:
            self._link.preferences_changed()
        moments = [when for when, _ in self._retries]
        for record in self.addresses.values():
            moments += (record.preferred_until, record.valid_until)
            if record.origin == TEMPORARY:
                moments.append(record.preferred_until - REGENERATE_ADVANCE)
        self._timer.set(min((moment for moment in moments if moment > now), default=math.inf))


def _seconds(lifetime: int) -> float:
    return math.inf if lifetime == INFINITE else float(lifetime)


def _refresh(record: AutoconfiguredAddress, preferred: float, valid: float, now: float) -> None:
    """Change the lifetimes as RFC 4862 §5.5.3 (e) says; a temporary address has its own limits (RFC 8981 §3.4 (2))."""
    record.preferred_until = now + preferred
    if valid > TWO_HOURS or now + valid > record.valid_until:
        record.valid_until = now + valid
    elif record.valid_until - now > TWO_HOURS:
        record.valid_until = now + TWO_HOURS
    if record.origin == TEMPORARY:
        _cap(record)


def _cap(record: AutoconfiguredAddress) -> None:
    record.preferred_until = min(record.preferred_until, record.created_at + TEMPORARY_PREFERRED - record.desync)
    record.valid_until = min(record.valid_until, record.created_at + TEMPORARY_VALID)
