"""The whole configuration as one TOML text: what `netcfg/config` shows and takes, and `schemefs mount --config` reads.

    nameservers = ["10.0.2.3"]
    search = ["example.org"]
    hostname = "lab1"                 # what DHCP tells the server
    hosts = ["127.0.0.1 localhost"]
    forward = false
    memory = "512M"                   # what all buffers may hold together
    routes = ["default via 10.0.2.2 dev eth0"]

    [interface.eth0]
    driver = "tap"
    tap = "schemefs0"                 # the options of this driver: `schemefs mount --help` lists those of each
    host_address = "10.0.2.2/24"      # the kernel's on the other side; "none" leaves it alone
    host_address6 = "fd00:10:0:2::2/64"
    offload = "auto"
    uplink = true                     # an option without a value is true or false
    mac = "02:52:54:00:12:34"
    mtu = 1500
    state = "up"
    dhcp = true                       # what a lease configures is not in this text
    addresses = ["10.0.2.15/24", "fd00:10:0:2::15/64"]  # the preferred source of each family first
    neighbors = ["10.0.2.9 52-55-0a-00-02-09"]
    impair = ["loss 1% delay 20ms"]
    ra = "temporary on"               # settings of `ifaces/eth0/ra` that are not the defaults: accept off, temporary on
    advertise = "prefix fd00:1::/64"  # IPv6 as a router

    [log]
    level = "info"
    tcp = "trace"

A driver that declares no options takes any texts: options = { NAME = "TEXT" }.

`schemefs mount --config FILE` refuses options that the file has. --uplink and --resolver may be given: they replace the
file's, for the first interface whose driver has them; --uplink beside `uplink = true` changes nothing.

Interfaces, addresses, neighbors, impairments and routes that are left out are removed. Other keys that are left out
change nothing; an option of a driver then has its default. This module checks keys, kinds of values and the options of
drivers; netcfg parses the other texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemefs.driver_option import OptionValueError, Tables, option_texts, read_options
from schemefs.toml_table import check_table, load_table

LOOPBACK: Final = "lo"
LOOPBACK_DRIVER: Final = "loopback"
DEFAULT_DRIVER: Final = "tap"
NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,14})", re.ASCII)  # of an interface
NOT_NAMES: Final = ("add", "rm", "list", "all", "default")  # files beside the interfaces, and words of Linux for all
INTERFACE_WORDS: Final = ("address", "mtu", "dhcp", "mac", "state")  # words of `ifaces/add` that every interface has
_NAMES: Final = ("nameservers", "search", "hosts")


@dataclass(frozen=True, slots=True)
class InterfaceDocument:
    """One `[interface.<name>]`. An empty text, 0: the file does not say it."""

    driver: str = DEFAULT_DRIVER
    options: Mapping[str, object] = field(default_factory=dict)  # a value for each option of the driver's table
    mac: str = ""
    mtu: int = 0
    state: str = "up"
    dhcp: bool = False
    addresses: tuple[str, ...] = ()
    neighbors: tuple[str, ...] = ()
    impair: tuple[str, ...] = ()
    ra: str = ""
    advertise: str = ""

    @property
    def device(self) -> tuple[str, Mapping[str, object]]:
        """What an interface can't change: with another device it is detached, and attached anew."""
        return (self.driver, dict(self.options))


@dataclass(frozen=True, slots=True)
class Document:
    """One configuration. None: the text does not have the key."""

    nameservers: tuple[str, ...] | None = None
    search: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    hostname: str | None = None
    forward: bool = False
    memory: str | None = None
    routes: tuple[str, ...] = ()
    interfaces: Mapping[str, InterfaceDocument] = field(default_factory=dict)
    log: Mapping[str, str] = field(default_factory=dict)


