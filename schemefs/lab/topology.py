"""A lab with everything worked out: addresses, names of interfaces, routes. Nothing is started here.

Two ways lead here: a TOML file (`lab_file`), and the options --hosts and --link, where one router joins all hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from schemefs.lab.addressing import assign_addresses
from schemefs.lab.description import DescribedHost, DescribedLink, Description
from schemefs.lab.lab_file import parse_lab_file
from schemefs.lab.routes import Route, Segment, Ways, parse_route
from schemefs.net import faults
from schemefs.net.impairment import NOTHING, parse_impairments

ROUTER: Final = "router"  # the one router of a lab that options describe
DEFAULT_MTU: Final = 1500
_MTUS: Final = (68, 65520)  # RFC 791 §3.2; what a TAP and the framing of a guest carry
_LONGEST_INTERFACE: Final = 15  # IFNAMSIZ without its zero
_NO_INTERFACES: Final = ("lo", "add", "rm", "list")  # lo, and other files of netcfg/ifaces
_SEEDS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Interface:
    """One end of a link."""

    owner: str
    name: str  # of a host: eth0, eth1…; of a router: its peer's name, or on a segment of more than two the link's
    address: str  # 10.9.1.2/24
    address6: str = ""  # fd09:1::2/64; "": the link has no IPv6

    @property
    def addresses(self) -> tuple[str, ...]:
        """Both, or that of IPv4."""
        return (self.address, self.address6) if self.address6 else (self.address,)


@dataclass(frozen=True, slots=True)
class Link:
    """A link; more than two ends: one segment. Its first router applies `impair`, as seen from there."""

    name: str
    ends: tuple[Interface, ...]
    impair: str  # lines for the file `impair`, with seeds where the lab has one; "": none
    mtu: int
    impaired: Interface  # the end of the first router


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, or a QEMU guest."""

    name: str
    command: str = ""
    directory: str = ""  # of the command, absolute; "": the current one
    env: Mapping[str, str] = field(default_factory=dict)
    guest: bool = False
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Router:
    """A daemon."""

    name: str
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """Hosts, routers and links in the order of their description. *internet*: hosts have the machine's network too."""

    hosts: tuple[Host, ...]
    routers: tuple[Router, ...]
    links: tuple[Link, ...]
    seed: int | None = None
    internet: bool = False

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a TOML file. ValueError with a sentence: unreadable, malformed, or it contradicts itself."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise ValueError(message) from None
        except UnicodeDecodeError:
            message = f"{path}: not TOML: it is not UTF-8"
            raise ValueError(message) from None
        try:
            found = cls.from_description(parse_lab_file(text))
        except ValueError as error:
            message = f"{path}: {error}"
            raise ValueError(message) from None
        folder = Path(path).absolute().parent
        return replace(
            found, hosts=tuple(replace(host, directory=str(folder / host.directory)) for host in found.hosts)
        )

    @classmethod
    def from_options(
        cls,
        hosts: Iterable[str],
        links: Iterable[str] = (),
        *,
        seed: int | None = None,
        internet: bool = False,
        ipv6: bool = True,
    ) -> Self:
        """Join *hosts* by one router; each of *links* is HOST=RULES. ValueError with a sentence."""
        names = tuple(hosts)
        rules: dict[str, list[str]] = {name: [] for name in names}
        for option in links:
            name, equals, text = option.partition("=")
            if not equals:
                message = f"{option!r} is not HOST=RULES, such as client='delay 20ms loss 1%'"
                raise ValueError(message)
            if name not in rules:
                message = f"there is no host {name!r}; there are: {', '.join(names)}"
                raise ValueError(message)
            rules[name].append(text)
        return cls.from_description(
            Description(
                hosts=tuple(DescribedHost(name) for name in names),
                routers=(DescribedHost(ROUTER),),
                links=tuple(DescribedLink((name, ROUTER), impair="\n".join(texts)) for name, texts in rules.items()),
                seed=seed,
                internet=internet,
                ipv6=ipv6,
            )
        )

    @classmethod
    def from_description(cls, description: Description) -> Self:
        """Work out what a description leaves out. ValueError with a sentence."""
        _check_links(description)
        names = _link_names(description)
        segments, segments6 = (
            [
                Segment(name, dict(zip(link.between, assigned, strict=True)))
                for link, name, assigned in zip(description.links, names, addresses, strict=True)
                if assigned
            ]
            for addresses in assign_addresses(description, names)
        )
        routers = [router.name for router in description.routers]
        ways, ways6 = Ways(segments, routers), Ways(segments6, routers)
        _check_connected(description, ways)
        given = {owner.name: _given_routes(owner, [*segments, *segments6]) for owner in description.owners}
        return cls(
            hosts=tuple(
                Host(
                    host.name,
                    host.command,
                    host.directory,
                    host.env,
                    host.guest,
                    _merged(given[host.name], (*ways.of_host(host.name), *ways6.of_host(host.name))),
                )
                for host in description.hosts
            ),
            routers=tuple(
                Router(name, _merged(given[name], (*ways.of_router(name), *ways6.of_router(name)))) for name in routers
            ),
            links=tuple(_links(description, segments, {segment.name: segment for segment in segments6})),
            seed=description.seed,
            internet=description.internet,
        )

    def interfaces(self, owner: str) -> tuple[Interface, ...]:
        """Return the ends that a host or router has, in the order of the links."""
        return tuple(end for link in self.links for end in link.ends if end.owner == owner)

    def address(self, owner: str) -> str:
        """Return the address, without its prefix length, that the name of a host or router resolves to."""
        return self.interfaces(owner)[0].address.partition("/")[0]

    def address6(self, owner: str) -> str:
        """Return the same of IPv6, which is on the first link that has IPv6; "": there is none."""
        return next((end.address6.partition("/")[0] for end in self.interfaces(owner) if end.address6), "")


