"""docs/run.md has every option of sockets that `schemefs run` knows, in the row of what it does with it."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from schemefs.run import options, timeouts

PAGE = (Path(__file__).parents[3] / "docs/run.md").read_text().partition("### Options of sockets")[2]
ROWS = [line for line in PAGE.partition("\n## ")[0].splitlines() if re.match(r"\| [A-Z]", line)]
PREFIXES = {options.SOCKET: "SO_", options.IP: "IP_", options.TCP: "TCP_", options.IPV6: "IPV6_"}
# Numbers of asm-generic/socket.h and linux/in.h that Python has no name for.
UNNAMED = {
    "SO_DEBUG": 1, "SO_DONTROUTE": 5, "SO_OOBINLINE": 10, "SO_PRIORITY": 12, "SO_RCVLOWAT": 18, "SO_RXQ_OVFL": 40,
    "SO_BUSY_POLL": 46, "SO_MAX_PACING_RATE": 47, "SO_INCOMING_CPU": 49, "SO_RCVTIMEO": 20, "SO_SNDTIMEO": 21,
    "IP_MTU_DISCOVER": 10, "IP_RECVERR": 11, "IP_FREEBIND": 15, "IP_BIND_ADDRESS_NO_PORT": 24,
    "IPV6_MTU_DISCOVER": 23, "IPV6_RECVERR": 25, "IPV6_AUTOFLOWLABEL": 70, "IPV6_ADDR_PREFERENCES": 72,
    "IPV6_FREEBIND": 78, "IPV6_ADD_MEMBERSHIP": 20, "IPV6_DROP_MEMBERSHIP": 21,
}  # fmt: skip


def keys(row: str) -> set[tuple[int, int]]:
    """Return the options that a row names."""
    found = set()
    for name in re.findall(r"\b(?:SO|TCP|IPV6|IP)_[A-Z0-9_]+\b", row):
        level = next(level for level, prefix in PREFIXES.items() if name.startswith(prefix))
        found.add((level, UNNAMED[name] if name in UNNAMED else getattr(socket, name)))
    return found


def row_of(text: str) -> str:
    return next(row for row in ROWS if text in row)


def test_what_is_set_in_the_mount() -> None:
    assert keys(row_of("set in the mount")) == {*options.SETTINGS, options.KEEPALIVE, options.KEEPIDLE}


def test_what_is_kept() -> None:
    kept = keys(row_of("without effect")) | keys(row_of("| kept"))
    assert kept == set(options.KEPT)


def test_time_outs() -> None:
    named = {(options.SOCKET, kind[0]) for kind in (timeouts.RECEIVING, timeouts.SENDING)}
    assert keys(row_of("time-outs of the conversation")) == named


def test_what_is_computed() -> None:
    computed = {(options.SOCKET, name) for name in options._COMPUTED}
    computed |= {(options.TCP, options.MAXSEG), (options.TCP, options.INFO)}
    assert keys(row_of("computed")) == computed


def test_what_is_refused() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| all others"))
    names = [name for name in re.findall(r"\b(?:SO|TCP|IPV6|IP)_[A-Z]+\b", row) if hasattr(socket, name)]
    assert len(names) >= 4
    for name in names:
        level = next(level for level, prefix in PREFIXES.items() if name.startswith(prefix))
        key = (level, getattr(socket, name))
        assert key not in {*options.SETTINGS, *options.KEPT, options.KEEPALIVE, options.KEEPIDLE}
