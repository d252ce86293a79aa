"""`schemefs ip neighbor`: the hosts on the same link, in the lines and JSON fields of ip-neighbour(8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemefs.tools.exit_status import fail
from schemefs.tools.ip_words import (
    REFUSED,
    USAGE,
    IpNetwork,
    Item,
    Style,
    Words,
    interface,
    is_in,
    need_interface,
    prefix,
    print_items,
    refuse,
    write,
)
from schemefs.tools.netcfg_state import IFACES, NeighborState, read_neighbors

COMMANDS: Final = {
    "add": "add", "change": "change", "chg": "change", "replace": "replace", "delete": "delete", "get": "get",
    "show": "show", "lst": "show", "list": "show", "flush": "flush",
}  # fmt: skip
STATES: Final = ("permanent", "reachable", "stale", "delay", "probe", "failed", "incomplete")


@dataclass(slots=True)
class _Chosen:
    """Which neighbors a command is about."""

    name: str = ""
    network: IpNetwork | None = None
    states: tuple[str, ...] = ()


def neighbor_command(tree: Path, command: str, words: Words, style: Style) -> None:
    """Run `ip neighbor COMMAND WORDS`."""
    if command == "show":
        chosen = _chosen(tree, words)
        items = [_item(neighbor, chosen) for neighbor in _neighbors(tree, chosen, style)]
        print_items(items, style, _brief if style.brief else _text)
    elif command == "flush":
        if not words:
            fail(USAGE, "flush needs to know what: dev IF, to PREFIX, nud STATE, all")
        chosen = _chosen(tree, words)
        for neighbor in tuple(_neighbors(tree, chosen, style)):
            if neighbor.state != "PERMANENT" or "PERMANENT" in chosen.states:
                _remove(tree, neighbor)
    else:
        _one(tree, command, words, style)


def _chosen(tree: Path, words: Words) -> _Chosen:
    chosen = _Chosen()
    while words:
        word = words.next("a word")
        if word == "dev":
            chosen.name = interface(tree, words.next("an interface"))
        elif word == "nud":
            state = words.next("a state")
            if state != "all" and state not in STATES:
                fail(USAGE, f"{state!r} is not a state: all, {', '.join(STATES)}")
            chosen.states = (*chosen.states, *map(str.upper, STATES if state == "all" else (state,)))
        elif word != "all":
            chosen.network = prefix(words.next("a prefix") if word == "to" else word)
    return chosen


def _neighbors(tree: Path, chosen: _Chosen, style: Style) -> Iterator[NeighborState]:
    for neighbor in read_neighbors(tree, chosen.name or None):
        family = "inet6" if ":" in neighbor.address else "inet"
        is_chosen = not chosen.states or neighbor.state in chosen.states
        if is_chosen and style.shows(family) and is_in(neighbor.address, chosen.network):
            yield neighbor


def _item(neighbor: NeighborState, chosen: _Chosen) -> Item:
    item: Item = {"dst": neighbor.address.partition("%")[0]}
    item |= {} if chosen.name else {"dev": neighbor.interface}
    item |= {"lladdr": neighbor.mac} if neighbor.mac is not None else {}
    return item | {"state": [neighbor.state]}


def _text(item: Item) -> str:
    words = [item["dst"], *(["dev", item["dev"]] if "dev" in item else [])]
    words += ["lladdr", item["lladdr"]] if "lladdr" in item else []
    return " ".join([*words, *item["state"]])


def _brief(item: Item) -> str:
    return f"{item['dst']:<39} {item.get('dev', ''):<16} {item.get('lladdr', '')}".rstrip()


def _one(tree: Path, command: str, words: Words, style: Style) -> None:
    """Run a command about one neighbor."""
    name = mac = address = ""
    while words:
        word = words.next("a word")
        if word == "dev":
            name = words.next("an interface")
        elif word == "lladdr":
            mac = words.next("a hardware address")
        elif word == "nud":
            if (state := words.next("a state")) != "permanent":
                refuse(f"nud {state}", "neighbor", "nud permanent")
        elif not address:
            address = words.next("an address") if word == "to" else word
        else:
            refuse(word, "neighbor", "ADDRESS, lladdr MAC, dev IF, nud permanent")
    if not address:
        fail(USAGE, "an address is needed: ADDRESS [lladdr MAC] dev IF")
    need_interface(tree, name)
    known = [found for found in read_neighbors(tree, name) if found.address.partition("%")[0] == address]
    if command in ("get", "change", "delete") and not known:
        fail(REFUSED, f"there is no neighbor {address} on {name}")
    if command == "get":
        print_items([_item(known[0], _Chosen())], style, _text)
    elif command == "delete":
        _remove(tree, known[0])
    elif command == "add" and known:
        fail(REFUSED, f"there is a neighbor {address} on {name} already")
    elif not mac:
        fail(USAGE, "'lladdr MAC' is needed")
    else:
        write(tree, f"{IFACES}/{name}/neighbors/add", f"{address} {mac}")


def _remove(tree: Path, neighbor: NeighborState) -> None:
    write(tree, f"{IFACES}/{neighbor.interface}/neighbors/rm", neighbor.address)
