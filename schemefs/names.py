"""Names: hosts and services as files say them, for addresses in paths. A name service joins in as `resolver`.

The hosts file's text is editable at run time (netcfg/resolv/hosts). The formats are those of hosts(5) and services(5).

    addresses   what the hosts file knows, at once; it never asks the network
    lookup      the same, else the resolver is asked, which takes its time and answers by a callback
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from schemefs.errors import SchemeError
from schemefs.net.addresses import packed, parse_number

log = logging.getLogger("schemefs.names")

LOOPBACK = bytes((127, 0, 0, 1))


Answered = Callable[[tuple[bytes, ...] | SchemeError, float], None]
"""Is told once, with `now`, the addresses of a host (one at least), or why there are none."""


class Lookup(Protocol):
    """A question under way."""

    def cancel(self) -> None:
        """Nobody wants the answer any more: the callback is not called. Harmless when it was called already."""


class Resolver(Protocol):
    """What a name service gives, and registers as `Names.resolver`."""

    def lookup(self, host: str, answered: Answered, now: float) -> Lookup:
        """Ask for the addresses of a name that the hosts file has not; *answered* may be called before this returns."""


class Names:
    """Host names to packed addresses, service names to ports."""

    def __init__(self, hosts: str = "", services: str = "") -> None:
        self.on_change: list[Callable[[str], None]] = []  # called with `nameserver`, `search` or `hosts`
        self.resolver: Resolver | None = None
        self._nameservers: tuple[bytes, ...] = ()
        self._search: tuple[str, ...] = ()
        self._hosts_text = ""
        self._hosts: Mapping[str, tuple[bytes, ...]] = {}
        self._services = _parse_services(services)
        self.set_hosts(_without_bad_lines(hosts))

    @property
    def nameservers(self) -> tuple[bytes, ...]:
        """Whom to ask: packed, the preferred one first; netcfg/resolv/nameserver."""
        return self._nameservers

    @nameservers.setter
    def nameservers(self, addresses: tuple[bytes, ...]) -> None:
        before, self._nameservers = self._nameservers, addresses
        self._tell("nameserver", before != addresses)

    @property
    def search(self) -> tuple[str, ...]:
        """Domains that a short name may be in; netcfg/resolv/search."""
        return self._search

    @search.setter
    def search(self, domains: tuple[str, ...]) -> None:
        before, self._search = self._search, domains
        self._tell("search", before != domains)

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
        """Replace the hosts file; a bad line is a ValueError that quotes it, and nothing changes."""
        self._hosts = _parse_hosts(text)
        before, self._hosts_text = self._hosts_text, text
        self._tell("hosts", before != text)

    def _tell(self, what: str, is_news: bool) -> None:
        for told in tuple(self.on_change) if is_news else ():
            told(what)

    def known(self, host: str) -> tuple[bytes, ...]:
        """Return the packed addresses of *host* as far as nobody has to be asked: numeric, or in the hosts file."""
        address = packed(host)
        if address is not None:
            return (address,)
        name = host.lower().rstrip(".")
        if name in self._hosts:
            return self._hosts[name]
        # RFC 6761 §6.3: nobody is to be asked for these.
        return (LOOPBACK,) if name == "localhost" or name.endswith(".localhost") else ()

    def addresses(self, host: str) -> tuple[bytes, ...]:
        """Return what is `known` of *host*; ENOENT: nothing."""
        found = self.known(host)
        if not found:
            raise _unknown(host)
        return found

    def lookup(self, host: str, answered: Answered, now: float) -> Lookup:
        """Tell *answered* the addresses of *host*: before this returns, or when the resolver has found them."""
        known = self.known(host)
        if not known and self.resolver is not None:
            return self.resolver.lookup(host, answered, now)
        answered(known or _unknown(host), now)
        return _DONE

    def port(self, text: str, protocol: str) -> int:
        """Return the port that *text*, a number or a service name, means for *protocol*. EINVAL: unknown."""
        if text.isdecimal():
            try:
                return parse_number(text, 0, 65535)
            except ValueError as error:
                raise SchemeError(errno.EINVAL, f"no port: {error}") from None
        try:
            return self._services[text.lower(), protocol]
        except KeyError:
            raise SchemeError(errno.EINVAL, f"no {protocol} service is called {text!r}") from None


def _unknown(host: str) -> SchemeError:
    return SchemeError(errno.ENOENT, f"no address is known for {host!r} (netcfg/resolv/hosts has it not)")


class _Done:
    """A lookup that was answered at once."""

    def cancel(self) -> None:
        """There is nothing to cancel."""


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
    if address is None or len(words) < 2:
        message = f"not a line of a hosts file (ADDRESS NAME…): {line!r}"
        raise ValueError(message)
    return address, [word.lower().rstrip(".") for word in words[1:]]


def _without_bad_lines(text: str) -> str:
    """Return the machine's hosts file as it counts at start: what nobody can correct here must not stop the daemon."""
    good = []
    for line in text.splitlines(keepends=True):
        try:
            _parse_hosts_line(line)
        except ValueError as error:
            log.warning("left out of the hosts file: %s", error)
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
