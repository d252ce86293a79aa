"""`schemefs ip route`: the routing table, in the lines and JSON fields of ip-route(8)."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import fail, fail_with
from schemefs.tools.ip_words import (
    REFUSED,
    USAGE,
    IpNetwork,
    Item,
    Style,
    Words,
    interface,
    prefix,
    print_items,
    refuse,
    write,
)
from schemefs.tools.netcfg_state import (
    LOOPBACK,
    InterfaceState,
    RouteState,
    interface_names,
    is_connected,
    parse_route,
    read_interface,
    read_routes,
)
from schemefs.tools.route_lookup import RouteLookup, parse_lookup

COMMANDS: Final = {
    "list": "show", "lst": "show", "show": "show", "add": "add", "change": "change", "chg": "change",
    "replace": "replace", "delete": "delete", "get": "get", "flush": "flush",
}  # fmt: skip
TABLES: Final = ("main", "all")
PROTOCOLS: Final = ("boot", "static", "kernel", "ra", "dhcp")


@dataclass(slots=True)
class _Chosen:
    """Which rules a command is about."""

    name: str = ""
    gateway: str = ""
    root: IpNetwork | None = None  # the rule's prefix is within it
    match: IpNetwork | None = None  # the rule's prefix contains it
    protocol: str = ""
    is_default: bool = False

    def has(self, route: RouteState, *, is_kernel: bool) -> bool:
        """Return whether the rule passes."""
        network = ip_network(route.prefix)
        if self.is_default and network.prefixlen:
            return False
        for wanted, is_within in ((self.root, True), (self.match, False)):
            if wanted is not None and not (
                wanted.version == network.version
                and (_within(network, wanted) if is_within else _within(wanted, network))
            ):
                return False
        if self.protocol and (self.protocol == "kernel") != is_kernel:
            return False
        return self.name in ("", route.interface) and self.gateway in ("", route.gateway)


def _within(small: IpNetwork, large: IpNetwork) -> bool:
    return small.prefixlen >= large.prefixlen and small.network_address in large


def route_command(tree: Path, command: str, words: Words, style: Style) -> None:
    """Run `ip route COMMAND WORDS`."""
    if command == "show":
        chosen = _chosen(tree, words)
        items = [_item(*found, chosen) for found in _rules(tree, chosen, style)]
        print_items(items, style, _text)
    elif command == "flush":
        if not words:
            fail(USAGE, "flush needs to know what: dev IF, via ADDRESS, root PREFIX, exact PREFIX")
        chosen = _chosen(tree, words)
        for route, _ in tuple(_rules(tree, chosen, style)):
            write(tree, "netcfg/route/rm", _to_remove(route))
    elif command == "get":
        _get(tree, words, style)
    else:
        _change(tree, command, words, style)


def _chosen(tree: Path, words: Words) -> _Chosen:
    chosen = _Chosen()
    while words:
        word = words.next("a word")
        if word == "dev":
            chosen.name = interface(tree, words.next("an interface"))
        elif word == "via":
            chosen.gateway = words.next("a gateway")
        elif word in ("proto", "protocol"):
            chosen.protocol = words.next("a protocol")
        elif word == "table":
            _check_table(words)
        else:
            kind = word if word in ("root", "match", "exact") else "exact"
            text = words.next("a prefix") if word in ("root", "match", "exact", "to") else word
            if text == "default":
                chosen.is_default = True
                continue
            chosen.root = prefix(text) if kind != "match" else chosen.root
            chosen.match = prefix(text) if kind != "root" else chosen.match
    return chosen


def _check_table(words: Words) -> None:
    table = words.next("a table")
    if table not in TABLES:
        refuse(f"table {table}", "route", "table main")


def _rules(tree: Path, chosen: _Chosen, style: Style) -> Iterator[tuple[RouteState, dict[str, InterfaceState]]]:
    """Yield the chosen rules as iproute2 has them: IPv4 unless -6 is given, and without lo, which has another table."""
    interfaces = {name: read_interface(tree, name) for name in interface_names(tree)}
    family = style.family or ("inet6" if _is_v6(chosen) else "inet")
    for route in sorted(read_routes(tree), key=_order):
        is_kernel = is_connected(route, interfaces)
        if route.family != family or (route.interface == LOOPBACK and is_kernel and chosen.name != LOOPBACK):
            continue
        if chosen.has(route, is_kernel=is_kernel):
            yield route, interfaces


def _order(route: RouteState) -> tuple[int, int, int]:
    """Return a sort key: the kernel lists routes by address."""
    network = ip_network(route.prefix)
    return int(network.network_address), network.prefixlen, route.metric


def _is_v6(chosen: _Chosen) -> bool:
    networks = [network for network in (chosen.root, chosen.match) if network is not None]
    return ":" in chosen.gateway or any(network.version == 6 for network in networks)


def _item(route: RouteState, interfaces: dict[str, InterfaceState], chosen: _Chosen) -> Item:
    """Return a rule with the field names of iproute2."""
    item: Item = {"dst": route.destination}
    if route.gateway is not None and not chosen.gateway:
        item["gateway"] = route.gateway.partition("%")[0]
    if not chosen.name:
        item["dev"] = route.interface
    is_kernel = is_connected(route, interfaces)
    if is_kernel and not chosen.protocol:
        item["protocol"] = "kernel"
    if route.gateway is None and route.family == "inet":
        item["scope"] = "link"
    source = _own_source(route, interfaces[route.interface], is_kernel=is_kernel)
    item |= {"prefsrc": source} if source else {}
    if route.metric:
        item["metric"] = route.metric
    return item | {"flags": ["onlink"] if route.onlink else []}


def _own_source(route: RouteState, interface: InterfaceState, *, is_kernel: bool) -> str | None:
    """Return the source that the rule has.

    Of IPv4, one without is listed with that of its interface; of IPv6, the kernel lists none for its own rules.
    """
    if is_kernel:
        return route.source if route.family == "inet" else None
    first = next((ours.address for ours in interface.addresses if ours.family == "inet"), None)
    return route.source if route.source != first else None


_WORDS: Final = {
    "gateway": "via", "dev": "dev", "protocol": "proto", "scope": "scope", "prefsrc": "src", "metric": "metric",
    "mtu": "mtu",
}  # fmt: skip


def _text(item: Item) -> str:
    words = [item["type"]] if "type" in item else []
    words.append(item["dst"])
    for name, word in _WORDS.items():
        if name in item:
            words += [word, str(item[name])]
    return " ".join([*words, *item["flags"]])


def _change(tree: Path, command: str, words: Words, style: Style) -> None:
    line = _rule_line(words, style, is_removal=command == "delete")
    wanted = parse_route(line)
    if command == "delete":
        named = {"via": wanted.gateway, "dev": wanted.interface, "metric": wanted.metric}
        same = (
            route
            for route in read_routes(tree)
            if (route.prefix, route.family) == (wanted.prefix, wanted.family)
            and named["via"] in (None, route.gateway)
            and named["dev"] in ("", route.interface)
            and ("metric" not in line.split() or wanted.metric == route.metric)
        )
        first = next(same, None)
        write(tree, "netcfg/route/rm", line if first is None else _to_remove(first))
        return
    twin = next((route for route in read_routes(tree) if _is_twin(route, wanted)), None)
    if command == "change" and twin is None:
        fail(REFUSED, f"there is no route {wanted.destination} to change")
    if twin is None or command == "add":
        write(tree, "netcfg/route/add", line)
    else:
        _replace(tree, twin, line)


def _is_twin(route: RouteState, wanted: RouteState) -> bool:
    return (route.prefix, route.metric) == (wanted.prefix, wanted.metric)


def _replace(tree: Path, twin: RouteState, line: str) -> None:
    """Put the rule *line* in the place of *twin*; if it is refused, *twin* stays."""
    before = _line(twin, _own_source(twin, read_interface(tree, twin.interface), is_kernel=False))
    write(tree, "netcfg/route/rm", _to_remove(twin))
    path = "netcfg/route/add"
    try:
        (tree / path).write_text(f"{line}\n")
    except OSError as error:
        try:
            fail_with(REFUSED, tree, path, error)
        finally:  # after `err` has been read, which is about the last failure
            (tree / path).write_text(f"{before}\n")


def _line(route: RouteState, source: str | None) -> str:
    words = [route.prefix]
    words += ["via", route.gateway] if route.gateway else []
    words += ["dev", route.interface, *(["src", source] if source else [])]
    words += ["metric", str(route.metric)] if route.metric else []
    return " ".join([*words, "onlink"] if route.onlink else words)


def _to_remove(route: RouteState) -> str:
    words = [route.prefix, *(["via", route.gateway] if route.gateway else [])]
    return " ".join([*words, "dev", route.interface, "metric", str(route.metric)])


def _rule_line(words: Words, style: Style, *, is_removal: bool) -> str:
    """Return the words as a line of `netcfg/route/add` or `rm`: iproute2's synonyms become its words."""
    line = []
    while words:
        word = words.next("a word")
        if word in ("via", "dev", "src"):
            if word == "via" and words.take("inet", "inet6"):
                pass
            value = words.next(f"the value of {word}")
            line += [] if is_removal and word == "src" else [word, value]
        elif word in ("metric", "preference", "priority"):
            line += ["metric", words.next("a metric")]
        elif word == "onlink":
            line += [] if is_removal else [word]
        elif word in ("proto", "protocol"):
            words.next("a protocol")  # a remark, which the table does not keep
        elif word == "scope":
            words.next("a scope")  # it follows from the gateway
        elif word == "table":
            _check_table(words)
        elif word == "unicast":
            pass
        elif not line:
            line.append(_destination(words.next("a prefix") if word == "to" else word))
        else:
            refuse(word, "route", "PREFIX, via, dev, src, metric, onlink, proto, scope, table main")
    if not line:
        fail(USAGE, "a destination is needed: PREFIX or default")
    if line[0] == "0.0.0.0/0":
        is_v6 = style.family == "inet6" or any(":" in word for word in line[1:])
        line[0] = "::/0" if is_v6 else "0.0.0.0/0"
    return " ".join(line)


