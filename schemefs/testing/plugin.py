"""The pytest plugin: mounted schemes as fixtures. Every pytest run loads it, so it imports little.

    def test_x(scheme_mount):
        assert "127.0.0.1/8" in (scheme_mount.path / "netcfg/iface/lo/addr").read_text()

`scheme_mount` needs /dev/fuse only; `tap_network` needs root; `lab` needs user namespaces or root. They are made for
each test; those called `module_…` are shared by the tests of a module.

    @pytest.mark.impair("loss 5% seed 7")      the mount of `scheme_mount` or `tap_network` has these impairments

The report of a failed test has, for each mount: `err`, what was dropped since the test began, the impairments with
their counts and seeds, the last events of each conversation, and the daemon's log; and the report of the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from schemefs.scheme import Scheme
    from schemefs.testing.lab import Lab
    from schemefs.testing.mount import SchemeMount
    from schemefs.testing.mount_state import State
    from schemefs.testing.network import Namespace, TapNetwork

LOG_TAIL: Final = 20_000  # characters of log in a report

IMPAIRED: Final = ("scheme_mount", "tap_network")  # the fixtures that the marker is for

_live: dict[SchemeMount, str] = {}  # the mounts of all fixtures in use -> the name of the fixture
_live_labs: list[Lab] = []
_before: dict[Path, State] = {}  # of shared mounts: their state before the test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting of pytest.ini that switches the recording of events off."""
    help_text = "record the events of every conversation of the mounts of fixtures, for the reports of failed tests"
    parser.addini("schemefs_events", help_text, type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "impair(rules): impairments of the mount of scheme_mount or tap_network")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note the state of the mounts that earlier tests have used, before fixtures of this test use them."""
    if any(marker.name == "impair" for marker in item.own_markers):
        names: list[str] = getattr(item, "fixturenames", [])
        if not set(names) & set(IMPAIRED):
            message = f"the marker impair has no effect: the test uses neither {' nor '.join(IMPAIRED)}"
            pytest.fail(message, pytrace=False)
    _before.clear()
    used = _used(item) if _records(item.config) else []
    if used:
        from schemefs.testing.mount_state import observe

        _before.update({mounted.path: observe(mounted.path) for mounted in used})


@pytest.fixture(scope="session")
def _no_leftovers() -> None:
    """Before the first mount, remove what killed runs have left."""
    from schemefs.testing.leftovers import remove_leftovers

    for line in remove_leftovers():
        print(line)  # noqa: T201 - shown by pytest if the test fails


@pytest.fixture
def scheme_mount(_no_leftovers: None, request: pytest.FixtureRequest) -> Iterator[SchemeMount]:
    """A mount with the loopback driver: `.path`, `.log()`, `.pid`."""
    yield from _mounted(request)


@pytest.fixture(scope="module")
def module_scheme_mount(_no_leftovers: None, request: pytest.FixtureRequest) -> Iterator[SchemeMount]:
    """As `scheme_mount`, shared by the tests of a module."""
    yield from _mounted(request)


@pytest.fixture
def mount_scheme(_no_leftovers: None, request: pytest.FixtureRequest) -> Iterator[Callable[..., SchemeMount]]:
    """A function that mounts with the given options of `schemefs mount`; it may be called repeatedly.

    `mount_scheme(schemes=[MyScheme])` mounts a scheme that is not installed, and those it requires.
    """
    from schemefs.testing.mount import SchemeMount

    made: list[SchemeMount] = []

    def mount(*arguments: str, log_level: str = "debug", schemes: Sequence[type[Scheme]] = ()) -> SchemeMount:
        if not schemes and _records(request.config):
            arguments = (*(arguments or ("--driver", "loopback")), "--record-events")
        made.append(SchemeMount(*arguments, log_level=log_level, schemes=schemes))
        _live[made[-1]] = "mount_scheme"
        return made[-1]

    yield mount
    for mounted in reversed(made):
        del _live[mounted]
        mounted.close()


@pytest.fixture
def namespace(_no_leftovers: None) -> Iterator[Namespace]:
    """A new network namespace with lo up: `.run([…])`, `.start([…])`, `.prefix`. Needs root."""
    from schemefs.testing.network import Namespace

    made = Namespace()
    yield made
    made.close()


@pytest.fixture
def tap_network(_no_leftovers: None, request: pytest.FixtureRequest) -> Iterator[TapNetwork]:
    """A mount on a TAP and the Linux stack as its peer, in a new namespace: `.mount.path`, `.run_peer([…])`."""
    yield from _networked(request)


@pytest.fixture(scope="module")
def module_tap_network(_no_leftovers: None, request: pytest.FixtureRequest) -> Iterator[TapNetwork]:
    """As `tap_network`, shared by the tests of a module."""
    yield from _networked(request)


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
    """Add what the mounts and labs say to the report of a failure."""
    del call
    report = yield
    if report.failed and (_live or _live_labs):
        from schemefs.testing.mount_state import sections

        for mounted in _used(item):
            for title, text in sections(mounted.path, _before.get(mounted.path)):
                report.sections.append((f"{title} of the schemefs on {mounted.path}", text))
            report.sections.append((f"log of the schemefs on {mounted.path}", mounted.log()[-LOG_TAIL:]))
        for one in _live_labs:
            report.sections += one.router_sections()
            report.sections.append(("report of the lab", one.failure_text()))
    return report


def _lab() -> Iterator[Lab]:
    from schemefs.testing.lab import Lab

    made = Lab()
    _live_labs.append(made)
    yield made
    _live_labs.remove(made)
    made.close()


def _mounted(request: pytest.FixtureRequest) -> Iterator[SchemeMount]:
    from schemefs.testing.mount import SchemeMount

    mounted = SchemeMount("--driver", "loopback", *_options(request))
    _live[mounted] = request.fixturename or ""
    yield mounted
    del _live[mounted]
    mounted.close()


def _networked(request: pytest.FixtureRequest) -> Iterator[TapNetwork]:
    from schemefs.testing.network import TapNetwork

    network = TapNetwork(*_options(request))
    _live[network.mount] = request.fixturename or ""
    yield network
    del _live[network.mount]
    network.close()


def _options(request: pytest.FixtureRequest) -> list[str]:
    """Return the options of `schemefs mount` by the marker and the setting."""
    options = ["--record-events"] if _records(request.config) else []
    marker = request.node.get_closest_marker("impair") if request.scope == "function" else None
    if marker is not None:
        if not marker.args or marker.kwargs:
            pytest.fail(
                'the marker impair has no rules: write them as @pytest.mark.impair("loss 5% seed 7")', pytrace=False
            )
        from schemefs.net.impairment import parse_impairments

        try:
            parse_impairments(marker.args)
        except ValueError as error:
            pytest.fail(f"the marker impair: {error}", pytrace=False)
        options += ["--impair", "\n".join(marker.args)]
    return options


def _used(item: pytest.Item) -> list[SchemeMount]:
    """Return the mounts that *item* uses: those of its fixtures, also of those that its fixtures use."""
    names: list[str] = getattr(item, "fixturenames", [])
    return [mounted for mounted, fixture in _live.items() if fixture in names]


def _records(config: pytest.Config) -> bool:
    return bool(config.getini("schemefs_events"))
