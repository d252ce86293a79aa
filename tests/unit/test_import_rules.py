"""What schemes, drivers, schemefs.fs and schemefs.story may import. What is not on a list is an offence.

An import under TYPE_CHECKING counts too, but for `random`: a scheme is given its Random, and names the type. An entry
allows the module and those below it. Imports inside one scheme, one driver or schemefs.fs are always allowed.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

import pytest
from test_import_circles import modules, statements

# The standard library without I/O, without a clock and without chance
PURE = {
    "__future__", "abc", "bisect", "collections", "contextlib", "dataclasses", "enum", "errno", "functools", "hashlib",
    "heapq", "ipaddress", "itertools", "logging", "math", "operator", "re", "shlex", "struct", "textwrap", "types",
    "typing", "urllib.parse", "weakref",
}  # fmt: skip

# For a package, all of the lists of its prefixes
ALLOWED = {
    "schemes": PURE | {
        "schemefs.scheme", "schemefs.handle", "schemefs.nodes", "schemefs.conversation", "schemefs.readiness",
        "schemefs.shared", "schemefs.errors", "schemefs.log", "schemefs.names", "schemefs.timers",
        "schemefs.no_callback", "schemefs.shares", "schemefs.held_octets", "schemefs.driver", "schemefs.net",
    },
    "schemes.netcfg": {"schemefs.config", "schemefs.document", "schemefs.driver_option"},
    "schemes.netcfg.dhcp_wire": {"dpkt", "schemefs.deferred_module"},
    "schemes.network.pcapng": {"dpkt"},
    "schemes.network.capture": {"schemefs.deferred_module"},
    "schemes.dns.wire": {"dns", "schemefs.deferred_module"},
    "schemes.tls": {"ssl"},
    "drivers": PURE | {
        "schemefs.driver", "schemefs.driver_option", "schemefs.log", "schemefs.errors", "schemefs.no_callback",
        "schemefs.net",
    },
    "drivers.virtio": {"sys"},
    "drivers.loopback": {"trio"},
    "drivers.tap": {
        "drivers.virtio", "trio", "pyroute2", "fcntl", "json", "os", "pathlib", "shutil", "socket", "stat",
        "subprocess",
    },
    "drivers.stream": {"trio", "os", "socket", "stat"},
    "drivers.passt": {
        "drivers.stream", "trio", "os", "pathlib", "selectors", "shutil", "signal", "socket", "subprocess",
    },
    "schemefs.fs": PURE | {
        "schemefs.scheme", "schemefs.handle", "schemefs.nodes", "schemefs.readme", "schemefs.errors",
        "schemefs.failures", "schemefs.muted_events", "schemefs.timers", "schemefs.call_soon", "schemefs.log",
        "schemefs.no_callback", "schemefs.net.buffer",
        "trio", "pyfuse3", "ctypes", "inspect", "os", "pathlib", "select", "signal", "socket", "stat", "subprocess",
        "sys", "time",
    },
    "schemefs.fs.writer_process": {"fcntl"},
    "schemefs.story": PURE | {"schemefs.errors", "schemefs.net", "html", "json", "pathlib", "textwrap"},
    "schemefs.story.from_capture": {"dpkt", "schemefs.deferred_module", "schemefs.capture_reader"},
    "schemefs.story.plot": {"matplotlib"},
}  # fmt: skip
TYPES_ONLY = {"schemes": {"random"}}


@functools.cache
def trees() -> dict[str, ast.Module]:
    return modules()


def is_below(name: str, entry: str) -> bool:
    return name == entry or name.startswith(f"{entry}.")


def imported(statement: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield the modules that an import statement names."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            longer = f"{statement.module}.{alias.name}"
            yield longer if longer in known else str(statement.module)


def offences(name: str, tree: ast.Module, known: set[str]) -> list[str]:
    """Return what module *name* imports against the lists."""
    own = ".".join(name.split(".")[:2])
    found = []
    for types, lists in ((False, (ALLOWED,)), (True, (ALLOWED, TYPES_ONLY))):
        allowed = {own}.union(*(entries for rules in lists for top, entries in rules.items() if is_below(name, top)))
        for statement in statements(tree, types=types):
            for module in imported(statement, known):
                if not any(is_below(module, entry) for entry in allowed):
                    found.append(f"{name} imports {module}")
    return found


@pytest.mark.source
@pytest.mark.parametrize("top", ["schemes", "drivers", "schemefs.fs", "schemefs.story"])
def test_nothing_is_imported_that_is_not_allowed(top: str) -> None:
    checked = [name for name in trees() if is_below(name, top)]
    assert checked
    assert [offence for name in checked for offence in offences(name, trees()[name], set(trees()))] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("schemes.tcp.output", "import os"),
        ("schemes.tcp.output", "def f():\n    import time"),
        ("schemes.tcp.output", "import random"),
        ("schemes.tcp.output", "from schemes.ip import wire"),
        ("schemes.tcp.output", "from schemefs import daemon"),
        ("schemes.tcp.output", "import ssl"),
        ("schemes.tcp.output", "from schemefs.document import parse"),
        ("schemes.dns.scheme", "import dns.message"),
        ("drivers.virtio.queue", "import trio"),
        ("drivers.loopback.driver", "from drivers.tap import TapDriver"),
        ("drivers.tap.driver", "import schemefs.conversation"),
        ("schemefs.fs.mount", "import schemefs.plugins"),
        ("schemefs.fs.mount", "if TYPE_CHECKING:\n    from schemefs.daemon import Daemon"),
        ("schemefs.story.model", "import dpkt"),
    ],
)
def test_what_is_not_on_the_list_is_an_offence(name: str, text: str) -> None:
    assert offences(name, ast.parse(text), set(trees()))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("schemes.tcp.output", "from schemes.tcp.wire import FIN"),
        ("schemes.tcp.output", "if TYPE_CHECKING:\n    import random"),
        ("schemes.dns.wire", "import dns.message"),
        ("drivers.tap.device", "from drivers.virtio.queue import DeviceQueue"),
        ("schemefs.fs.mount", "from schemefs.fs import waiting"),
    ],
)
def test_what_is_on_the_list_is_none(name: str, text: str) -> None:
    assert offences(name, ast.parse(text), set(trees())) == []
