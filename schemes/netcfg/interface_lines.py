"""`ifaces/{list,add,rm}`: interfaces are added and removed while the daemon runs; one line describes an interface.

    tap lab1 host_address 10.1.0.2/24 address 10.1.0.1/24 offload off
    eth3 tap lab3 mtu 1280 dhcp on
    [NAME] DRIVER [DEVICE] [KEY VALUE]…

The keys are those of `config`; `address`, which may come several times, stands for its list. An option of the driver
without a value in `config` (true) is `on` here. DEVICE is the value of the option that is named as its driver. A driver
that declares no options takes any keys. Without a NAME it is the first eth<n> that is free. A word with blanks is in
quotes, as in a shell. A line of `list` can be added again.
"""

from __future__ import annotations

import errno
import re
import shlex
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from schemefs.document import INTERFACE_WORDS, LOOPBACK, InterfaceDocument, interface_document
from schemefs.driver_option import Table, Tables, option_named, option_texts, switch
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_number
from schemefs.scheme import Node, TextFile
from schemes.netcfg.commands import Command, CommandFile, each_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from schemefs.scheme import SchemeContext
    from schemes.netcfg.configuration import Configuration

_NUMBERED: Final = re.compile(r"eth(0|[1-9][0-9]{0,2})", re.ASCII)
_ADDRESS: Final = "address"
_WORDS: Final = ("mac", "state")


def interface_line_files(context: SchemeContext, configuration: Configuration) -> Mapping[str, Node]:
    """Return the three files."""

    def listed() -> str:
        interfaces = configuration.current().interfaces
        lines = (
            line_of(name, interface, configuration.tables) for name, interface in interfaces.items() if name != LOOPBACK
        )
        return "".join(f"{line}\n" for line in lines)

    def add(line: str) -> Command:
        name, values = parse_interface(line, configuration.tables)
        interface_document(name or "eth0", values, configuration.tables)

        def apply(now: float) -> None:
            free = name or free_name(configuration.current().interfaces)
            configuration.add_interface(free, interface_document(free, values, configuration.tables), now)

        return apply

    def remove(line: str) -> Command:
        def apply(now: float) -> None:
            if line == LOOPBACK:
                raise SchemeError(errno.EBUSY, "lo is always there")
            context.detach(line, now)

        return apply

    return {
        "list": TextFile(listed).described("the interfaces beside lo, each as a line that `add` takes"),
        "add": CommandFile(context, each_line(add)).described("[NAME] DRIVER [DEVICE] [KEY VALUE]…: one more"),
        "rm": CommandFile(context, each_line(remove)).described("NAME: one less; its device is put back"),
    }


def parse_interface(line: str, tables: Tables) -> tuple[str, dict[str, Any]]:
    """Return the name (empty: none was given), and the table of `config` that means the same.

    ValueError: a key is unknown or comes twice, or a switch is neither on nor off. Other values are not parsed here.
    """
    words = shlex.split(line)
    name = words.pop(0) if _is_name(words, tables) else ""
    if not words:
        message = f"{line!r} names no driver: [NAME] DRIVER [DEVICE] [KEY VALUE]…"
        raise ValueError(message)
    driver = words.pop(0)
    values: dict[str, Any] = {"driver": driver}
    table = tables.get(driver)
    if len(words) % 2:
        if option_named(table, driver) is None:
            message = f"{words[-1]!r} at the end of {line!r} has no value"
            raise ValueError(message)
        values[driver] = words.pop(0)
    for key, value in zip(words[::2], words[1::2], strict=True):
        _put(values, table, key, value)
    return name, values


def _is_name(words: Sequence[str], tables: Tables) -> bool:
    """Return whether a line begins with a name: with one such as eth3, or with one before the name of a driver."""
    return bool(_NUMBERED.fullmatch(words[0])) or (words[0] not in tables and len(words) > 1 and words[1] in tables)


def _put(values: dict[str, Any], table: Table, key: str, value: str) -> None:
    if key == _ADDRESS:
        values.setdefault("addresses", []).append(value)
        return
    is_free = table is None and key not in INTERFACE_WORDS
    place = values.setdefault("options", {}) if is_free else values
    if key in place:
        message = f"{key} is given twice"
        raise ValueError(message)
    option = option_named(table, key)
    if is_free or key in _WORDS:
        place[key] = value
    elif key == "mtu":
        values[key] = parse_number(value, 68, 65535)
    elif key == "dhcp" or (option is not None and option.is_flag):
        values[key] = _switch(key, value)
    elif option is not None:
        values[key] = value
    else:
        known = (*INTERFACE_WORDS, *(option.name for option in table or ()))
        message = f"{key!r} is not one of: {', '.join(known)}"
        raise ValueError(message)


def _switch(key: str, text: str) -> bool:
    try:
        return switch(text)
    except ValueError:
        message = f"{key} is on or off, not {text!r}"
        raise ValueError(message) from None


def line_of(name: str, document: InterfaceDocument, tables: Tables) -> str:
    """Return the line that makes the interface again, without its impairments and neighbors."""
    words = [name, document.driver]
    table = tables.get(document.driver)
    texts = option_texts(table, document.options)
    if table is not None and document.driver in texts:
        words.append(str(texts.pop(document.driver)))
    words += [word for key, value in texts.items() for word in (key, "on" if value is True else str(value))]
    words += ["mac", document.mac] if document.mac else []
    words += ["mtu", str(document.mtu)] if document.mtu else []
    words += ["state", document.state] if document.state != "up" else []
    words += ["dhcp", "on"] if document.dhcp else []
    words += [word for address in document.addresses for word in (_ADDRESS, address)]
    return shlex.join(words)


def free_name(taken: Collection[str]) -> str:
    """Return the first eth<n> that is not taken."""
    return next(name for name in map("eth{}".format, count()) if name not in taken)
