"""Host and service names in paths, from hosts(5) and services(5) files. A name service registers as `Names.resolver`.

The text of the hosts file can be changed at run time (netcfg/resolv/hosts).

    known       the addresses in the hosts file, at once; it never asks the network
    lookup      the same, or else those that the resolver finds; a callback gets them
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed, parse_number
from schemefs.net.internationalized import ascii_name

log = logging.getLogger("schemefs.names")

LOOPBACK = bytes((127, 0, 0, 1))
LOOPBACK_V6 = bytes(15) + b"\x01"


Answered = Callable[[tuple[bytes, ...] | SchemeError, float], None]
"""Called once, with `now` and the addresses of a host (at least one), or with the reason why there are none."""

Late = Callable[[tuple[bytes, ...], float], None]
"""Called at most once, after `Answered`, with the addresses of the other family, which came later; or with none."""


class Lookup(Protocol):
    """A lookup under way."""

    @property
    def expects_more(self) -> bool:
        """Whether the addresses of one family were given, and `Late` is still to be called."""

    def cancel(self) -> None:
        """Call neither callback from now on. Harmless after they were called."""


class Resolver(Protocol):
    """What the dns scheme registers as `Names.resolver`."""

    def lookup(self, host: str, answered: Answered, now: float, uid: int = 0, late: Late | None = None) -> Lookup:
        """Find the addresses of a name that is not in the hosts file; *answered* may be called before this returns.

        *late* gets the addresses of a family that *answered* did not wait for (RFC 8305 §3).

        ENOBUFS, as an answer: *uid* has too many look-ups under way.
        """


class AddressOrder(Protocol):
    """What the ip plugin registers as `Names.order`."""

    @property
    def uses_v6(self) -> bool:
        """Whether hosts beyond the link can be reached by IPv6: without it no AAAA record is looked up."""

    def ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the packed addresses of a host in the order in which to try them."""


