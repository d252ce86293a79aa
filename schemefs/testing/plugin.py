"""The pytest plugin: mounted schemes as fixtures. Every pytest run loads it, so it imports little.

    def test_x(scheme_mount):
        assert "127.0.0.1/8" in (scheme_mount.path / "netcfg/iface/lo/addr").read_text()

`scheme_mount` needs /dev/fuse only; `tap_network` needs root. Both are made for each test; those called `module_…` are
shared by the tests of a module. The report of a failed test has the daemon's log.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from schemefs.scheme import Scheme
    from schemefs.testing.mount import SchemeMount
    from schemefs.testing.network import Namespace, TapNetwork

LOG_TAIL: Final = 20_000  # characters of log in a report

_live: list[SchemeMount] = []  # the mounts of all fixtures in use


@pytest.fixture(scope="session")
def _no_leftovers() -> None:
    """Before the first mount, remove what killed runs have left."""
    from schemefs.testing.leftovers import remove_leftovers

    for line in remove_leftovers():
        print(line)  # noqa: T201 - shown by pytest if the test fails


@pytest.fixture
def scheme_mount(_no_leftovers: None) -> Iterator[SchemeMount]:
    """A mount with the loopback driver: `.path`, `.log()`, `.pid`."""
    yield from _mounted()


@pytest.fixture(scope="module")
def module_scheme_mount(_no_leftovers: None) -> Iterator[SchemeMount]:
    """As `scheme_mount`, shared by the tests of a module."""
    yield from _mounted()


@pytest.fixture
def mount_scheme(_no_leftovers: None) -> Iterator[Callable[..., SchemeMount]]:
    """A function that mounts with the given options of `schemefs mount`; it may be called repeatedly.

    `mount_scheme(schemes=[MyScheme])` mounts a scheme that is not installed, and those it requires.
    """
    from schemefs.testing.mount import SchemeMount

    made: list[SchemeMount] = []

    def mount(*arguments: str, log_level: str = "debug", schemes: Sequence[type[Scheme]] = ()) -> SchemeMount:
        made.append(SchemeMount(*arguments, log_level=log_level, schemes=schemes))
        _live.append(made[-1])
        return made[-1]

    yield mount
    for mounted in reversed(made):
        _live.remove(mounted)
        mounted.close()


@pytest.fixture
def namespace(_no_leftovers: None) -> Iterator[Namespace]:
    """A new network namespace with lo up: `.run([…])`, `.start([…])`, `.prefix`. Needs root."""
    from schemefs.testing.network import Namespace

    made = Namespace()
    yield made
    made.close()


@pytest.fixture
def tap_network(_no_leftovers: None) -> Iterator[TapNetwork]:
    """A mount on a TAP and the Linux stack as its peer, in a new namespace: `.mount.path`, `.run_peer([…])`."""
    yield from _networked()


@pytest.fixture(scope="module")
def module_tap_network(_no_leftovers: None) -> Iterator[TapNetwork]:
    """As `tap_network`, shared by the tests of a module."""
    yield from _networked()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the mounts to the report of a failure."""
    del item, call
    report = yield
    if report.failed:
        for mounted in _live:
            report.sections.append((f"log of the schemefs on {mounted.path}", mounted.log()[-LOG_TAIL:]))
    return report


def _mounted() -> Iterator[SchemeMount]:
    from schemefs.testing.mount import SchemeMount

    mounted = SchemeMount()
    _live.append(mounted)
    yield mounted
    _live.remove(mounted)
    mounted.close()


def _networked() -> Iterator[TapNetwork]:
    from schemefs.testing.network import TapNetwork

    network = TapNetwork()
    _live.append(network.mount)
    yield network
    _live.remove(network.mount)
    network.close()
