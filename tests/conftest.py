"""What every test can rely on: the `needs` marker, `--full`, and the fixtures of schemefs.testing.

A test marked `needs("root", "tap", "fuse")` is skipped where the machine lacks one of them, and a last line says
how many were and why. REQUIRE=fuse,tap,root,programs in the environment (.ci/run sets it) makes such a skip an error.
Any other word is a program to be found in PATH: `needs("nft")`.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

from schemefs import timers
from schemefs.variant import COMPILED, PLAIN, variant
from tests.support.families import FAMILIES, Family, of_test

# The same examples at every run, so that a change makes it fail and not chance; --full looks for new ones.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=60, derandomize=True, database=None)
hypothesis.settings.register_profile("again", parent=hypothesis.settings.get_profile("quick"), max_examples=20)
hypothesis.settings.register_profile("full", deadline=None, max_examples=2000)

LACKS = "this machine: "
TESTED = "SCHEMEFS_TESTED_CORE"
SOURCE = Path(__file__).parents[1] / "setup.py"
LOOKED_AT = {"root", "readable", "userns", "fuse", "tap"}  # what is no program


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also bulk, floods, soaks and thousands of seeds")
    parser.addoption(
        "--compiled",
        action="store_true",
        default=os.environ.get(TESTED) == COMPILED,  # of a pytest that a test has started
        help="with the compiled core: ./dev test --compiled",
    )


def pytest_configure(config: pytest.Config) -> None:
    examples = "quick" if config.getoption("--compiled") else "again"  # where the compiled core makes them cheap
    hypothesis.settings.load_profile("full" if config.getoption("--full") else examples)
    wanted = COMPILED if config.getoption("--compiled") else PLAIN
    if variant() != wanted:
        raise pytest.UsageError(f"the core should be {wanted}, but {timers.__file__} was imported")
    os.environ[TESTED] = wanted
    # Where schemefs is installed its entry point has done this already.
    if not config.pluginmanager.hasplugin("schemefs"):
        from schemefs.testing import plugin

        config.pluginmanager.register(plugin, "schemefs")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that has the argument `family` with one, chosen by its name; with both by --full.

    `module_family` is for what a file has once, as its mount: the file's name chooses.
    """
    own = [marker.args[0] for marker in metafunc.definition.iter_markers("parametrize")]
    both = metafunc.definition.get_closest_marker("both_families")
    for name, chosen in (
        ("family", of_test(metafunc.definition.originalname)),
        ("module_family", of_test(metafunc.module.__name__.rpartition(".")[2])),
    ):
        if name in metafunc.fixturenames and not any(name in names for names in own):
            runs = [pytest.param(one, marks=() if both or one is chosen else pytest.mark.full) for one in FAMILIES]
            metafunc.parametrize(name, runs, ids=str, indirect=True)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Family:
    """IPv4 or IPv6; the TAP that the test uses has addresses of it at both ends."""
    chosen: Family = request.param
    for name in ("tap_network", "module_tap_network"):
        if name in request.fixturenames:
            chosen.prepare(request.getfixturevalue(name))
    return chosen


@pytest.fixture(scope="module")
def module_family(request: pytest.FixtureRequest) -> Family:
    """IPv4 or IPv6, for a fixture of the whole file; a test beside it takes this one and no `family`."""
    chosen: Family = request.param
    return chosen


def pytest_report_header(config: pytest.Config) -> str:
    return f"core: {variant()}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("full") and not item.config.getoption("--full"):
        pytest.skip("part of --full")
    if item.get_closest_marker("plain") and variant() == COMPILED:
        pytest.skip("for the core as plain Python")
    if item.get_closest_marker("source") and not os.path.exists(SOURCE):
        pytest.skip("about the checkout, which is not here")
    required = set(filter(None, os.environ.get("REQUIRE", "").split(",")))
    for marker in item.iter_markers("needs"):
        for what in marker.args:
            reason = _lacking(what)
            kind = what if what in LOOKED_AT else "programs"
            if reason and kind in required:
                pytest.fail(f"REQUIRE={kind}, but {reason}", pytrace=False)
            if reason:
                pytest.skip(LACKS + reason)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # From the reports, not from a counter of ours: with several workers they come from other processes.
    reports = terminalreporter.stats.get("skipped", [])
    reasons = (str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)
    skipped = Counter(reason.removeprefix(LACKS) for reason in reasons if reason.startswith(LACKS))
    for reason, count in skipped.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@functools.cache
def _lacking(what: str) -> str:
    """Return what the machine lacks of *what*; empty when it is there."""
    if what == "root":
        return _no_root()
    if what == "readable":
        return _closed_to_others()
    if what == "userns":
        return _no_user_namespaces()
    if what not in LOOKED_AT:
        return "" if shutil.which(what) else f"no {what}"
    path = {"fuse": "/dev/fuse", "tap": "/dev/net/tun"}[what]
    if not os.path.exists(path):
        return f"no {path}"
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def _no_root() -> str:
    if os.geteuid() != 0:
        return "not root"
    made = subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True)
    return "" if made.returncode == 0 else "root that may not make namespaces"


def _no_user_namespaces() -> str:
    """Say so where a user may not make one, as in a chroot, or where AppArmor keeps programs from it."""
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
    made = subprocess.run([*user, "unshare", "-Urmn", "true"], check=False, capture_output=True)
    return "" if made.returncode == 0 else "users may not make namespaces"


def _closed_to_others() -> str:
    """Say which folder keeps other users from running what is in this checkout, as a clone in /root does."""
    folders = (Path(__file__).resolve(), Path(sys.executable).absolute())
    closed = [parent for folder in folders for parent in folder.parents if not parent.stat().st_mode & 0o001]
    return f"other users can't read the checkout: {closed[0]} is closed to them" if closed else ""
