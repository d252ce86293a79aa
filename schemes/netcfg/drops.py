"""`stats/drops`: the drop counters of all schemes and links, by reason, each with a sample: the last dropped frame.

    ip bad_checksum=3 10.0.2.2 > 10.0.2.15 udp 9 > 9, 48 octets: 45000030…
    eth0 link_down=2 02:52:54:00:12:34 > ff:ff:ff:ff:ff:ff type 0x0806, 42 octets: ffffffffffff…

Readers that may not configure the network get no octets of the sample: they may be of a payload.

The counters are those called `dropped_…` in a scheme's `stats` and in a driver's statistics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.impairment import IMPAIRED_PREFIX
from schemefs.scheme import Caller, TextFile

if TYPE_CHECKING:
    from schemefs.net.network_configuration import Interface
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import Scheme, SchemeContext

_PREFIX: Final = "dropped_"
_ROOT: Final = Caller(0)
_OCTETS: Final = re.compile(r"( \d+ octets): [0-9a-f]*$")


class DropsFile(TextFile):
    """`stats/drops`, as the caller may see it."""

    def __init__(self, context: SchemeContext, network: NetworkLayer) -> None:
        super().__init__()
        self._context = context
        self._network = network

    def read(self, caller: Caller, now: float) -> bytes:
        """Return one line per scheme or link and reason with a count above 0."""
        del now
        lines = _lines_of_all(self._context, self._network)
        if not self._context.is_privileged(caller):
            lines = [_OCTETS.sub(r"\1", line) for line in lines]
        return "".join(f"{line}\n" for line in lines).encode()


def _lines_of_all(context: SchemeContext, network: NetworkLayer) -> list[str]:
    lines: list[str] = []
    for name, scheme in context.tree.schemes.items():
        samples = scheme.drop_samples()
        lines += _lines(name, _reasons(_statistics(scheme)), samples)
    for name, interface in network.interfaces.items():
        samples = interface.drop_samples()
        lines += _lines(name, _reasons(interface.statistics()), samples)
        impaired = ((f"{IMPAIRED_PREFIX}{reason}", count) for reason, count in _reasons(_impairment_drops(interface)))
        lines += _lines(name, impaired, samples)
    return lines


def _lines(name: str, reasons: Iterable[tuple[str, int]], samples: Mapping[str, str]) -> Iterator[str]:
    for reason, count in reasons:
        yield f"{name} {reason}={count} {samples.get(reason, '')}".rstrip()


def _statistics(scheme: Scheme) -> dict[str, str]:
    """Return the rows of the scheme's `stats` file; empty: it has none."""
    try:
        node = scheme.lookup("stats", _ROOT)
    except SchemeError:
        return {}
    if not isinstance(node, TextFile):
        return {}
    lines = node.read(_ROOT, 0.0).decode().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def _impairment_drops(interface: Interface) -> dict[str, int]:
    """Return the counters of the interface's impairments, both directions together."""
    counts: dict[str, int] = {}
    for line in interface.impairment_effects():
        for name, _, value in (word.partition("=") for word in line.split()):
            if value.isdecimal():
                counts[name] = counts.get(name, 0) + int(value)
    return counts


def _reasons(counters: Mapping[str, int | float | str]) -> Iterator[tuple[str, int]]:
    for name, value in counters.items():
        if name.startswith(_PREFIX) and str(value).isdecimal() and int(value):
            yield name.removeprefix(_PREFIX), int(value)
