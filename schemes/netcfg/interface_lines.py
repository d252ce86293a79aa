"""`ifaces/{list,add,rm}`: interfaces that come and go while everything runs, a line each.

    tap lab1 host_address 10.1.0.2/24 address 10.1.0.1/24 offload off
    eth3 tap lab3 mtu 1280 dhcp on
    [NAME] DRIVER [DEVICE] [KEY VALUE]…

The keys are those of `config`; `address`, which may come several times, stands for its list. Whatever else a line says
to a driver that is no TAP is an option of its. Without a NAME it is the first eth<n> that is free. A word with blanks
is in quotes, as a shell has it. A line of `list` can be added again.
"""

from __future__ import annotations

import errno
import shlex
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from schemefs.document import INTERFACE_WORDS, LOOPBACK, NAME, TAP, InterfaceDocument, interface_document
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_number
from schemefs.scheme import Node, TextFile
from schemes.netcfg.commands import Command, CommandFile, each_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from schemefs.scheme import SchemeContext
    from schemes.netcfg.configuration import Configuration

_ADDRESS: Final = "address"
_SWITCH: Final = {"on": True, "off": False}
_WORDS: Final = ("mac", "state")
_TAP_WORDS: Final = ("host_address", "offload")


def attaching_files(context: SchemeContext, configuration: Configuration) -> Mapping[str, Node]:
    """Return the three files."""

    def listed() -> str:
        interfaces = configuration.current().interfaces
        lines = (line_of(name, interface) for name, interface in interfaces.items() if name != LOOPBACK)
        return "".join(f"{line}\n" for line in lines)

    def add(line: str) -> Command:
        name, values = parse_interface(line)
        interface_document(name or "eth0", values)

        def apply(now: float) -> None:
            free = name or free_name(configuration.current().interfaces)
            configuration.add_interface(free, interface_document(free, values), now)

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


def parse_interface(line: str) -> tuple[str, dict[str, Any]]:
    """Return the name, empty where none was given, and the table of `config` that the line means. ValueError: none."""
    words = shlex.split(line)
    name = words.pop(0) if NAME.fullmatch(words[0]) else ""
    if not words:
        message = f"{line!r} names no driver: [NAME] DRIVER [DEVICE] [KEY VALUE]…"
        raise ValueError(message)
    values: dict[str, Any] = {"driver": words.pop(0)}
    if len(words) % 2:
        if values["driver"] != TAP:
            message = f"{words[-1]!r} at the end of {line!r} has no value"
            raise ValueError(message)
        values["tap"] = words.pop(0)
    for key, value in zip(words[::2], words[1::2], strict=True):
        _say(values, key, value)
    return name, values


def _say(values: dict[str, Any], key: str, value: str) -> None:
    if key == _ADDRESS:
        values.setdefault("addresses", []).append(value)
        return
    is_tap = values["driver"] == TAP
    is_option = not is_tap and key not in INTERFACE_WORDS
    table = values.setdefault("options", {}) if is_option else values
    if key in table:
        message = f"{key} is said twice"
        raise ValueError(message)
    if key == "mtu":
        values[key] = parse_number(value, 68, 65535)
    elif key == "dhcp":
        if value not in _SWITCH:
            message = f"dhcp is on or off, not {value!r}"
            raise ValueError(message)
        values[key] = _SWITCH[value]
    elif is_option or key in _WORDS or (is_tap and key in _TAP_WORDS):
        table[key] = value
    else:
        known = (*INTERFACE_WORDS, *_TAP_WORDS)
        message = f"{key!r} is not one of: {', '.join(known)}"
        raise ValueError(message)


def line_of(name: str, document: InterfaceDocument) -> str:
    """Return the line that makes the interface again; what the weather does to it is in its `impair`."""
    words = [name, document.driver]
    if document.driver == TAP:
        words += [document.tap, "host_address", document.host_address, "offload", document.offload]
    words += [word for pair in document.options.items() for word in pair]
    words += ["mac", document.mac] if document.mac else []
    words += ["mtu", str(document.mtu)] if document.mtu else []
    words += ["state", document.state] if document.state != "up" else []
    words += ["dhcp", "on"] if document.dhcp else []
    words += [word for address in document.addresses for word in (_ADDRESS, address)]
    return shlex.join(words)


def free_name(taken: Collection[str]) -> str:
    """Return the first eth<n> that is not taken."""
    return next(name for name in map("eth{}".format, count()) if name not in taken)
