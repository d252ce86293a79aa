"""One option of a driver. A driver declares a table of them once, and every way to give an option reads it.

    DriverOption("offload", one_of("on", "off", "auto"), "Checksums left to the kernel.", default="auto")

    schemefs mount DIR --offload auto       `_` in a name is `-` here; a flag has no value
    [interface.eth0] offload = "auto"       a flag is true or false
    echo 'tap offload auto' >ifaces/add     a flag is on or off; an option named as its driver needs no key: tap lab1
    DriverContext.options["offload"]        what the parser has returned; of a flag: True or False

Sans-IO, and nothing here imports an event loop: `schemefs mount` reads tables before it forks.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

RESERVED: Final = frozenset(
    {"driver", "options", "address", "addresses", "mtu", "dhcp", "mac", "state", "neighbors", "impair"}
    | {"directory", "foreground", "gateway", "nameserver", "memory", "config", "config_file", "private", "allow_other"}
    | {"log_level", "log_file", "pid_file", "record_events", "help", "scheme", "scheme_files", "ra", "advertise"}
)
"""Words of every interface and of the mount command itself, which no table may use."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
_WORD: Final = re.compile(r"--([a-z][a-z0-9-]*[a-z0-9])", re.ASCII)
_SWITCH: Final = {"on": True, "off": False}


def _shown(value: object) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class DriverOption:
    """One option. Values that mean the same compare equal: a change of one is another device."""

    name: str  # lower-case words joined by _
    parse: Callable[
        [str], object
    ]  # of a flag: never called. ValueError with a sentence: what is wrong, what is allowed
    help: str  # one sentence for `schemefs mount --help`
    default: str = ""  # as a text for `parse`, where %d is the interface's number (eth1: 1); empty: the value is None
    metavar: str = "TEXT"
    completion: str | Sequence[str] = ""  # "file", "directory", or the words that a shell offers
    is_flag: bool = False  # takes no value; its default is False
    # The address at the other end of the link (an IPv4Interface, or None). `schemefs mount` takes the neighbor of
    # --address when it is left out; the default route leads there unless --gateway says another place.
    is_peer: bool = False
    is_peer6: bool = False  # the same of IPv6 (an IPv6Interface, or None); the mount then has IPv6 by default
    overrides_file: bool = False  # may be given beside --config: it then replaces what the file says
    show: Callable[[object], str] = _shown  # a text that `parse` reads back; empty: files and lists leave it out

    @property
    def word(self) -> str:
        """How the command line spells it."""
        return f"--{self.name.replace('_', '-')}"

    def read(self, given: str | bool) -> object:
        """Return the value of what was given. ValueError with a sentence."""
        return given if isinstance(given, bool) else self.parse(given)

    def default_on(self, interface: str) -> object:
        """Return the value where none is given for *interface*, such as eth1."""
        if self.is_flag:
            return False
        return self.parse(self.default.replace("%d", interface.removeprefix("eth"))) if self.default else None


@dataclass(frozen=True, slots=True)
class AsDefault:
    """How a driver takes part in the choice of `schemefs mount` without --driver: its module's `AS_DEFAULT`."""

    rank: int  # of the drivers that can be had, the one with the lowest is taken
    obstacle: Callable[[], str]  # why this user can't have it here, as a clause with the remedy; empty: nothing does


def as_keys(sentence: str, table: Table) -> str:
    """Return *sentence* with keys in the place of the command line's words: `host_address` for `--host-address`.

    The sentences of drivers have words. A configuration file and a line of `ifaces/add` have keys.
    """
    names = {*RESERVED, *(option.name for option in table or ())}
    return _WORD.sub(lambda found: key if (key := found[1].replace("-", "_")) in names else found[0], sentence)


