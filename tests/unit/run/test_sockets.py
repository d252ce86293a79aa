"""The table of sockets: found by the inode of their files, and dropped when their conversations are gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from schemefs.run import sockets as table
from schemefs.run.call import describe
from schemefs.run.sockets import Socket, Sockets


class Tree:
    """A tree of conversations: the files of a folder. Satisfies what the table uses of `run.tree.Tree`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "README").write_text("")
        with open(path / "README") as file:
            self.mount = describe("self", file.fileno()).mount

    def exists(self, name: str) -> bool:
        return (self.path / name.replace("/", "-")).exists()

    def open(self, number: int) -> int:
        return os.open(self.path / f"tcp-{number}", os.O_RDWR | os.O_CREAT)


class Call:
    """A call of this process whose first argument is a descriptor."""

    about = ""
    thread = os.getpid()

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def integer(self, index: int) -> int:
        assert index == 0
        return self.descriptor

    def require_valid(self) -> None:
        pass


def found(sockets: Sockets, descriptor: int) -> Any:
    call: Any = Call(descriptor)
    return sockets.find(call)[0]


def test_a_duplicate_is_the_same_socket_and_another_file_is_none(tmp_path: Path) -> None:
    tree: Any = Tree(tmp_path)
    sockets = Sockets(tree)
    one, two = tree.open(1), tree.open(2)
    copy = os.dup(one)
    made = Socket("tcp", "1", 2)
    sockets.add(one, made)
    assert found(sockets, one) is found(sockets, copy) is made
    assert found(sockets, two) is None
    pipe = os.pipe()
    assert found(sockets, pipe[0]) is None
    for descriptor in (one, two, copy, *pipe):
        os.close(descriptor)


def test_entries_of_conversations_that_are_gone_are_dropped(tmp_path: Path) -> None:
    tree: Any = Tree(tmp_path)
    sockets = Sockets(tree)
    kept = []
    for number in range(3 * table.SWEEP_AT):
        descriptor = tree.open(number)
        sockets.add(descriptor, Socket("tcp", str(number), 2))
        if number % 100:
            os.close(descriptor)
            (tmp_path / f"tcp-{number}").unlink()
        else:
            kept.append(descriptor)
    assert len(sockets) <= table.SWEEP_AT + len(kept)
    for descriptor in kept:
        assert found(sockets, descriptor) is not None
        os.close(descriptor)
