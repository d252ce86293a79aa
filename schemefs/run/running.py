"""A program, its supervisor and a tree, put together."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from schemefs.errors import StartError
from schemefs.run import inherited
from schemefs.run.architectures import ARCHITECTURES
from schemefs.run.name_servers import NameServers
from schemefs.run.program import Program
from schemefs.run.supervisor import Supervisor
from schemefs.run.tree import Tree


def run(tree: Path, command: Sequence[str], say: Callable[[str], None], *, verbose: bool) -> int:
    """Run *command* on the sockets of *tree*; return its exit status. StartError: it could not be run."""
    machine = os.uname().machine
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise StartError(f"run knows the system calls of {' and '.join(ARCHITECTURES)}, not of {machine}")
    for sentence in inherited.close_inherited():
        say(sentence)
    try:
        files = Tree(tree)
    except OSError as error:
        raise StartError(f"the mount on {tree} can't be used: {error.strerror}") from None
    program = Program(command, architecture)
    _raise_limit()
    supervisor = Supervisor(program.listener, architecture, files, NameServers(files), verbose=verbose)
    supervisor.start()
    return program.wait()


def _raise_limit() -> None:
    """Let many calls wait at once, each with some descriptors. The program has its own limit, as it was."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