class Names:
    """Maps host names to packed addresses, and service names to ports."""

    def __init__(self, hosts: str = "", services: str = "") -> None:
        self.on_change: list[Callable[[str], None]] = []  # called with `nameserver`, `search` or `hosts`
        self.resolver: Resolver | None = None
        self.order: AddressOrder | None = None
        self._nameservers: tuple[bytes, ...] = ()
        self._search: tuple[str, ...] = ()
        self._hosts_text = ""
        self._hosts: dict[str, tuple[bytes, ...]] = {}
        self._services = _parse_services(services)
        self.set_hosts(_without_bad_lines(hosts))

    @property
    def nameservers(self) -> tuple[bytes, ...]:
        """Packed addresses, the preferred one first; netcfg/resolv/nameserver."""
        return self._nameservers

    @nameservers.setter
    def nameservers(self, addresses: tuple[bytes, ...]) -> None:
        before, self._nameservers = self._nameservers, addresses
        self._report("nameserver", before != addresses)

    @property
    def search(self) -> tuple[str, ...]:
        """Domains to append to a short name; netcfg/resolv/search."""
        return self._search

    @search.setter
    def search(self, domains: tuple[str, ...]) -> None:
        before, self._search = self._search, domains
        self._report("search", before != domains)

    @property
    def nameserver(self) -> bytes:
        """The preferred name server; empty: none."""
        return self.nameservers[0] if self.nameservers else b""

    @nameserver.setter
    def nameserver(self, address: bytes) -> None:
        self.nameservers = (address,) if address else ()

    @property
    def hosts(self) -> str:
        """The text of the hosts file in force."""
        return self._hosts_text

    def set_hosts(self, text: str) -> None:
        """Replace the hosts file. ValueError: a bad line, quoted; nothing changes."""
        self._hosts = _parse_hosts(text)
        before, self._hosts_text = self._hosts_text, text
        self._report("hosts", before != text)

    def add_hosts(self, text: str) -> None:
        """Add lines to the hosts file. ValueError: a bad line, quoted; nothing changes."""
        before = self._hosts_text
        for name, addresses in _parse_hosts(text).items():
            self._hosts[name] = (*self._hosts.get(name, ()), *addresses)
        newline = "\n" if before and not before.endswith("\n") else ""
        self._hosts_text = f"{before}{newline}{text}"
        self._report("hosts", bool(text))

    def _report(self, what: str, has_changed: bool) -> None:
        for callback in tuple(self.on_change) if has_changed else ():
            callback(what)

    def known(self, host: str) -> tuple[bytes, ...]:
        """Return the packed addresses of *host*, ordered, if it is numeric or in the hosts file; else nothing."""
        address = packed(host)
        if address is not None:
            return (address,)
        name = host.lower().rstrip(".")
        listed = self._hosts.get(name, ())
        if name == "localhost" or name.endswith(".localhost"):
            listed += self._loopback_beside(listed)
        return self._ordered(listed)

    def _loopback_beside(self, listed: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the loopback addresses of the families that *listed* lacks.

        RFC 6761 §6.3: localhost is always the loopback address, whatever the hosts file has, and is not looked up.
        """
        of_network = (LOOPBACK_V6, LOOPBACK) if self.order is not None else (LOOPBACK,)
        return tuple(one for one in of_network if all(len(one) != len(other) for other in listed))

    def names_of(self, address: bytes) -> tuple[str, ...]:
        """Return the names that the hosts file gives a packed address: of each of its lines the first, as hosts(5)."""
        lines = map(_parse_hosts_line, self._hosts_text.splitlines())
        return tuple(dict.fromkeys(line[1][0] for line in lines if line is not None and line[0] == address))

    def addresses(self, host: str) -> tuple[bytes, ...]:
        """Return the `known` addresses of *host*. ENOENT: there are none."""
        found = self.known(host)
        if not found:
            raise _unknown(host)
        return found

    def lookup(self, host: str, answered: Answered, now: float, uid: int = 0, late: Late | None = None) -> Lookup:
        """Call *answered* with the addresses of *host*: before this returns, or when the resolver has found them.

        *late* gets those of the other family where they come later; None: they are of no use then.
        """
        known = self.known(host)
        if not known and self.resolver is not None:

            def receive(answer: tuple[bytes, ...] | SchemeError, now: float) -> None:
                answered(answer if isinstance(answer, SchemeError) else self._ordered(answer), now)

            return self.resolver.lookup(host, receive, now, uid, late)
        answered(known or _unknown(host), now)
        return _DONE

    def _ordered(self, addresses: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return self.order.ordered(addresses) if self.order is not None and len(addresses) > 1 else addresses

    def port(self, text: str, protocol: str) -> int:
        """Return the port that *text*, a number or the name of a service of *protocol*, stands for. EINVAL: none."""
        if text.isdecimal():
            try:
                return parse_number(text, 0, 65535)
            except ValueError as error:
                raise SchemeError(errno.EINVAL, f"port: {error}") from None
        try:
            return self._services[text.lower(), protocol]
        except KeyError:
            raise SchemeError(errno.EINVAL, f"there is no {protocol} service {text!r}") from None


def _unknown(host: str) -> SchemeError:
    return SchemeError(errno.ENOENT, f"no address is known for {host!r}; netcfg/resolv/hosts does not list it")


class _Done:
    """A lookup whose callback was called before `lookup` returned."""

    expects_more = False

    def cancel(self) -> None:
        """Do nothing: the callback was called."""


_DONE = _Done()


def _parse_hosts(text: str) -> dict[str, tuple[bytes, ...]]:
    hosts: dict[str, tuple[bytes, ...]] = {}
    for line in text.splitlines():
        parsed = _parse_hosts_line(line)
        if parsed is not None:
            address, names = parsed
            for name in names:
                hosts[name] = (*hosts.get(name, ()), address)
    return hosts


def _parse_hosts_line(line: str) -> tuple[bytes, list[str]] | None:
    words = line.partition("#")[0].split()
    if not words:
        return None
    address = packed(words[0])
    if address is None or len(words) < 2 or "\0" in line:
        message = f"a line of the hosts file is ADDRESS NAME…, not {line!r}"
        raise ValueError(message)
    return address, [ascii_name(word).lower().rstrip(".") for word in words[1:]]


def _without_bad_lines(text: str) -> str:
    """Return the machine's hosts file without its bad lines: they must not keep the daemon from starting."""
    good = []
    for line in text.splitlines(keepends=True):
        try:
            _parse_hosts_line(line)
        except ValueError as error:
            log.warning("ignored in the hosts file: %s", error)
        else:
            good.append(line)
    return "".join(good)


def _parse_services(text: str) -> dict[tuple[str, str], int]:
    services = {(name, protocol): port for name, port in _WELL_KNOWN for protocol in ("tcp", "udp")}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        port, slash, protocol = words[1].partition("/") if len(words) > 1 else ("", "", "")
        if slash and port.isdecimal():
            for name in (words[0], *words[2:]):
                services[name.lower(), protocol] = int(port)
    return services


# For machines without a services file; its entries win over these.
_WELL_KNOWN = (
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("domain", 53),
    ("tftp", 69),
    ("http", 80),
    ("ntp", 123),
    ("snmp", 161),
    ("https", 443),
    ("syslog", 514),
)
