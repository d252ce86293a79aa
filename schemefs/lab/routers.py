"""The daemons of a lab's routers: their interfaces by the topology, and where their trees are shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemefs.errors import StartError
from schemefs.lab import namespaces
from schemefs.lab.places import LOGS, SCHEME, TREES, tree_of
from schemefs.lab.router_daemon import RouterDaemon, RouterInterface
from schemefs.lab.topology import Interface, Link, Router, Topology
from schemefs.lab.wiring import Wiring

if TYPE_CHECKING:
    from schemefs.plugins import Plugins


def daemons(topology: Topology, plan: Wiring, plugins: Plugins) -> list[RouterDaemon]:
    """Return the daemons, to be started. StartError: a name of a router is taken in the tree."""
    names = tuple(router.name for router in topology.routers)
    taken = {scheme.name for scheme in plugins.schemes} | {"README", "err", "stats"}
    for name in names:
        if name in taken:
            raise StartError(f"a router can't be called {name!r}, since {SCHEME}/{name} exists: give it another name")
    os.mkdir(TREES)
    made: list[RouterDaemon] = []
    for router in topology.routers:
        is_first = not made
        point = SCHEME if is_first else tree_of(router.name)
        if not is_first:
            os.mkdir(point)
        made.append(
            RouterDaemon(
                name=router.name,
                interfaces=list(_interfaces(topology, plan, router)),
                routes=tuple(f"{destination} via {gateway}" for destination, gateway in router.routes),
                mount_point=point,
                log=f"{LOGS}/{router.name}",
                directories=names if is_first else (),
            )
        )
    return made


def show_trees(started: Sequence[RouterDaemon]) -> None:
    """Show the tree of each router at /scheme/NAME; that of the first is at /scheme already."""
    for one in started:
        place = f"{SCHEME}/{one.name}"
        if one.mount_point == SCHEME:
            namespaces.bind(SCHEME, place)
        else:
            namespaces.move(one.mount_point, place)


def _interfaces(topology: Topology, plan: Wiring, router: Router) -> list[RouterInterface]:
    return [_interface(plan, link, end) for link in topology.links for end in link.ends if end.owner == router.name]


def _interface(plan: Wiring, link: Link, end: Interface) -> RouterInterface:
    impair = tuple(link.impair.splitlines()) if link.impaired is end else ()
    options: dict[str, str | bool] = {"tap": plan.taps.get(end, ""), "host_address": "none"}
    if end in plan.sockets:
        options = {"socket": plan.sockets[end], "listen": True}
    return RouterInterface(
        name=end.name,
        driver="stream" if end in plan.sockets else "tap",
        options=options,
        addresses=end.addresses,
        mtu=link.mtu,
        impair=impair,
    )
