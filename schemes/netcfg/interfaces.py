"""`ifaces/`, as in Redox, and the shorter `iface/`: one directory per attached interface."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import parse_number, parse_unicast_mac, presentation
from schemefs.net.impairment import NOTHING, parse_impairments
from schemefs.scheme import Caller, Directory, Node, StaticDirectory, TextFile
from schemes.netcfg import rendering
from schemes.netcfg.advertised import AddressListFile, AdvertiseFile, RouterFile
from schemes.netcfg.commands import Command, CommandFile, LinesFile, each_line
from schemes.netcfg.dhcp import Dhcp, DhcpFile
from schemes.netcfg.grammar import (
    parse_neighbor,
    parse_state,
    parse_unicast,
    parse_unicast_cidr,
)

if TYPE_CHECKING:
    from schemefs.net.network_configuration import Interface
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import SchemeContext

_LARGEST_HISTORY: Final = 256 << 20  # octets

Build = Callable[["SchemeContext", "Interface"], Directory]


class InterfaceDirectories(Directory):
    """The interfaces by name, beside *files*. An interface that is attached again gets new files."""

    def __init__(
        self, context: SchemeContext, network: NetworkLayer, build: Build, files: Mapping[str, Node] | None = None
    ) -> None:
        self._context = context
        self._network = network
        self._build = build
        self._files = files or {}
        self._built: dict[str, tuple[Interface, Directory]] = {}

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the interface's directory. ENOENT: there is no such interface."""
        del caller
        if name in self._files:
            return self._files[name]
        interface = self._network.interfaces.get(name)
        if interface is None:
            self._built.pop(name, None)
            raise SchemeError(errno.ENOENT, faults.no_interface(name, self._network.interfaces))
        built = self._built.get(name)
        if built is None or built[0] is not interface:
            built = self._built[name] = (interface, self._build(self._context, interface))
        return built[1]

    def forget(self, name: str) -> None:
        """Drop the files of a removed interface, and end the watches on them."""
        built = self._built.pop(name, None)
        if built is not None:
            _end(built[1])

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return the files first, then all interfaces."""
        return [*self._files.items(), *self._interfaces(caller)]

    def _interfaces(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        return [(name, self.lookup(name, caller)) for name in tuple(self._network.interfaces)]


def _end(directory: Directory) -> None:
    for _, node in directory.list(Caller(0)):
        if isinstance(node, TextFile):
            node.ended()
        elif isinstance(node, Directory):
            _end(node)


def redox_directory(context: SchemeContext, interface: Interface, dhcp: Dhcp) -> Directory:
    """Return `ifaces/<if>/`: Redox's nodes in Redox's formats, and more nodes in the same form."""

    def add(line: str) -> Command:
        address, length = parse_unicast_cidr(line)
        return lambda now: interface.add_address(address, length, now)

    def remove(line: str) -> Command:
        address, length = parse_unicast_cidr(line)
        return lambda now: interface.remove_address(address, length, now)

    return StaticDirectory(
        {
            "mac": _mac_file(context, interface, "-"),
            "mtu": _mtu_file(context, interface),
            "state": _state_file(context, interface),
            "stats": TextFile(lambda: rendering.counters_text(interface.statistics())).described(
                "counters, name=value"
            ),
            "addr": StaticDirectory(
                {
                    "list": AddressListFile(interface).described(
                        "ADDRESS/LENGTH, one per line; of IPv6 also scope, origin and lifetimes"
                    ),
                    "set": LinesFile(context, _set_addresses(interface), lambda: _cidrs(interface)).described(
                        "ADDRESS/LENGTH: replaces all"
                    ),
                    "add": CommandFile(context, each_line(add)).described("ADDRESS/LENGTH: adds one"),
                    "rm": CommandFile(context, each_line(remove)).described("ADDRESS/LENGTH: removes one"),
                    "duplicates": TextFile(lambda: rendering.duplicates_text(interface)).described(
                        "ADDRESS/LENGTH MAC: not used, because another host has the address"
                    ),
                }
            ).described("the addresses of this interface"),
            "neighbors": _neighbors_directory(context, interface),
            "dhcp": DhcpFile(dhcp, interface.name).described("an address by DHCP: on, off, renew"),
            "impair": _impair_file(context, interface),
            "history": _history_file(context, interface),
            "ra": RouterFile(context, interface).described(
                "what IPv6 routers advertise; accept on|off, temporary on|off"
            ),
            "advertise": AdvertiseFile(context, interface).described("IPv6 as a router: prefix NETWORK/64 …; off"),
        }
    ).described(f"interface {interface.name}, as in Redox")


def plain_directory(context: SchemeContext, interface: Interface) -> Directory:
    """Return `iface/<if>/`: four files to read and write."""
    return StaticDirectory(
        {
            "addr": LinesFile(
                context,
                _set_addresses(interface),
                lambda: _cidrs(interface),
                lambda: rendering.addresses_text(interface),
            ).described("ADDRESS/LENGTH, one per line; a write replaces all"),
            "mac": _mac_file(context, interface, ":"),
            "mtu": _mtu_file(context, interface),
            "state": _state_file(context, interface),
        }
    ).described(f"interface {interface.name}: read and write its configuration")


def _cidrs(interface: Interface) -> list[str]:
    return [f"{presentation(address)}/{length}" for address, length in interface.configured]


def _set_addresses(interface: Interface) -> Callable[[list[str]], list[Command]]:
    """Return a Parse for a write that replaces all addresses. The text of a read can be written back."""

    def parse(lines: list[str]) -> list[Command]:
        cidrs = [parse_unicast_cidr(line) for line in lines]
        if len({address for address, _ in cidrs}) != len(cidrs):
            message = "an address is given twice; once is allowed"
            raise ValueError(message)

        return [lambda now: interface.set_addresses(cidrs, now)]

    return parse


def _mac_file(context: SchemeContext, interface: Interface, separator: str) -> TextFile:
    def parse(line: str) -> Command:
        mac = parse_unicast_mac(line)
        return lambda now: interface.set_mac(mac, now)

    return CommandFile(context, each_line(parse), lambda: rendering.mac_line(interface, separator)).described(
        "the hardware address"
    )


def _mtu_file(context: SchemeContext, interface: Interface) -> TextFile:
    def parse(line: str) -> Command:
        mtu = parse_number(line, 68, 65535)  # RFC 791 §3.2: 68 is the minimum of every link, 65535 the longest datagram
        return lambda now: interface.set_mtu(mtu, now)

    return CommandFile(context, each_line(parse), lambda: f"{interface.mtu}\n").described(
        "octets of the largest IP datagram, 68 to 65535"
    )


def _state_file(context: SchemeContext, interface: Interface) -> TextFile:
    def parse(line: str) -> Command:
        up = parse_state(line)
        return lambda now: interface.set_up(up, now)

    return CommandFile(context, each_line(parse), lambda: rendering.state_text(interface)).described(
        "up or down; `down: ` and the reason where the driver has lost its other end"
    )


def _impair_file(context: SchemeContext, interface: Interface) -> TextFile:
    def parse(lines: list[str]) -> list[Command]:
        impairments = parse_impairments(lines)  # the text of a read can be written back: its counters are comments
        return [lambda now: interface.impair(impairments, now)]

    def read() -> str:
        lines = [*map(str, interface.impairments), *interface.impairment_effects()]
        return "".join(f"{line}\n" for line in lines or [NOTHING])

    def lines() -> list[str]:
        return [str(impairment) for impairment in interface.impairments]

    return LinesFile(context, parse, lines, read).described("impairments: loss 1% delay 20ms; drop tcp syn 1…; none")


def _history_file(context: SchemeContext, interface: Interface) -> TextFile:
    def parse(line: str) -> Command:
        size = parse_number(line, 0, _LARGEST_HISTORY)
        return lambda _now: interface.link.history.resize(size)

    return CommandFile(context, each_line(parse), lambda: f"{interface.link.history.size}\n").described(
        f"octets of recent frames for capture.pcapng,history, 0 to {_LARGEST_HISTORY}"
    )


def _neighbors_directory(context: SchemeContext, interface: Interface) -> Directory:
    def add(line: str) -> Command:
        address, mac = parse_neighbor(line)
        return lambda now: interface.add_neighbor(address, mac, now)

    def remove(line: str) -> Command:
        address = parse_unicast(line)
        return lambda now: interface.remove_neighbor(address, now)

    return StaticDirectory(
        {
            "list": TextFile(lambda: rendering.neighbors_text(interface.neighbors())).described(
                "ADDRESS MAC STATE, one per line"
            ),
            "add": CommandFile(context, each_line(add)).described("ADDRESS MAC: adds a permanent entry"),
            "rm": CommandFile(context, each_line(remove)).described("ADDRESS: removes its entry"),
        }
    ).described("hardware addresses of the hosts on the same link")
