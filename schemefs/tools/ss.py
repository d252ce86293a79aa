"""`schemefs ss`: the conversations of every protocol, from their `status.json`, with the options of ss(8)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from schemefs.command.completion import beginning
from schemefs.tools.exit_status import fail, show
from schemefs.tools.find_mount import mount_option
from schemefs.tools.json_output import json_option, show_json
from schemefs.tools.model_options import Model, ModelTool, options_of
from schemefs.tools.ss_filter import (
    LISTENING,
    SHOWN_BY_DEFAULT,
    UNCONNECTED,
    Filter,
    names_a_state,
    parse_filter,
    state_of,
    words_after,
)
from schemefs.tools.ss_summary import summary_of, summary_text
from schemefs.tools.tree_completion import own_addresses_of

EXAMPLES = """
\b
Examples:
  schemefs ss                   what is connected
  schemefs ss -a                all of it
  schemefs ss -t -o             only tcp, with its timers
  schemefs ss -l                only listeners
  schemefs ss -t -i state established dport = :443
  schemefs ss -H src 10.0.2.0/24
  schemefs ss --json | jq '.[].remote'
"""

# The protocols' names for octets that wait to be read, and for what waits to be sent or accepted.
_RECEIVED: Final = ("receive_queue", "octets_queued", "waiting")
_TO_SEND: Final = ("send_queue", "backlog")
_TIMES: Final = ("age", "rtt", "rto", "retransmissions", "timers")
_MEMORY: Final = ("receive_queue", "receive_capacity", "out_of_order", "send_queue")
_EXTENDED: Final = ("age", "readers", "writers")
_SHOWN: Final = {"conversation", "state", "local", "remote", "owner", "pid", "program", *_MEMORY, *_EXTENDED}


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


_SS: Final = Model(
    options_of(
        "ss",
        "-r -B -T -b -E -Z -z -N -0 -M -S -d -x -f -K -Q -A -D -F --resolve --bound-inactive --threads --tipcinfo "
        "--tos --cgroup --bpf --bpf-maps --events --context --contexts --net --packet --mptcp --sctp --dccp --unix "
        "--tipc --vsock --xdp --inet-sockopt --family --kill --no-queues --query --socket --diag --filter",
    ),
    has_sockets_of_mount=False,
)
"""Options of iproute2's ss for what only a kernel has."""


