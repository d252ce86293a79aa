"""`schemefs wait` and `schemefs which`: readiness and conversation of a shell's open file.

Both are children of the shell and inherit its descriptors, so the number of `exec 3<>…` means the same file here.
"""

from __future__ import annotations

import math
import select
import sys
from typing import Final

import click

from schemefs.errors import StartError
from schemefs.tools.conversation_name import conversation_of_argument
from schemefs.tools.seconds import seconds

TIMED_OUT: Final = 124  # the exit status, as of timeout(1)
MAX_WAIT: Final = 2**31 / 1000 - 1  # seconds: poll(2) takes milliseconds in an int

WAIT_EXAMPLE = """
\b
Example:
  exec 3<>/scheme/tcp/10.0.2.2:7
  schemefs wait --in -t 2.5 3 && read -r line <&3
"""


def wait(descriptor: int, *, readable: bool, writable: bool, timeout: float | None) -> bool:
    """Wait until a read (a write) on *descriptor* would not block. False: the time limit has passed.

    An error and the end of file count as ready. *timeout* is in seconds; None: no limit.
    """
    poller = select.poll()
    events = (select.POLLIN if readable else 0) | (select.POLLOUT if writable else 0)
    try:
        poller.register(descriptor, events)
    except OverflowError:  # it is no int of C
        raise StartError(f"descriptor {descriptor} is not open") from None
    ready = poller.poll(None if timeout is None else math.ceil(min(timeout, MAX_WAIT) * 1000))
    if ready and ready[0][1] & select.POLLNVAL:
        raise StartError(f"descriptor {descriptor} is not open")
    return bool(ready)


@click.command("wait", epilog=WAIT_EXAMPLE)
@click.argument("descriptor", metavar="FD", type=click.IntRange(min=0))
@click.option("--in", "readable", is_flag=True, help="Until a read would not block (the default).")
@click.option("--out", "writable", is_flag=True, help="Until a write would not block.")
@click.option("-t", "timeout", type=seconds(), metavar="SECONDS", help="The time limit.  [default: none]")
def wait_command(descriptor: int, *, readable: bool, writable: bool, timeout: float | None) -> None:
    """Wait until FD, an open file of the calling shell, is ready.

    An error or the end of file counts as ready: the next read or write shows it. Status 124: the time limit has passed.
    """
    ready = wait(descriptor, readable=readable or not writable, writable=writable, timeout=timeout)
    sys.exit(0 if ready else TIMED_OUT)


@click.command("which")
@click.argument("descriptor", metavar="FD", type=click.IntRange(min=0))
def which_command(descriptor: int) -> None:
    """Print the conversation of FD, such as tcp/7.

    FD is an open file of the calling shell.
    """
    click.echo(conversation_of_argument(descriptor))
