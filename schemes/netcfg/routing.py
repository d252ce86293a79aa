"""`route/`: the routing table, listed and edited in Redox's format, and the route of a single address."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_numeric
from schemefs.scheme import Caller, Directory, Node, StaticDirectory, TextFile
from schemes.netcfg.commands import Command, CommandFile, each_line
from schemes.netcfg.grammar import Rule, parse_rule_to_add, parse_rule_to_remove, reaches_gateways_last
from schemes.netcfg.rendering import rule_text

if TYPE_CHECKING:
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import SchemeContext


def route_directory(context: SchemeContext, network: NetworkLayer) -> StaticDirectory:
    """Return `route/`: `list`, `add`, `rm` and `get/<address>`."""

    def add(lines: list[str]) -> list[Command]:
        # The text of `list` has the default route first, before the host route to its gateway.
        rules = sorted(map(parse_rule_to_add, lines), key=reaches_gateways_last)
        return [partial(_add, rule) for rule in rules]

    def _add(rule: Rule, _now: float) -> None:
        rule.add_to(network.routes)

    def remove(line: str) -> Command:
        rule = parse_rule_to_remove(line)
        metric = rule.metric if "metric" in line.split() else None

        def apply(_now: float) -> None:
            try:
                network.routes.remove(
                    rule.destination, rule.prefix_length, via=rule.via, interface=rule.interface, metric=metric
                )
            except SchemeError as error:
                # ESRCH, "No such process", is the errno of routing sockets; for a file ENOENT is clearer.
                raise SchemeError(errno.ENOENT if error.errno == errno.ESRCH else error.errno, error.sentence) from None

        return apply

    def rules() -> str:
        return "".join(f"{rule_text(rule, network.interfaces)}\n" for rule in network.routes.list())

    return StaticDirectory(
        {
            "list": TextFile(rules).described("the rules, one per line"),
            "add": CommandFile(context, add).described(
                "default|PREFIX/LENGTH via GATEWAY|dev IF [src] [metric] [onlink]"
            ),
            "rm": CommandFile(context, each_line(remove)).described("default|PREFIX/LENGTH [via] [dev] [metric]"),
            "get": _RouteLookups(network),
        }
    ).described("the routing table, one rule per line")


class _RouteLookups(Directory):
    """`route/get/`: a file for every address; the directory lists none."""

    help = "get/ADDRESS: the rule that applies to an address, and why"

    def __init__(self, network: NetworkLayer) -> None:
        self._network = network
        self._files: WeakValueDictionary[bytes, TextFile] = WeakValueDictionary()  # files that have an inode now

    def lookup(self, name: str, caller: Caller) -> Node:
        """Return the file of an address. EINVAL: *name* is not an address."""
        del caller
        try:
            address = parse_numeric(name)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        file = self._files.get(address)
        if file is None:
            file = self._files[address] = TextFile(lambda: f"{self._network.routes.explain(address)}\n")
        return file

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return no entry: there are too many addresses."""
        del caller
        return ()
