"""The mount command's options: text in, a Config out, or a ValueError that says in a sentence what is wrong.

This module has the meaning and the default of each word. It has no click (cli.py has), and does not look at the machine
(drivers do).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from schemefs.command.link_addresses import GivenAddresses
from schemefs.config import Config, InterfaceConfig, from_document
from schemefs.document import DEFAULT_DRIVER, LOOPBACK_DRIVER, Document, parse
from schemefs.driver_option import OptionValueError, Tables, option_named, read_options
from schemefs.held_octets import DEFAULT_LIMIT
from schemefs.log import TRACE
from schemefs.net.host_address import HostAddress, HostInterface
from schemefs.net.impairment import parse_impairments

LOG_LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# RFC 791 §3.2: every module must be able to forward a datagram of 68 octets; its largest is 65,535.
MTU_MIN: Final = 68
MTU_MAX: Final = 65535

# Options of `schemefs mount` that a configuration file says, so that they are refused beside --config. The options of
# drivers are refused too, but for those with `overrides_file`.
SAID_BY_FILE: Final = ("driver", "address", "gateway", "nameserver", "mac", "mtu", "memory", "impair")


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The options of `schemefs mount` as they were given. None, "" and (): not given."""

    driver: str = DEFAULT_DRIVER
    driver_reason: str = ""  # why a default driver is not a better one
    options: Mapping[str, str | bool] = field(default_factory=dict)  # of drivers: what was given, unread
    address: Sequence[HostInterface] = ()
    gateway: Sequence[HostAddress] = ()
    nameserver: Sequence[HostAddress] = ()
    mac: bytes | None = None
    mtu: int | None = None
    memory: int | None = None
    impair: str = ""
    record_events: bool = False
    private: bool = False
    log_level: str = "info"
    log_file: str = ""


def configuration(options: MountOptions, tables: Tables) -> Config:
    """Return the daemon's configuration. ValueError: contradictions; OptionValueError: a bad value of a driver's."""
    config = Config(
        private=options.private,
        memory=options.memory or DEFAULT_LIMIT,
        log_level=LOG_LEVELS[options.log_level],
        log_file=options.log_file,
        impair=options.impair,
        record_events=options.record_events,
        tables=tables,
        driver_reason=options.driver_reason,
    )
    _check_driver_has(options, tables)
    if options.driver == LOOPBACK_DRIVER:
        if options.nameserver:
            config.nameservers = tuple(options.nameserver)
        return config
    table = tables.get(options.driver)
    values = read_options(table, "eth0", options.options)
    given = GivenAddresses(options.address, options.gateway, options.nameserver, options.options, values)
    found = given.followed(table)
    config.gateway, config.gateway6, config.nameservers = found.gateway, found.gateway6, found.nameservers
    config.interfaces.append(
        InterfaceConfig(
            driver=options.driver,
            address=found.address,
            options=values,
            mac=options.mac or b"",
            mtu=options.mtu or 0,
            address_may_move=found.may_move,
            nameserver=next((one for one in found.nameservers if isinstance(one, IPv4Address)), None),
            address6=found.address6,
            address6_may_move=found.may_move6,
            nameserver6=next((one for one in found.nameservers if isinstance(one, IPv6Address)), None),
            further=found.further,
            is_by_command_line=True,
        )
    )
    return config


def _check_driver_has(options: MountOptions, tables: Tables) -> None:
    """Raise ValueError for an option that only other drivers have. A driver that is not there is for the daemon.

    With loopback there is no interface to describe: --tap is then unused, as --address and --mac are.
    """
    if options.driver not in tables:
        return
    for name in options.options:
        is_unused = options.driver == LOOPBACK_DRIVER and not overrides_file(name, tables)
        if option_named(tables[options.driver], name) is not None or is_unused:
            continue
        others = {driver: option for driver, table in tables.items() if (option := option_named(table, name))}
        word = next(option.word for option in others.values())
        has = " or ".join(others)
        message = f"{word} is an option of the driver {has}, which {options.driver} does not have"
        raise ValueError(message)


def configuration_of_text(
    text: str, tables: Tables, given: Mapping[str, str | bool], *, private: bool, log_level: str, log_file: str
) -> Config:
    """Return the daemon's configuration by a TOML text. ValueError with a sentence.

    A *log_level* and the options of drivers that are *given* replace what the text says. OptionValueError: one of them
    is bad, or no interface of the text has it.
    """
    document = parse(text, tables)
    if log_level:
        document = replace(document, log={**document.log, "level": log_level})
    for name, value in given.items():
        document = _with_option(document, tables, name, value)
    config = from_document(document, tables)
    config.private, config.log_file = private, log_file
    config.log_level = LOG_LEVELS.get(document.log.get("level", "info"), logging.INFO)
    return config


def _with_option(document: Document, tables: Tables, name: str, value: str | bool) -> Document:
    """Return *document* with that option of the first interface whose driver has it."""
    for interface_name, interface in document.interfaces.items():
        option = option_named(tables.get(interface.driver), name)
        if option is not None:
            try:
                options = {**interface.options, name: option.read(value)}
            except ValueError as error:
                raise OptionValueError(name, str(error)) from None
            return replace(
                document, interfaces={**document.interfaces, interface_name: replace(interface, options=options)}
            )
    raise OptionValueError(name, "no interface of the configuration file has a driver with this option")


def overrides_file(name: str, tables: Tables) -> bool:
    """Return whether an option of a driver may be given beside --config."""
    return any(option.overrides_file for table in tables.values() if (option := option_named(table, name)))


def impair(text: str) -> str:
    """Return the text of impairments, checked."""
    parse_impairments(text.splitlines())
    return text


def mtu(text: str) -> int:
    """Return an MTU, in octets of an IP datagram."""
    if not text.isdecimal() or not MTU_MIN <= int(text) <= MTU_MAX:
        message = f"{text!r} is not an MTU: {MTU_MIN} to {MTU_MAX}"
        raise ValueError(message)
    return int(text)