def parse(text: str, tables: Tables) -> Document:
    """Return the configuration in *text*. ValueError with a sentence: no TOML, an unknown key, a bad value."""
    table = load_table(text)
    like: dict[str, object] = {
        "nameservers": [],
        "search": [],
        "hosts": [],
        "hostname": "",
        "forward": False,
        "memory": "",
        "routes": [],
        "interface": {},
        "log": {},
    }
    check_table(table, like, "")
    interfaces = {name: interface_document(name, values, tables) for name, values in table.get("interface", {}).items()}
    if LOOPBACK not in interfaces:
        interfaces = {LOOPBACK: interface_document(LOOPBACK, {}, tables), **interfaces}
    levels = table.get("log", {})
    check_table(levels, dict.fromkeys(levels, ""), "log.")
    names = {key: tuple(table[key]) for key in _NAMES if key in table}
    return Document(
        **names,
        hostname=table.get("hostname"),
        forward=table.get("forward", False),
        memory=table.get("memory"),
        routes=tuple(table.get("routes", ())),
        interfaces=interfaces,
        log=levels,
    )


def text_of(document: Document, tables: Tables) -> str:
    """Return the TOML that `parse` reads *document* from."""
    names = {key: getattr(document, key) for key in _NAMES}
    lines = [f"{key} = {_toml(value)}" for key, value in names.items() if value is not None]
    if document.hostname:
        lines.append(f"hostname = {_toml(document.hostname)}")
    lines += [f"forward = {_toml(document.forward)}"]
    lines += [f"memory = {_toml(document.memory)}"] if document.memory is not None else []
    lines += [f"routes = {_toml(document.routes)}"]
    for name, interface in document.interfaces.items():
        lines += ["", f"[interface.{name}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in _keys(name, interface, tables) if value not in ("", 0)]
    if document.log:
        lines += ["", "[log]", *(f"{_key(key)} = {_toml(value)}" for key, value in document.log.items())]
    return "".join(f"{line}\n" for line in lines)


def _keys(name: str, interface: InterfaceDocument, tables: Tables) -> Iterator[tuple[str, object]]:
    if name != LOOPBACK:
        table = tables.get(interface.driver)
        texts = option_texts(table, interface.options)
        yield "driver", interface.driver
        if table is not None:
            yield from texts.items()
        elif texts:
            yield "options", texts
    for key in InterfaceDocument.__slots__[2:]:
        yield key, getattr(interface, key)


def interface_document(name: str, values: Any, tables: Tables) -> InterfaceDocument:
    """Return what a table `[interface.<name>]` says, with the defaults. ValueError with a sentence."""
    where = f"interface.{name}."
    if name != LOOPBACK and (name in NOT_NAMES or not NAME.fullmatch(name)):
        message = f"{name!r} is not a name of an interface: up to 15 letters, digits, dots and hyphens, such as eth1"
        raise ValueError(message)
    like: dict[str, Any] = {"mac": "", "mtu": 0, "state": "", "dhcp": False}
    like |= {"addresses": [], "neighbors": [], "impair": [], "ra": "", "advertise": ""}
    if name == LOOPBACK:
        check_table(values, like, where)
        return InterfaceDocument(**{"driver": LOOPBACK_DRIVER, "addresses": ("127.0.0.1/8",), **_frozen(values)})
    driver = values.get("driver", DEFAULT_DRIVER) if isinstance(values, dict) else DEFAULT_DRIVER
    table = tables.get(driver) if isinstance(driver, str) else ()
    kinds: dict[str, Any] = {option.name: False if option.is_flag else "" for option in table or ()}
    check_table(values, {"driver": "", **({"options": {}} if table is None else kinds), **like}, where)
    given = values.get("options", {}) if table is None else {key: values[key] for key in kinds if key in values}
    _check_texts(given, f"{where}options." if table is None else where, is_free=table is None)
    try:
        options = read_options(table, name, given)
    except OptionValueError as error:
        message = f"{where}{error.option}: {error}"
        raise ValueError(message) from None
    return InterfaceDocument(
        options=options, **_frozen({key: values[key] for key in values if key in ("driver", *like)})
    )


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _check_texts(options: Mapping[str, str | bool], where: str, *, is_free: bool) -> None:
    """Raise ValueError unless each option fits on a line of `ifaces/list`. *is_free*: no table names the options."""
    if is_free:
        check_table(options, dict.fromkeys(options, ""), where)
    for key, value in options.items():
        if is_free and key in INTERFACE_WORDS:
            message = f"{where}{key} is not an option of a driver: every interface has its {key}"
            raise ValueError(message)
        for text in (key, value):
            if isinstance(text, str) and text.splitlines() not in ([], [text]):
                message = f"{where}{key}: {text!r} does not fit on one line"
                raise ValueError(message)


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