def deferred_class(package: str, name: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a driver's package (PEP 562): *name* is imported from its module `driver` when used.

    So the tables of all drivers can be read without an event loop. AttributeError: another name.
    """

    def load(wanted: str) -> object:
        if wanted != name:
            message = f"module {package!r} has no attribute {wanted!r}"
            raise AttributeError(message)
        loaded: object = getattr(importlib.import_module(f"{package}.driver"), name)
        return loaded

    return load


Table = Sequence[DriverOption] | None
"""The options of one driver. None: it declares none, takes any texts, and gets them unread."""

Tables = Mapping[str, Table]
"""By the driver's name."""


class OptionValueError(ValueError):
    """A bad value; `option` is the name."""

    def __init__(self, option: str, sentence: str) -> None:
        super().__init__(sentence)
        self.option = option


def read_options(table: Table, interface: str, given: Mapping[str, str | bool]) -> dict[str, object]:
    """Return a value for each option of *table*. OptionValueError: a value is bad, or *given* has an unknown name."""
    if table is None:
        return dict(given)
    values: dict[str, object] = {}
    for option in table:
        try:
            has_it = option.name in given
            values[option.name] = option.read(given[option.name]) if has_it else option.default_on(interface)
        except ValueError as error:
            raise OptionValueError(option.name, str(error)) from None
    for name in given:
        if name not in values:
            raise OptionValueError(name, f"is not an option of this driver; there are: {', '.join(values) or 'none'}")
    return values


def with_defaults(table: Table, interface: str, values: Mapping[str, object]) -> dict[str, object]:
    """Return *values*, and the default of each option that is not among them."""
    missing = [option for option in table or () if option.name not in values]
    return {**{option.name: option.default_on(interface) for option in missing}, **values}


def option_texts(table: Table, values: Mapping[str, object]) -> dict[str, str | bool]:
    """Return what `read_options` reads *values* from, in the table's order. What is left out is its default."""
    if table is None:
        return {name: str(value) for name, value in values.items()}
    texts: dict[str, str | bool] = {}
    for option in table:
        if option.is_flag:
            if values.get(option.name):
                texts[option.name] = True
        elif option.name in values and (text := option.show(values[option.name])):
            texts[option.name] = text
    return texts


def option_named(table: Table, name: str) -> DriverOption | None:
    """Return the option of that name; None: there is none, or the driver declares no table."""
    return next((option for option in table or () if option.name == name), None)


def table_faults(tables: Mapping[str, object]) -> dict[str, str]:
    """Return, by driver, why its table can't be used. Of two that contradict each other, the later one is at fault."""
    faults: dict[str, str] = {}
    flags: dict[str, tuple[bool, str]] = {}
    for driver, table in tables.items():
        if table is None:
            continue
        if not isinstance(table, Sequence) or not all(isinstance(option, DriverOption) for option in table):
            faults[driver] = "its options are no sequence of DriverOption"
            continue
        names = [option.name for option in table]
        for option in table:
            fault = _fault(option, names, *flags.get(option.name, (option.is_flag, "")))
            if fault:
                faults[driver] = fault
        if driver not in faults:
            flags |= {option.name: (option.is_flag, driver) for option in table if option.name not in flags}
    return faults


def _fault(option: DriverOption, names: list[str], is_flag: bool, other: str) -> str:
    if not _NAME.fullmatch(option.name):
        return f"its option {option.name!r} is no name: lower-case words joined by '_' are"
    if option.name in RESERVED:
        return f"its option {option.name!r} is a word of every mount or interface: another name is needed"
    if names.count(option.name) > 1:
        return f"its option {option.name!r} is declared twice: once is allowed"
    if is_flag != option.is_flag:
        return f"its option {option.word} contradicts that of {other}: one takes a value, the other does not"
    try:
        option.default_on("eth0")
    except ValueError as error:
        return f"the default of its option {option.name!r} is bad: {error}"
    return ""


def switch(text: str) -> bool:
    """Return a flag's value."""
    if text not in _SWITCH:
        message = f"{text!r} is neither on nor off"
        raise ValueError(message)
    return _SWITCH[text]


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that takes only these words."""

    def parse(text: str) -> str:
        if text not in words:
            message = f"{text!r} is not one of: {', '.join(words)}"
            raise ValueError(message)
        return text

    return parse
