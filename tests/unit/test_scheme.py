"""The contract of a scheme: what a plugin must define, what it gets without defining it."""

from __future__ import annotations

import errno
import os
import random

import pytest

from schemefs import readme
from schemefs.config import Config
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.scheme import (
    Caller,
    Directory,
    Event,
    Handle,
    Scheme,
    SchemeContext,
    SchemeError,
    StaticDirectory,
    StreamFile,
    TextFile,
)
from schemefs.timers import Timers

CALLER = Caller(1000)


def context() -> SchemeContext:
    return SchemeContext(Timers(), random.Random(1), Config(), Names(), LogRings(lambda: 0.0), services={"ip": 7})


class LeastHandle(Handle):
    def __init__(self, path: str = "") -> None:
        self.path = path

    def fevent(self, interest: int) -> int:
        return interest & Event.OUT


class PathScheme(Scheme):
    """Open any path.

    The first line is the summary.
    """

    name = "paths"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.calls: list[tuple[str, int, Caller, float]] = []

    def open(self, path: str, flags: int, caller: Caller, now: float) -> Handle:
        self.calls.append((path, flags, caller, now))
        return LeastHandle(path)


def test_a_handle_needs_fevent() -> None:
    class Incomplete(Handle):
        def read(self, size: int, now: float) -> bytes | None:
            return None

        def write(self, data: memoryview, now: float) -> int | None:
            return None

        def close(self, now: float) -> None: ...

    with pytest.raises(TypeError, match="fevent"):
        Incomplete()  # type: ignore[abstract]


def test_a_handle_needs_nothing_else() -> None:
    """Reads and writes are refused, the close has nothing to release."""
    handle = LeastHandle()
    for call in (lambda: handle.read(1, 0.0), lambda: handle.write(memoryview(b"x"), 0.0)):
        with pytest.raises(SchemeError) as failure:
            call()
        assert failure.value.errno == errno.EACCES
    assert not handle.opening(0.0)
    assert handle.synced(0.0)
    assert handle.queued() is None
    assert handle.changed() == 0
    handle.close(0.0)


def test_a_scheme_without_a_tree_opens_what_is_looked_up() -> None:
    scheme = PathScheme(context())
    node = scheme.root.lookup("a:b,c", CALLER)
    assert isinstance(node, StreamFile)
    assert (node.kind | node.mode, node.uid, node.gid, node.size) == (0o100666, 0, 0, 0)
    assert scheme.calls == []
    handle = node.open(os.O_RDWR, CALLER, 2.5)
    assert isinstance(handle, LeastHandle)
    assert scheme.calls == [("a:b,c", os.O_RDWR, CALLER, 2.5)]


@pytest.mark.parametrize(("name", "path"), [("a%2Fb", "a/b"), ("a%2fb%25", "a%2fb%25"), ("%2Fetc%2F", "/etc/")])
def test_a_slash_is_written_as_in_options(name: str, path: str) -> None:
    scheme = PathScheme(context())
    node = scheme.root.lookup(name, CALLER)
    assert isinstance(node, StreamFile)
    node.open(os.O_RDONLY, CALLER, 0.0)
    assert scheme.calls[0][0] == path


def test_its_directory_is_made_for_it() -> None:
    scheme = PathScheme(context())
    listed = dict(readme.listing(scheme.root, CALLER))
    assert list(listed) == ["README", "err"]
    assert listed["err"] is scheme.err is scheme.lookup("err", CALLER)
    text = listed["README"]
    assert isinstance(text, TextFile)
    assert text.read(CALLER, 0.0).decode().splitlines() == [
        "Open any path.",
        "Open any other name; write %2F for a /.",
        "",
        "err  read        why your last call here failed",
    ]
    assert (scheme.root.mode, scheme.lookup("", CALLER)) == (0o555, scheme.root)


def test_looking_opens_nothing_and_a_stream_has_no_names() -> None:
    scheme = PathScheme(context())
    assert isinstance(scheme.lookup("anything", CALLER), StreamFile)
    assert scheme.lookup("x", CALLER) is not scheme.lookup("x", CALLER)  # two conversations
    with pytest.raises(SchemeError) as failure:
        scheme.lookup("a/b", CALLER)
    assert failure.value.errno == errno.ENOTDIR
    assert scheme.calls == []


class TreeScheme(Scheme):
    name = "tree"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self.root: Directory = StaticDirectory({"file": OneFile(), "err": self.err})


class OneFile(StreamFile):
    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        return LeastHandle("from the node")


def test_a_scheme_with_a_tree_is_walked() -> None:
    scheme = TreeScheme(context())
    handle = scheme.open("file", os.O_RDWR, CALLER, 0.0)
    assert isinstance(handle, LeastHandle)
    assert handle.path == "from the node"
    for path, number in (("err", errno.EINVAL), ("", errno.EISDIR), ("other", errno.ENOENT)):
        with pytest.raises(SchemeError) as failure:
            scheme.open(path, os.O_RDWR, CALLER, 0.0)
        assert failure.value.errno == number


def test_a_class_may_define_the_tree() -> None:
    class AttributeScheme(Scheme):
        name = "attribute"
        root = StaticDirectory({"a": TextFile(lambda: "x\n")})

    class PropertyScheme(Scheme):
        name = "property"

        @property
        def root(self) -> Directory:  # type: ignore[override]
            return AttributeScheme.root

    for scheme in (AttributeScheme(context()), PropertyScheme(context())):
        assert isinstance(scheme.lookup("a", CALLER), TextFile)


def test_a_scheme_with_neither_says_so() -> None:
    class EmptyScheme(Scheme):
        name = "empty"

    scheme = EmptyScheme(context())
    node = scheme.root.lookup("x", CALLER)
    assert isinstance(node, StreamFile)
    with pytest.raises(SchemeError, match="the scheme 'empty' defines neither `open` nor `root`") as failure:
        node.open(os.O_RDWR, CALLER, 0.0)
    assert failure.value.errno == errno.EOPNOTSUPP


def test_a_service_is_what_the_scheme_provides() -> None:
    assert context().service("ip", int) == 7
    with pytest.raises(KeyError):
        context().service("udp", int)