def _words_so_far(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    words = list(context.params.get("words") or ())
    offers = own_addresses_of(context) if words[-1:] == ["src"] else words_after(words)
    return beginning(offers, incomplete)


@click.command(cls=ModelTool, model=_SS, epilog=EXAMPLES)
@click.argument("words", metavar="[FILTER…]", nargs=-1, type=click.UNPROCESSED, shell_complete=_words_so_far)
@click.option("-t", "--tcp", is_flag=True, help="Only tcp (with -u: both).")
@click.option("-u", "--udp", is_flag=True, help="Only udp (with -t: both).")
@click.option("-w", "--raw", is_flag=True, help="Only raw ip.")
@click.option("-4", "--ipv4", is_flag=True, help="Only IPv4.")
@click.option("-6", "--ipv6", is_flag=True, help="Only IPv6.")
@click.option("-l", "--listening", is_flag=True, help="Only those that wait for a peer.")
@click.option("-a", "--all", is_flag=True, help="Listeners too, and what is not connected.")
@click.option("-n", "--numeric", is_flag=True, help="Numbers instead of names; this is the default.")
@click.option("-p", "--processes", is_flag=True, help="The process of each; this is the default.")
@click.option(
    "-o", "--options", is_flag=True, help="Age, round-trip time, retransmission time-out, retransmissions, timers."
)
@click.option("-i", "--info", is_flag=True, help="What the protocol knows, on a line of its own.")
@click.option("-m", "--memory", is_flag=True, help="Octets in the buffers, on a line of its own.")
@click.option("-e", "--extended", is_flag=True, help="Age, readers and writers, on a line of its own.")
@click.option("-H", "--no-header", is_flag=True, help="Without the line of titles.")
@click.option("-O", "--oneline", is_flag=True, help="-i, -m and -e on the line of the conversation.")
@click.option("-s", "--summary", is_flag=True, help="Only the numbers of conversations, by protocol and state.")
@json_option
@mount_option
def command(tree: Path, words: tuple[str, ...], **given: bool) -> None:
    """Print the conversations.

    Columns: name, state, octets that wait to be read and to be sent, both ends, owner, and the
    process that last read or wrote, with its program.

    FILTER is one of ss(8): state NAME, src and dst ADDRESS, sport and dport with a comparison, and, or, not.
    """
    try:
        passes = parse_filter(words)
    except ValueError as error:
        fail(1, str(error))
    is_shown = _states(words, given)
    found = [
        status
        for status in conversations(tree)
        if _is_of_protocol(status, given) and is_shown(status) and passes(status)
    ]
    if given["summary"]:
        summary = summary_of(found)
        if given["as_json"]:
            show_json(summary)
        else:
            show(summary_text(summary))
    elif given["as_json"]:
        show_json(found)
    else:
        _print_table(found, given)


def _is_of_protocol(status: dict[str, Any], given: dict[str, bool]) -> bool:
    """Return whether the options for protocols and families let it pass."""
    directory = status["conversation"].partition("/")[0]
    asked = [name for name in ("tcp", "udp", "raw") if given[name]]
    if asked and {"ip": "raw"}.get(directory, directory) not in asked:
        return False
    is_v6 = "[" in f"{status.get('local', '')}{status.get('remote', '')}"
    return given["ipv4"] == given["ipv6"] or given["ipv6"] == is_v6


def _states(words: Sequence[str], given: dict[str, bool]) -> Filter:
    """Return which states are shown: as in ss(8), listeners only on request."""
    if given["all"] or given["summary"] or (names_a_state(words) and not given["listening"]):
        return lambda _status: True
    if given["listening"]:
        return lambda status: state_of(status) in (LISTENING, UNCONNECTED)
    return lambda status: state_of(status) in SHOWN_BY_DEFAULT


def _print_table(found: list[dict[str, Any]], given: dict[str, bool]) -> None:
    """Print a line for each conversation, and one of details for each where the options ask for it."""
    times = _TIMES if given["options"] else ()
    rows = [("NAME", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "REMOTE", "UID", "PID", "PROGRAM", *times)]
    rows += [_row(status, options=given["options"]) for status in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    details = ["", *(_details(status, given) for status in found)]
    for number, (row, more) in enumerate(zip(rows, details, strict=True)):
        if number or not given["no_header"]:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            show(line + (f"{'  ' if given['oneline'] else f'{chr(10)}    '}{more}" if more else ""))


def _details(status: dict[str, Any], given: dict[str, bool]) -> str:
    """Return `name:value` of the fields that the options ask for."""
    names = [name for name in _EXTENDED if given["extended"]] + [name for name in _MEMORY if given["memory"]]
    names += [name for name in status if given["info"] and name not in _SHOWN]
    return " ".join(f"{name}:{str(status[name]).replace(' ', ',')}" for name in names if status.get(name, "") != "")


def _pid(status: dict[str, Any]) -> str:
    return str(status.get("pid") or "-")


def _row(status: dict[str, Any], *, options: bool) -> tuple[str, ...]:
    def first(*names: str) -> str:
        value = next((status[name] for name in names if status.get(name) not in (None, "")), "-")
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    ends = (first("local"), first("remote", "host"), first("owner"), _pid(status), first("program"))
    times = tuple(first(name).replace(" ", ",") for name in _TIMES) if options else ()
    return first("conversation"), first("state"), first(*_RECEIVED), first(*_TO_SEND), *ends, *times
