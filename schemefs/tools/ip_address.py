"""`schemefs ip address` and `ip link`: the interfaces, in the lines and JSON fields of ip-address(8) and ip-link(8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import fail
from schemefs.tools.ip_words import (
    FOREVER,
    USAGE,
    IpNetwork,
    Item,
    Style,
    Words,
    cidr,
    interface,
    is_in,
    need_interface,
    prefix,
    print_items,
    refuse,
    write,
)
from schemefs.tools.netcfg_state import (
    IFACES,
    LOOPBACK,
    InterfaceAddress,
    InterfaceState,
    interface_names,
    read_interface,
)

ADDRESS_COMMANDS: Final = {
    "add": "add", "change": "replace", "chg": "replace", "replace": "replace", "delete": "delete", "show": "show",
    "lst": "show", "list": "show", "flush": "flush",
}  # fmt: skip
LINK_COMMANDS: Final = {"set": "set", "show": "show", "lst": "show", "list": "show"}
_SHORTEST_BROADCAST: Final = 31  # RFC 3021: a /31 has no broadcast address
_AUTOMATIC: Final = ("loopback", "link-local", "stable", "temporary")
SCOPES: Final = ("global", "link", "host")
_FLAGS: Final = ("permanent", "dynamic", "tentative", "temporary", "secondary")


@dataclass(slots=True)
class _Chosen:
    """Which interfaces and addresses a command is about."""

    name: str = ""
    network: IpNetwork | None = None
    scope: str = ""
    flag: str = ""
    is_up: bool = False

    def has(self, address: Item) -> bool:
        """Return whether the address passes."""
        if not is_in(address["local"], self.network) or self.scope not in ("", address["scope"]):
            return False
        return not self.flag or (self.flag == "permanent" and "dynamic" not in address) or self.flag in address

    @property
    def is_about_addresses(self) -> bool:
        """Whether interfaces without such an address are left out."""
        return bool(self.network is not None or self.scope or self.flag)


def address_command(tree: Path, command: str, words: Words, style: Style) -> None:
    """Run `ip address COMMAND WORDS`."""
    if command == "show":
        _show_addresses(tree, _chosen(tree, words), style)
    elif command == "flush":
        _flush(tree, _chosen(tree, words, is_empty_allowed=False), style)
    else:
        _change(tree, command, words)


def _chosen(tree: Path, words: Words, *, is_empty_allowed: bool = True) -> _Chosen:
    if not words and not is_empty_allowed:
        fail(USAGE, "flush needs to know what: dev IF, to PREFIX, scope SCOPE")
    chosen = _Chosen()
    while words:
        word = words.next("a word")
        if word == "to":
            chosen.network = prefix(words.next("a prefix"))
        elif word == "scope":
            chosen.scope = words.next("a scope")
            if chosen.scope not in SCOPES:
                fail(USAGE, f"{chosen.scope!r} is not a scope: {', '.join(SCOPES)}")
        elif word == "up":
            chosen.is_up = True
        elif word in _FLAGS:
            chosen.flag = word
        else:
            chosen.name = interface(tree, words.next("an interface") if word == "dev" else word)
    return chosen


def _interfaces(tree: Path, chosen: _Chosen) -> Iterator[InterfaceState]:
    for name in [chosen.name] if chosen.name else interface_names(tree):
        state = read_interface(tree, name)
        if not chosen.is_up or state.state == "up":
            yield state


def _show_addresses(tree: Path, chosen: _Chosen, style: Style) -> None:
    items = []
    for state in _interfaces(tree, chosen):
        found = [item for item in _address_items(state) if style.shows(item["family"]) and chosen.has(item)]
        if found or not (chosen.is_about_addresses or (style.family and not chosen.name)):
            link = link_item(state, with_statistics=style.statistics)
            for name in ("link_type", "address", "broadcast") if style.family else ():
                link.pop(name, None)
            items.append({**link, "addr_info": found})
    if style.brief and not style.json:
        print_items(items, style, _brief_addresses)
    elif style.oneline and not style.json:
        single = ({**item, "addr_info": [one]} for item in items for one in item["addr_info"])
        print_items(single, style, lambda item: f"{_oneline_start(item)}{_address_text(item['addr_info'][0])}")
    else:
        print_items(items, style, lambda item: "\n".join(_full_text(item, with_link=not style.family)))


def _full_text(item: Item, *, with_link: bool) -> Iterator[str]:
    yield link_text(item, with_hardware=with_link)
    for address in item["addr_info"]:
        yield f"    {_address_text(address)}"


def _oneline_start(item: Item) -> str:
    return f"{item['ifindex']}: {item['ifname']}    "


def link_item(state: InterfaceState, *, with_statistics: bool) -> Item:
    """Return an interface with the field names of iproute2, without what the stack does not have (qdisc, group)."""
    is_loopback = state.name == LOOPBACK
    is_up, passes = state.state == "up", not state.fault
    kinds = ["LOOPBACK"] if is_loopback else ["BROADCAST", "MULTICAST"] if state.mac else ["POINTOPOINT", "NOARP"]
    flags = [*([] if passes else ["NO-CARRIER"]), *kinds, *(["UP"] if is_up else [])]
    flags += ["LOWER_UP"] if is_up and passes else []
    operational = "UNKNOWN" if is_loopback and is_up else "UP" if is_up and passes else "DOWN"
    item: Item = {"ifindex": state.index, "ifname": state.name, "flags": flags, "mtu": state.mtu}
    item |= {"operstate": operational}
    if is_loopback:
        item |= {"link_type": "loopback", "address": "00:00:00:00:00:00", "broadcast": "00:00:00:00:00:00"}
    elif state.mac:
        item |= {"link_type": "ether", "address": state.mac, "broadcast": "ff:ff:ff:ff:ff:ff"}
    else:
        item |= {"link_type": "none"}
    if with_statistics:
        item["stats64"] = {"rx": _counted(state, "received"), "tx": _counted(state, "sent")}
    return item


def _counted(state: InterfaceState, verb: str) -> dict[str, int]:
    def number(name: str) -> int:
        value = state.counters.get(name, 0)
        return int(value) if isinstance(value, int) else 0

    counted = {"bytes": number(f"{verb}_octets"), "packets": number(f"{verb}_frames")}
    if verb == "received":
        counted["dropped"] = sum(number(name) for name in state.counters if name.startswith("dropped_"))
    return counted


def _address_items(state: InterfaceState) -> Iterator[Item]:
    networks = set()
    for ours in state.addresses:
        network = ip_interface(ours.cidr).network
        yield _address_item(state, ours, is_secondary=ours.family == "inet" and network in networks)
        networks.add(network)


def _address_item(state: InterfaceState, ours: InterfaceAddress, *, is_secondary: bool) -> Item:
    item: Item = {"family": ours.family, "local": ours.address, "prefixlen": ours.prefix_length}
    if ours.family == "inet" and state.name != LOOPBACK and ours.prefix_length < _SHORTEST_BROADCAST:
        item["broadcast"] = str(IPv4Interface(ours.cidr).network.broadcast_address)
    item["scope"] = ours.scope
    if is_secondary:
        item["secondary"] = True
    if ours.origin == "temporary":
        item["temporary"] = True
    if ours.valid is not None:
        item["dynamic"] = True
    if ours.preferred == 0:
        item["deprecated"] = True
    if ours.tentative:
        item["tentative"] = True
    if ours.family == "inet":
        item["label"] = state.name
    for name, seconds in (("valid_life_time", ours.valid), ("preferred_life_time", ours.preferred)):
        item[name] = FOREVER if seconds is None else seconds
    return item


def link_text(item: Item, *, with_hardware: bool = True) -> str:
    """Return the lines about the interface itself."""
    text = f"{item['ifindex']}: {item['ifname']}: {_flags(item)} mtu {item['mtu']} state {item['operstate']}"
    if with_hardware:
        hardware = f" {item['address']} brd {item['broadcast']}" if "address" in item else ""
        text += f"\n    link/{item['link_type']}{hardware}"
    for title, counted in (("RX", "rx"), ("TX", "tx")):
        if "stats64" in item:
            values = item["stats64"][counted]
            text += f"\n    {title}: " + " ".join(f"{name:>10}" for name in values)
            text += "\n        " + " ".join(f"{value:>10}" for value in values.values())
    return text


def _flags(item: Item) -> str:
    return f"<{','.join(item['flags'])}>"


def _address_text(address: Item) -> str:
    words = [address["family"], f"{address['local']}/{address['prefixlen']}"]
    words += ["brd", address["broadcast"]] if "broadcast" in address else []
    words += ["scope", address["scope"]]
    words += [flag for flag in ("secondary", "temporary", "dynamic", "deprecated", "tentative") if flag in address]
    words += [address["label"]] if "label" in address else []
    times = f"valid_lft {_lifetime(address['valid_life_time'])}"
    return f"{' '.join(words)}\n       {times} preferred_lft {_lifetime(address['preferred_life_time'])}"


def _lifetime(seconds: int) -> str:
    return "forever" if seconds == FOREVER else f"{seconds}sec"


def _brief_addresses(item: Item) -> str:
    addresses = " ".join(f"{address['local']}/{address['prefixlen']}" for address in item["addr_info"])
    return f"{item['ifname']:<16} {item['operstate']:<14} {addresses}".rstrip()


def _brief_link(item: Item) -> str:
    return f"{item['ifname']:<16} {item['operstate']:<14} {item.get('address', '')} {_flags(item)}"


def _change(tree: Path, command: str, words: Words) -> None:
    """Add, replace or delete an address."""
    name = text = ""
    while words:
        word = words.next("a word")
        if word == "dev":
            name = words.next("an interface")
        elif word in ("brd", "broadcast"):
            words.next("an address")  # the stack has that of the network, whatever is given
        elif word == "scope":
            words.next("a scope")  # that of the address itself
        elif not text:
            text = words.next("an address") if word == "local" else word
        else:
            refuse(word, "address", "ADDRESS/LENGTH, dev IF, broadcast, scope")
    if not text:
        fail(USAGE, "an address is needed: ADDRESS/LENGTH dev IF")
    has_length = "/" in text
    text = cidr(text)
    directory = f"{IFACES}/{need_interface(tree, name)}/addr"
    present = [ours.cidr for ours in read_interface(tree, name).addresses]
    if command == "delete":
        same = [ours for ours in present if ours.partition("/")[0] == text.partition("/")[0]]
        write(tree, f"{directory}/rm", text if has_length or not same else same[0])
    elif command == "add" or text not in present:
        write(tree, f"{directory}/add", text)


def _flush(tree: Path, chosen: _Chosen, style: Style) -> None:
    """Remove the configured addresses that are chosen; what the stack makes by itself stays."""
    for state in _interfaces(tree, chosen):
        for item, ours in zip(_address_items(state), state.addresses, strict=True):
            if style.shows(ours.family) and chosen.has(item) and ours.origin not in _AUTOMATIC:
                write(tree, f"{IFACES}/{state.name}/addr/rm", ours.cidr)


def link_command(tree: Path, command: str, words: Words, style: Style) -> None:
    """Run `ip link COMMAND WORDS`."""
    if command == "set":
        _set(tree, words)
        return
    chosen = _chosen(tree, words)
    items = [link_item(state, with_statistics=style.statistics) for state in _interfaces(tree, chosen)]
    print_items(items, style, _brief_link if style.brief else link_text)


def _set(tree: Path, words: Words) -> None:
    words.take("dev")
    name = interface(tree, words.next("an interface"))
    changes = []
    while words:
        word = words.next("a word")
        if word in ("up", "down"):
            changes.append(("state", word))
        elif word in ("mtu", "address"):
            changes.append(("mac" if word == "address" else word, words.next(f"the {word}")))
        else:
            refuse(word, "link set", "IF, up, down, mtu OCTETS, address MAC")
    for file, value in changes:
        write(tree, f"{IFACES}/{name}/{file}", value)
