"""`schemefs why`: what a conversation has waited for most, in one sentence, from its `time`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning
from schemefs.errors import StartError
from schemefs.tools.conversation_name import conversation_of_argument, is_conversation_name
from schemefs.tools.exit_status import Tool, fail, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, meaning, show_json

EXAMPLES: Final = """
\b
Examples:
  exec 3<>/scheme/tcp/10.0.2.2:80; schemefs why 3
  schemefs why tcp/7
  schemefs why 10.0.2.2:80              the newest conversation with that peer
  schemefs why --json tcp/7 | jq -r '.[].parts[] | "\\(.cause) \\(.seconds)"'
"""

USAGE: Final = 2
_OF_PROGRAMS: Final = {
    "writer": "the program had nothing more to send",
    "idle": "the peer had the turn",
}
_SENTENCES: Final = {
    "name": "the look-up of the host",
    "path_wait": "the next hop's hardware address was not known, or the link had no room",
    "rto": "a segment was lost and sent again after a time-out",
    "handshake": "the handshake with {remote}",
    "recovery": "a lost segment was sent again",
    "peer_window": "the window of {remote} had no room",
    "congestion_window": "the congestion window was full ({cwnd} octets now, round trip {rtt} s)",
    "delayed_ack": "short segments waited for the ACK of the one before (Nagle: see the setting nodelay)",
    "closing": "the rest and the FIN were sent and acknowledged, after the last close",
    "reader": "the program did not read what had arrived",
    "tls": "the TLS handshake with {remote}",
}


@dataclass(frozen=True, slots=True)
class Part:
    """The time of one cause."""

    cause: str = field(metadata=meaning("as in docs/time.md"))
    seconds: float = field(metadata=meaning("for which it held"))
    reason: str = field(metadata=meaning("what was lost or looked up; empty: not known"))


@dataclass(frozen=True, slots=True)
class Why:
    """What one conversation has waited for."""

    conversation: str = field(metadata=meaning("such as `tcp/7`"))
    age: float = field(metadata=meaning("seconds, until now or its end: the sum of the parts"))
    cause: str = field(metadata=meaning("the largest that is not `idle` or `writer`; empty: there is none"))
    sentence: str = field(metadata=meaning("as it is printed without `--json`"))
    parts: tuple[Part, ...] = field(metadata=meaning("the largest first"))


def _targets(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    tree = context.params.get("tree")
    return beginning(_names(tree) if isinstance(tree, Path) else (), incomplete)


@click.command(cls=Tool, epilog=EXAMPLES)
@click.argument("target", required=False, metavar="[FD | tcp/N | HOST:PORT]", shell_complete=_targets)
@json_option
@mount_option
def command(tree: Path, target: str | None, *, as_json: bool) -> None:
    """Print what a conversation has waited for most.

    Without an argument: for each conversation of tcp and tls. `cat tcp/N/time` has all causes.
    """
    names = _names(tree) if target is None else [_named(tree, target)]
    found = [why for name in names if (why := why_of(tree, name, must_exist=target is not None)) is not None]
    if as_json:
        show_json(found)
        return
    for why in found:
        show(why.sentence if target is not None else f"{why.conversation}: {why.sentence}")


def _names(tree: Path) -> list[str]:
    """Return the conversations that have `time` and that the caller may see."""
    found: list[str] = []
    for protocol in ("tcp", "tls"):
        if (tree / protocol).is_dir():
            numbers = sorted(int(path.name) for path in (tree / protocol).iterdir() if path.name.isdecimal())
            found += [f"{protocol}/{number}" for number in numbers]
    return found


def _named(tree: Path, target: str) -> str:
    """Return the conversation that *target* means. A target that means none ends the tool."""
    if target.isdecimal():
        try:
            name = conversation_of_argument(int(target))
        except StartError as error:
            fail(USAGE, str(error))
    elif is_conversation_name(target):
        name = target
    elif ":" in target:
        return _with_peer(tree, target)
    else:
        fail(USAGE, f"{target!r} is no descriptor, no conversation such as tcp/7 and no peer such as 10.0.2.2:80")
    if not (tree / name / "time").exists():
        exists = (tree / name).exists()
        fail(USAGE, f"{name} is no stream, so it has no time" if exists else f"there is no conversation {name}")
    return name


def _with_peer(tree: Path, peer: str) -> str:
    """Return the newest conversation with *peer*: HOST is an address, or the name that was connected to."""
    host, _, port = peer.rpartition(":")
    newest, found = -1.0, ""
    for name, status in _statuses(tree):
        remote = str(status.get("remote", ""))
        is_named = remote.endswith(f":{port}") and f"the look-up of {host}\n" in _text(tree / name / "time")
        if (remote == peer or is_named) and (not found or status["age"] < newest):
            newest, found = status["age"], name
    if not found:
        fail(USAGE, f"there is no conversation with {peer}; schemefs ss has those there are")
    return found


def _statuses(tree: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in _names(tree):
        text = _text(tree / name / "status.json")
        status = json.loads(text) if text else {}
        if "age" in status:
            yield name, status


def _text(path: Path) -> str:
    """Return the text of a file; empty: it is another user's, or has just ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def why_of(tree: Path, name: str, *, must_exist: bool) -> Why | None:
    """Return the time of the conversation *name*; None: it has none, or has just ended."""
    rows = [line.split(" ", 3) for line in _text(tree / name / "time").splitlines()]
    parts = tuple(Part(row[0], float(row[1]), "".join(row[3:])) for row in rows)
    if not parts:
        if must_exist:
            fail(USAGE, f"{name} has not begun, or is another user's")
        return None
    age = sum(part.seconds for part in parts)
    largest = next((part for part in parts if part.cause not in _OF_PROGRAMS), None)
    status = json.loads(_text(tree / name / "status.json") or "{}")
    return Why(name, round(age, 6), largest.cause if largest else "", _sentence(parts, largest, age, status), parts)


def _sentence(parts: tuple[Part, ...], largest: Part | None, age: float, status: dict[str, Any]) -> str:
    others = [part for part in parts if part.cause in _OF_PROGRAMS]
    rest = f"for {_short(others[0].seconds)} s {_OF_PROGRAMS[others[0].cause]}" if others else ""
    if largest is None:
        return f"nothing held it up: {rest}"
    values = {"remote": "the peer", "cwnd": "?", "rtt": "?"} | {key: value for key, value in status.items() if value}
    words = largest.reason or _SENTENCES[largest.cause].format_map(values)
    more = f"; {rest}" if others and others[0].seconds > largest.seconds else ""
    return f"{_short(largest.seconds)} of {_short(age)} s: {words}{more}"


def _short(seconds: float) -> str:
    """Return seconds with hundredths, or with three digits where they are less than a tenth: 1.02, 0.00123."""
    return f"{seconds:.2f}" if seconds >= 0.1 else f"{seconds:.3g}"