def _destination(word: str) -> str:
    return str(prefix(word)) if word != "default" else "0.0.0.0/0"


def _get(tree: Path, words: Words, style: Style) -> None:
    address = words.next("an address")
    if words:
        refuse(words.next("a word"), "route get", "ADDRESS")
    path = f"netcfg/route/get/{address}"
    try:
        line = (tree / path).read_text().strip()
    except OSError as error:
        number = USAGE if error.errno == errno.EINVAL else REFUSED
        fail_with(number, tree, path, error)
    print_items([_found(parse_lookup(line))], style, _got_text)


def _got_text(item: Item) -> str:
    if ":" in item["dst"] and not item["cache"]:  # the kernel has a cache of routes for IPv4 only
        return _text(item)
    cache = f" <{','.join(item['cache'])}>" if item["cache"] else ""
    return f"{_text(item)}\n    cache{cache}"


def _found(found: RouteLookup) -> Item:
    """Return a lookup with the field names of iproute2."""
    item: Item = {"type": "local"} if found.local else {}
    item["dst"] = found.destination.partition("%")[0]
    item |= {"gateway": found.gateway.partition("%")[0]} if found.gateway else {}
    item["dev"] = found.interface
    item |= {"prefsrc": found.source.partition("%")[0]} if found.source else {}
    item |= {"mtu": found.path_mtu} if found.path_mtu else {}
    return item | {"flags": ["onlink"] if found.onlink else [], "cache": ["local"] if found.local else []}
