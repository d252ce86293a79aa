"""The pytest plugin: mounted schemes as fixtures. Every pytest run loads it, so it imports little.

    def test_x(scheme_mount):
        assert "127.0.0.1/8" in (scheme_mount.path / "netcfg/iface/lo/addr").read_text()

`scheme_mount` needs /dev/fuse only; `tap_network` needs root; `lab` needs user namespaces or root. They are made for
each test; those called `module_…` are shared by the tests of a module. The report of a failed test has the daemon's
log, and that of the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from schemefs.scheme import Scheme
    from schemefs.testing.lab import Lab
    from schemefs.testing.mount import SchemeMount
    from schemefs.testing.network import Namespace, TapNetwork

LOG_TAIL: Final = 20_000  # characters of log in a report

_live: list[SchemeMount] = []  # the mounts of all fixtures in use
_live_labs: list[Lab] = []


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


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A network of ordinary programs, without root: `.hosts("client", "server")`, `.link(host)`, `.report()`."""
    yield from _lab()


@pytest.fixture(scope="module")
def module_lab() -> Iterator[Lab]:
    """As `lab`, shared by the tests of a module."""
    yield from _lab()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the mounts, and the reports of the labs, to the report of a failure."""
    del item, call
    report = yield
    if report.failed:
        for mounted in _live:
            report.sections.append((f"log of the schemefs on {mounted.path}", mounted.log()[-LOG_TAIL:]))
        for one in _live_labs:
            report.sections.append(("report of the lab", one.failure_text()))
    return report


def _lab() -> Iterator[Lab]:
    from schemefs.testing.lab import Lab

    made = Lab()
    _live_labs.append(made)
    yield made
    _live_labs.remove(made)
    made.close()


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
