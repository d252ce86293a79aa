"""The whole configuration as one TOML text: what `netcfg/config` shows and takes, and `schemefs mount --config` reads.

    nameservers = ["10.0.2.3"]
    search = ["example.org"]
    hosts = ["127.0.0.1 localhost"]
    forward = false
    routes = ["default via 10.0.2.2 dev eth0"]

    [interface.eth0]
    driver = "tap"
    tap = "schemefs0"
    host_address = "10.0.2.2/24"      # the kernel's on the other side; "none" leaves it alone
    offload = "auto"                  # another driver than tap has, instead of these three: options = { NAME = "TEXT" }
    mac = "02:52:54:00:12:34"
    mtu = 1500
    state = "up"
    dhcp = true                       # addresses, routes and name servers of a lease are not in this text
    addresses = ["10.0.2.15/24"]      # the preferred source first
    neighbors = ["10.0.2.9 52-55-0a-00-02-09"]
    impair = ["loss 1% delay 20ms"]

    [log]
    level = "info"
    tcp = "trace"

Interfaces, addresses, neighbors, impairments and routes that are left out are not to be there. What else is left out is
left as it is. Only the shape is checked here; what the words mean is for who applies them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LOOPBACK: Final = "lo"
TAP: Final = "tap"
NOTHING: Final = "none"  # as host_address
NAME: Final = re.compile(r"eth(0|[1-9][0-9]{0,2})", re.ASCII)
_NAMES: Final = ("nameservers", "search", "hosts")
_TAP_KEYS: Final = ("tap", "host_address", "offload")
INTERFACE_WORDS: Final = ("address", "mtu", "dhcp", "mac", "state")  # a line of `ifaces/add` says them of any
_DEVICE_KEYS: Final = ("driver", *_TAP_KEYS, "options")


@dataclass(frozen=True, slots=True)
class InterfaceDocument:
    """One `[interface.<name>]`. Empty and 0: nothing is said."""

    driver: str = "tap"
    tap: str = ""
    host_address: str = ""
    offload: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    mac: str = ""
    mtu: int = 0
    state: str = "up"
    dhcp: bool = False
    addresses: tuple[str, ...] = ()
    neighbors: tuple[str, ...] = ()
    impair: tuple[str, ...] = ()

    @property
    def device(self) -> tuple[object, ...]:
        """What can't be changed while the interface is there: another one takes its place."""
        return (self.driver, self.tap, self.host_address, self.offload, dict(self.options))


@dataclass(frozen=True, slots=True)
class Document:
    """One configuration. None: nothing is said."""

    nameservers: tuple[str, ...] | None = None
    search: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    forward: bool = False
    routes: tuple[str, ...] = ()
    interfaces: Mapping[str, InterfaceDocument] = field(default_factory=dict)
    log: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Document:
    """Return what *text* says. ValueError with a sentence: no TOML, an unknown key, a value of the wrong kind."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"not TOML: {error}"
        raise ValueError(message) from None
    like = {"nameservers": [], "search": [], "hosts": [], "forward": False, "routes": [], "interface": {}, "log": {}}
    _check(table, like, "")
    interfaces = {name: interface_document(name, values) for name, values in table.get("interface", {}).items()}
    if LOOPBACK not in interfaces:
        interfaces = {LOOPBACK: interface_document(LOOPBACK, {}), **interfaces}
    levels = table.get("log", {})
    _check(levels, dict.fromkeys(levels, ""), "log.")
    names = {key: tuple(table[key]) for key in _NAMES if key in table}
    return Document(
        **names,
        forward=table.get("forward", False),
        routes=tuple(table.get("routes", ())),
        interfaces=interfaces,
        log=levels,
    )


def text_of(document: Document) -> str:
    """Return the TOML that `parse` reads *document* from."""
    names = {key: getattr(document, key) for key in _NAMES}
    lines = [f"{key} = {_toml(value)}" for key, value in names.items() if value is not None]
    lines += [f"forward = {_toml(document.forward)}", f"routes = {_toml(document.routes)}"]
    for name, interface in document.interfaces.items():
        lines += ["", f"[interface.{name}]"]
        hidden = _DEVICE_KEYS if name == LOOPBACK else ()
        values = {key: getattr(interface, key) for key in InterfaceDocument.__slots__ if key not in hidden}
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value not in ("", 0, {})]
    if document.log:
        lines += ["", "[log]", *(f"{_key(key)} = {_toml(value)}" for key, value in document.log.items())]
    return "".join(f"{line}\n" for line in lines)


def interface_document(name: str, values: Any) -> InterfaceDocument:
    """Return what a table `[interface.<name>]` says, with the defaults. ValueError with a sentence."""
    where = f"interface.{name}."
    if name != LOOPBACK and not NAME.fullmatch(name):
        message = f"{name!r} is no name of an interface here: lo, eth0, eth1…"
        raise ValueError(message)
    driver = values.get("driver", TAP) if isinstance(values, dict) else TAP
    device: dict[str, Any] = dict.fromkeys(_TAP_KEYS, "") if driver == TAP else {"options": {}}
    like: dict[str, Any] = {} if name == LOOPBACK else {"driver": "", **device}
    like |= {"mac": "", "mtu": 0, "state": "", "dhcp": False, "addresses": [], "neighbors": [], "impair": []}
    _check(values, like, where)
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if name == LOOPBACK:
        return InterfaceDocument(**{"driver": "loopback", "addresses": ("127.0.0.1/8",), **given})
    if driver == TAP:
        given = {"tap": f"schemefs{name.removeprefix('eth')}", "host_address": NOTHING, "offload": "auto", **given}
    options = given.get("options", {})
    _check(options, dict.fromkeys(options, ""), f"{where}options.")
    _check_options(options, f"{where}options.")
    return InterfaceDocument(**given)


def _check_options(options: Mapping[str, str], where: str) -> None:
    """Raise ValueError unless a line of `ifaces/list` can say each of them too."""
    for key, value in options.items():
        if key in INTERFACE_WORDS:
            message = f"{where}{key} is no option of a driver's: every interface has its {key}"
            raise ValueError(message)
        for text in (key, value):
            if text.splitlines() not in ([], [text]):
                message = f"{where}{key}: {text!r} does not fit on one line"
                raise ValueError(message)


def _check(table: Any, like: Mapping[str, object], where: str) -> None:
    """Raise ValueError unless *table* has only the keys of *like*, with values of their kinds."""
    if type(table) is not dict:
        message = f"{where.rstrip('.')} is no table: write [{where.rstrip('.')}] and a line for each key"
        raise ValueError(message)
    for key, value in table.items():
        if key not in like:
            message = f"unknown key {where}{key}; there is: {', '.join(like)}"
            raise ValueError(message)
        if not _is_like(value, like[key]):
            kind = {str: "a text in quotes", int: "a number", bool: "true or false", list: "a list of texts"}
            message = f"{where}{key} is {kind.get(type(like[key]), 'a table')}, not {value!r}"
            raise ValueError(message)


def _is_like(value: object, like: object) -> bool:
    if type(value) is not type(like):
        return False
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _toml(value: object) -> str:
    """Return a value as TOML writes it: a basic string is JSON's, but for DEL."""
    if isinstance(value, tuple):
        if len(value) < 2:
            return f"[{', '.join(map(_toml, value))}]"
        return "[\n" + "".join(f"    {_toml(item)},\n" for item in value) + "]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()
