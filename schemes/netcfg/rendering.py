"""The texts of netcfg's files: Redox's formats for Redox's nodes, `name=value` lines and a table for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemefs.net.addresses import mac_text, presentation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemefs.net.network_configuration import Interface, NeighborEntry, RouteEntry

NOT_CONFIGURED: Final = "Not configured\n"


def addresses_text(interface: Interface) -> str:
    """Return the configured addresses in use: `10.0.2.15/24`, one per line. The text may be written back."""
    in_use = (pair for pair in interface.addresses if pair in interface.configured)
    return "".join(f"{presentation(address)}/{length}\n" for address, length in in_use) or NOT_CONFIGURED


def duplicates_text(interface: Interface) -> str:
    """Return the configured addresses that another host uses, with its MAC: `10.0.2.15/24 52-55-0a-00-02-02`."""
    return "".join(
        f"{presentation(address)}/{length} {mac_text(interface.duplicates[address], '-')}\n"
        for address, length in interface.configured
        if address in interface.duplicates
    )


def state_text(interface: Interface) -> str:
    """Return `up`, `down`, or `down: ` with why the link of an interface that is up passes no frame."""
    fault = f": {interface.link.fault}" if interface.is_up and interface.link.fault else ""
    return "up\n" if interface.is_up and not fault else f"down{fault}\n"


def mac_line(interface: Interface, separator: str) -> str:
    """Return the hardware address: `52-54-00-12-34-56` as in Redox, or with ':' as in Linux."""
    return f"{mac_text(interface.mac, separator)}\n" if interface.mac else NOT_CONFIGURED


def rule_text(rule: RouteEntry, interfaces: Mapping[str, Interface]) -> str:
    """Return `default via 10.0.2.2 dev eth0 src 10.0.2.15`, or `10.0.2.0/24  dev …` with Redox's two blanks."""
    words = [_prefix(rule) if not rule.prefix_length else f"{_prefix(rule)} "]
    if rule.via:
        words.append(f"via {presentation(rule.via)}")
    words.append(f"dev {rule.interface}")
    source = _source(rule, interfaces)
    if source:
        words.append(f"src {source}")
    if rule.metric:
        words.append(f"metric {rule.metric}")
    if rule.onlink:
        words.append("onlink")
    return " ".join(words)


def rule_line(rule: RouteEntry) -> str:
    """Return the configured words of a rule, without derived ones: `10.9.0.0/16 via 10.0.2.2 dev eth0 metric 5`."""
    words = [_prefix(rule)]
    if rule.via:
        words.append(f"via {presentation(rule.via)}")
    words.append(f"dev {rule.interface}")
    if rule.source:
        words.append(f"src {presentation(rule.source)}")
    if rule.metric:
        words.append(f"metric {rule.metric}")
    if rule.onlink:
        words.append("onlink")
    return " ".join(words)


def route_table(rules: Iterable[RouteEntry], interfaces: Mapping[str, Interface]) -> str:
    """Return the rules in columns, the most specific first: the order of the lookup."""
    rows = [("DESTINATION", "GATEWAY", "INTERFACE", "SOURCE", "METRIC", "FLAGS")]
    rows += [
        (
            _prefix(rule),
            presentation(rule.via) if rule.via else "-",
            rule.interface,
            _source(rule, interfaces) or "-",
            str(rule.metric),
            "onlink" if rule.onlink else "-",
        )
        for rule in reversed(list(rules))
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def neighbors_text(neighbors: Iterable[NeighborEntry]) -> str:
    """Return `10.0.2.2 52-55-0a-00-02-02 REACHABLE`, one per line; `-` for an unknown hardware address."""
    return "".join(
        f"{presentation(entry.address)} {mac_text(entry.mac, '-') or '-'} {entry.state}\n" for entry in neighbors
    )


def counters_text(counters: Mapping[str, int | float | str]) -> str:
    """Return `name=value`, one per line, in the order of *counters*."""
    return "".join(f"{name}={value}\n" for name, value in counters.items())


def _prefix(rule: RouteEntry) -> str:
    """Return `10.0.2.0/24`, or `default` where the gateway or source says of which family it is; see `grammar`."""
    if not rule.prefix_length and (len(rule.destination) == 4 or rule.via or rule.source):
        return "default"
    return f"{presentation(rule.destination)}/{rule.prefix_length}"


def _source(rule: RouteEntry, interfaces: Mapping[str, Interface]) -> str:
    """Return the source address on this route: the rule's own, else, for IPv4, the first address of its interface."""
    if rule.source:
        return presentation(rule.source)
    interface = interfaces.get(rule.interface)
    if interface is None or len(rule.destination) == 16:  # the source depends on the destination (RFC 6724)
        return ""
    return next((presentation(address) for address, _ in interface.addresses if len(address) == 4), "")
