"""The program `on HOST CMD` of a lab: a file of shell that enters the network namespace of a host and becomes CMD.

By exec: status, signals and standard input are CMD's own. nsenter (util-linux, busybox) makes the system call.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemefs.lab.places import ENVIRONMENTS, NETWORKS, PROGRAMS
from schemefs.lab.topology import Host

_TEXT: Final = """\
#!/bin/sh
# on HOST CMD…: run CMD in a host of this lab. on HOST -d CMD…: in the background, ended with the lab.
fail() {{ echo "on: $1" >&2; exit 2; }}
[ $# -gt 0 ] || fail "which host? the hosts are {hosts}"
host=$1
shift
case $host in "" | . | .. | */*) known= ;; *) [ -e "{networks}/$host" ] && known=1 ;; esac
[ -n "$known" ] || fail "there is no host '$host'; the hosts are {hosts}"
background=
if [ "$1" = -d ]; then background=1; shift; fi
[ "$1" = -- ] && shift
[ $# -gt 0 ] || fail "which command on $host?"
. "{environments}/$host"
if [ -n "$background" ]; then
    command -v -- "$1" >/dev/null || {{ echo "on: $1: not found" >&2; exit 127; }}
    setsid nsenter --net="{networks}/$host" -- "$@" </dev/null &
    exit 0
fi
exec nsenter --net="{networks}/$host" -- "$@"
"""


def install(hosts: Sequence[Host]) -> None:
    """Write the program and the variables of each host."""
    os.mkdir(PROGRAMS)
    os.mkdir(ENVIRONMENTS)
    for host in hosts:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in host.env.items()]
        Path(ENVIRONMENTS, host.name).write_text("".join(lines))
    path = Path(PROGRAMS, "on")
    names = ", ".join(host.name for host in hosts)
    path.write_text(_TEXT.format(hosts=names, networks=NETWORKS, environments=ENVIRONMENTS))
    path.chmod(0o755)
