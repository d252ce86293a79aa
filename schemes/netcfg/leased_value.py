"""A value of `schemefs.names` that leases replace: the name servers, or the search list.

The latest lease wins. The end of the last one puts back what was configured, and what was written by hand meanwhile
stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from schemefs.names import Names

Item = TypeVar("Item", bytes, str)


class LeasedValue(Generic[Item]):
    """One attribute of Names, with the values of the leases beside the configured one."""

    def __init__(self, names: Names, attribute: Literal["nameservers", "search"]) -> None:
        self._names = names
        self._attribute = attribute
        self._by_interface: dict[str, tuple[Item, ...]] = {}  # the latest lease last
        self._configured: tuple[Item, ...] = ()
        self._from_lease: tuple[Item, ...] = ()  # what was put in force

    @property
    def configured(self) -> tuple[Item, ...]:
        """The value without those of leases."""
        value: tuple[Item, ...] = getattr(self._names, self._attribute)
        return self._configured if self._by_interface and value == self._from_lease else value

    def put(self, interface: str, value: tuple[Item, ...]) -> None:
        """Take the value of the interface's lease; empty: the lease has none, or is over."""
        self._configured = self.configured
        self._by_interface.pop(interface, None)
        if value:
            self._by_interface[interface] = value
        self._from_lease = next(reversed(self._by_interface.values()), self._configured)
        setattr(self._names, self._attribute, self._from_lease)
