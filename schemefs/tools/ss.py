"""`schemefs ss`: the conversations of every protocol, from their `status.json`, with the options of ss(8)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from schemefs.tools.exit_status import Tool, show
from schemefs.tools.find_mount import mount_option

EXAMPLES = """
\b
Examples:
  schemefs ss
  schemefs ss -t -o             only tcp, with its timers
  schemefs ss -l                only listeners
  schemefs ss --json | jq '.[].remote'
"""

# The protocols' names for octets that wait to be read, and for what waits to be sent or accepted.
_RECEIVED: Final = ("receive_queue", "octets_queued", "waiting")
_TO_SEND: Final = ("send_queue", "backlog")
_TIMES: Final = ("age", "rtt", "rto", "retransmissions", "timers")
_WAITING: Final = ("LISTEN", "BOUND")


def conversations(tree: Path) -> Iterator[dict[str, Any]]:
    """Yield the name and status of each conversation that the caller may see."""
    for protocol in sorted(path for path in tree.iterdir() if (path / "clone").exists()):
        separate = protocol / "conversations"  # of a protocol whose directory has numbers of another kind
        numbers = (path for path in (separate if separate.is_dir() else protocol).iterdir() if path.name.isdecimal())
        for conversation in sorted(numbers, key=lambda path: int(path.name)):
            try:
                status = json.loads((conversation / "status.json").read_text())
            except OSError:  # another user's, or it has just ended
                continue
            yield {"conversation": str(conversation.relative_to(tree)), **status}


@click.command(cls=Tool, epilog=EXAMPLES)
@click.option("-t", "--tcp", is_flag=True, help="Only tcp (with -u: both).")
@click.option("-u", "--udp", is_flag=True, help="Only udp (with -t: both).")
@click.option("-l", "--listening", is_flag=True, help="Only those that wait for a peer.")
@click.option(
    "-o", "--options", is_flag=True, help="Age, round-trip time, retransmission time-out, retransmissions, timers."
)
@click.option("--json", "as_json", is_flag=True, help="Print every field, as JSON.")
@mount_option
def command(tree: Path, *, tcp: bool, udp: bool, listening: bool, options: bool, as_json: bool) -> None:
    """Print the conversations.

    Columns: name, state, octets that wait to be read and to be sent, both ends, owner, and the
    process that last read or wrote, with its program.
    """
    protocols = [name for name, wanted in (("tcp", tcp), ("udp", udp)) if wanted]
    found = [
        status
        for status in conversations(tree)
        if (not protocols or status["conversation"].partition("/")[0] in protocols)
        and (not listening or status.get("state") in _WAITING)
    ]
    if as_json:
        show(json.dumps(found, indent=1))
        return
    rows = [
        ("NAME", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "UID", "PID", "PROGRAM", *(_TIMES if options else ()))
    ]
    rows += [_row(status, options=options) for status in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _pid(status: dict[str, Any]) -> str:
    return str(status.get("pid") or "-")


def _row(status: dict[str, Any], *, options: bool) -> tuple[str, ...]:
    def first(*names: str) -> str:
        value = next((status[name] for name in names if status.get(name) not in (None, "")), "-")
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    ends = (first("local"), first("remote", "host"), first("owner"), _pid(status), first("program"))
    times = tuple(first(name).replace(" ", ",") for name in _TIMES) if options else ()
    return first("conversation"), first("state"), first(*_RECEIVED), first(*_TO_SEND), *ends, *times