def _check_links(description: Description) -> None:
    """Raise ValueError unless the ends of the links are there, and each host and router has a link."""
    owners = {owner.name for owner in description.owners}
    routers = {router.name for router in description.routers}
    for number, link in enumerate(description.links, 1):
        where = f"link {link.name or number}: "
        for name in link.between:
            if name not in owners:
                message = f"{where}there is no host or router {name!r}; there are: {', '.join(sorted(owners))}"
                raise ValueError(message)
            if link.between.count(name) > 1:
                message = f"{where}{name!r} is named twice; a link joins different hosts and routers"
                raise ValueError(message)
        if not routers.intersection(link.between):
            message = f"{where}a link needs a router; none of {', '.join(link.between)} is one"
            raise ValueError(message)
        if link.mtu and not _MTUS[0] <= link.mtu <= _MTUS[1]:
            message = f"{where}{faults.bad_number(str(link.mtu), *_MTUS)}; mtu is in octets"
            raise ValueError(message)
    for owner in description.owners:
        if not any(owner.name in link.between for link in description.links):
            message = f"{owner.name!r} has no link; name it in the `between` of one"
            raise ValueError(message)


def _link_names(description: Description) -> list[str]:
    """Return a name for each link: given, or of its two ends, or `segment`; a number follows where it is taken."""
    given = [link.name for link in description.links if link.name]
    for name in given:
        if given.count(name) > 1:
            message = f"the link name {name!r} is given twice; each link has a name of its own"
            raise ValueError(message)
        if not name.isprintable() or name.split() != [name] or "/" in name:
            message = f"{name!r} is not a name of a link; letters, digits, dots and hyphens are allowed"
            raise ValueError(message)
    names: list[str] = []
    for link in description.links:
        ends = "-".join(link.between) if len(link.between) == 2 else "segment"
        names.append(link.name or _unique(ends, {*given, *names}))
    return names


