"""`ifaces/<if>/ra`, `advertise` and `addr/list`: what routers give an interface, and what it gives as a router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import network_of, parse_cidr, parse_number, parse_numeric, presentation
from schemefs.net.autoconfigured import AdvertisedRouter
from schemefs.scheme import TextFile
from schemes.netcfg.commands import Command, CommandFile, each_line
from schemes.netcfg.grammar import parse_domain
from schemes.netcfg.rendering import NOT_CONFIGURED

if TYPE_CHECKING:
    from schemefs.net.autoconfigured import Autoconfigured
    from schemefs.net.network_configuration import Interface
    from schemefs.scheme import Caller, SchemeContext

OFF: Final = "off"
_SWITCHES: Final = {"on": True, OFF: False}
_PREFERENCES: Final = {"low": -1, "medium": 0, "high": 1}
_LIFETIMES: Final = {"lifetime": 9000, "valid": 0xFFFFFFFF, "preferred": 0xFFFFFFFF}  # RFC 4861 §6.2.1, seconds
_WORDS: Final = "prefix NETWORK/64, lifetime, valid, preferred, preference, mtu, dns ADDRESS, search DOMAIN, other; off"


class AddressListFile(TextFile):
    """`addr/list`: `ADDRESS/LENGTH`, and for IPv6 what else there is to say."""

    def __init__(self, interface: Interface) -> None:
        super().__init__(None)
        self._interface = interface

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the addresses in use, the preferred source first."""
        del caller
        interface = self._interface
        lines = (
            f"{presentation(address)}/{length}"
            if len(address) == 4
            else interface.autoconfigured.describe(address, now)
            for address, length in interface.addresses
        )
        return ("".join(f"{line}\n" for line in lines) or NOT_CONFIGURED).encode()


class RouterFile(CommandFile):
    """`ifaces/<if>/ra`."""

    def __init__(self, context: SchemeContext, interface: Interface) -> None:
        super().__init__(context, each_line(self._parse_setting))
        self._interface = interface

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the two settings, then what routers advertise."""
        del caller
        given = self._interface.autoconfigured
        lines = [f"accept {_switch(given.accepts)}", f"temporary {_switch(given.temporary)}", *given.lines(now)]
        return "".join(f"{line}\n" for line in lines).encode()

    def _parse_setting(self, line: str) -> Command:
        name, on = parse_setting(line)

        def apply(now: float) -> None:
            given = self._interface.autoconfigured
            if name == "accept":
                given.set_accepts(on, now)
            else:
                given.set_temporary(on, now)
            self.changed()

        return apply


class AdvertiseFile(CommandFile):
    """`ifaces/<if>/advertise`."""

    def __init__(self, context: SchemeContext, interface: Interface) -> None:
        super().__init__(context, each_line(self._parse_line), self._text)
        self._interface = interface

    def _text(self) -> str:
        router = self._interface.autoconfigured.advertised
        return f"{advertised_line(router) if router is not None else OFF}\n"

    def _parse_line(self, line: str) -> Command:
        router = None if line == OFF else parse_advertised(line)

        def apply(now: float) -> None:
            self._interface.autoconfigured.advertise(router, now)
            self.changed()

        return apply


def settings_text(given: Autoconfigured) -> str:
    """Return the settings that are not the defaults, for the document: `accept off, temporary on`."""
    return ", ".join(["accept off"] * (not given.accepts) + ["temporary on"] * given.temporary)


def parse_settings(text: str) -> dict[str, bool]:
    """Return the value of each setting in the document's text. ValueError: one is unknown."""
    lines = [line.strip() for line in text.split(",")] if text else []
    return {"accept": True, "temporary": False, **dict(map(parse_setting, lines))}


def parse_setting(line: str) -> tuple[str, bool]:
    """Return the name and the value of one setting."""
    name, _, value = line.partition(" ")
    if name not in ("accept", "temporary") or value.strip() not in _SWITCHES:
        message = f"{line!r} is not a setting; there are: accept on, accept off, temporary on, temporary off"
        raise ValueError(message)
    return name, _SWITCHES[value.strip()]


def advertised_line(router: AdvertisedRouter) -> str:
    """Return the words that `parse_advertised` takes."""
    words = [f"prefix {presentation(network)}/{length}" for network, length in router.prefixes]
    words += [f"lifetime {router.lifetime}", f"valid {router.valid_lifetime}", f"preferred {router.preferred_lifetime}"]
    words.append(f"preference {next(name for name, value in _PREFERENCES.items() if value == router.preference)}")
    words += [f"mtu {router.mtu}"] * bool(router.mtu)
    words += [f"dns {presentation(server)}" for server in router.name_servers]
    words += [f"search {domain}" for domain in router.domains]
    words += ["other"] * router.other
    return " ".join(words)


def parse_advertised(line: str) -> AdvertisedRouter:
    """Return what the words of a line advertise. ValueError: a word or a value is not one."""
    prefixes: list[tuple[bytes, int]] = []
    servers: list[bytes] = []
    domains: list[str] = []
    numbers = {"lifetime": 1800, "valid": 86400, "preferred": 14400, "mtu": 0, "preference": 0}
    words = iter(line.split())
    other = False
    for word in words:
        value = "" if word == "other" else next(words, "")
        if word == "other":
            other = True
        elif word == "prefix":
            prefixes.append(_parse_prefix(value))
        elif word == "dns":
            servers.append(_parse_server(value))
        elif word == "search":
            domains.append(parse_domain(value))
        elif word in _LIFETIMES:
            numbers[word] = parse_number(value, 0, _LIFETIMES[word])
        elif word == "mtu":
            numbers[word] = parse_number(value, 1280, 65535)
        elif word == "preference" and value in _PREFERENCES:
            numbers[word] = _PREFERENCES[value]
        else:
            message = f"{f'{word} {value}'.strip()!r} is nothing to advertise; there are: {_WORDS}"
            raise ValueError(message)
    if numbers["preferred"] > numbers["valid"]:
        message = f"preferred {numbers['preferred']} is longer than valid {numbers['valid']}; it may be as long"
        raise ValueError(message)
    lifetimes = (numbers["valid"], numbers["preferred"])
    return AdvertisedRouter(
        tuple(prefixes), numbers["lifetime"], numbers["preference"], *lifetimes, numbers["mtu"], tuple(servers),
        tuple(domains), other,
    )  # fmt: skip


def _parse_prefix(text: str) -> tuple[bytes, int]:
    network, length = parse_cidr(text)
    if len(network) != 16 or length != 64 or network != network_of(network, length) or network[0] in (0xFE, 0xFF):
        message = f"{text!r} is not a prefix to advertise: NETWORK/64 of IPv6, not link-local, with the host bits zero"
        raise ValueError(message)
    return network, length


def _parse_server(text: str) -> bytes:
    address = parse_numeric(text)
    if len(address) != 16:
        message = f"{text} is not an address of IPv6, and only those are advertised"
        raise ValueError(message)
    return address


def _switch(on: bool) -> str:
    return "on" if on else OFF