def _check_connected(description: Description, ways: Ways) -> None:
    for owner in description.owners:
        far = ways.unreachable(owner.name)
        if far is not None:
            message = f"there is no way from {owner.name!r} to link {far.name!r}; join the two parts by a router"
            raise ValueError(message)


def _given_routes(owner: DescribedHost, segments: Sequence[Segment]) -> tuple[Route, ...]:
    own = [segment.ends[owner.name] for segment in segments if owner.name in segment.ends]
    routes = tuple(parse_route(text, owner.name, own) for text in owner.routes)
    destinations = [_destination(route) for route in routes]
    for destination in destinations:
        if destinations.count(destination) > 1:
            message = f"routes of {owner.name!r}: {destination[0]} is given twice"
            raise ValueError(message)
    return routes


def _merged(given: tuple[Route, ...], found: tuple[Route, ...]) -> tuple[Route, ...]:
    """Return both; a given route replaces the one found to the same destination."""
    destinations = {_destination(route) for route in given}
    return (*given, *(route for route in found if _destination(route) not in destinations))


def _destination(route: Route) -> tuple[str, bool]:
    """Return what tells a route from others: `default` is there for both families."""
    destination, gateway = route
    return destination, ":" in gateway


def _links(description: Description, segments: Sequence[Segment], segments6: Mapping[str, Segment]) -> Iterable[Link]:
    routers = {router.name for router in description.routers}
    taken: dict[str, set[str]] = {owner.name: set(_NO_INTERFACES) for owner in description.owners}
    for number, (link, segment) in enumerate(zip(description.links, segments, strict=True)):
        addresses6 = segments6[segment.name].ends if segment.name in segments6 else {}
        ends = tuple(
            Interface(
                owner,
                _interface_name(owner, segment, routers, taken[owner]),
                str(address),
                str(addresses6.get(owner, "")),
            )
            for owner, address in segment.ends.items()
        )
        impaired = next(end for end in ends if end.owner in routers)
        impair = _impair(link, segment.name, None if description.seed is None else description.seed + number)
        yield Link(segment.name, ends, impair, link.mtu or DEFAULT_MTU, impaired)


def _interface_name(owner: str, segment: Segment, routers: Iterable[str], taken: set[str]) -> str:
    """Return the name of an end, and add it to those taken there."""
    if owner not in routers:
        name = f"eth{len(taken) - len(_NO_INTERFACES)}"
    else:
        peers = [name for name in segment.ends if name != owner]
        name = _unique(peers[0] if len(peers) == 1 else segment.name, taken, _LONGEST_INTERFACE)
    taken.add(name)
    return name


def _unique(name: str, taken: Iterable[str], longest: int = 1 << 10) -> str:
    """Return *name*, cut to *longest*, with a number where it is taken."""
    chosen, number = name[:longest], 1
    while chosen in taken:
        number += 1
        chosen = f"{name[: longest - len(str(number)) - 1]}-{number}"
    return chosen


def _impair(link: DescribedLink, name: str, seed: int | None) -> str:
    try:
        return with_seeds(link.impair, seed)
    except ValueError as error:
        message = f"impair of link {name!r}: {error}"
        raise ValueError(message) from None


def with_seeds(text: str, seed: int | None) -> str:
    """Return rules, a line for each; *seed* is for those that take one and give none. ValueError with a sentence."""
    rules = [rule.strip() for line in text.splitlines() for rule in line.split(";") if rule.strip()]
    parse_impairments([rule for rule in rules if rule != NOTHING] or [NOTHING])
    parsed = [(rule, parse_impairments([rule])) for rule in rules]
    lines = []
    for rule, impairments in parsed:
        takes_seed = any(getattr(one, "seed", 0) is None for one in impairments)  # an exact rule has none
        lines += [f"{rule} seed {seed % _SEEDS}" if takes_seed and seed is not None else rule] if impairments else []
    return "\n".join(lines)
