"""Installs as users make them, isolated and from a package index: each gives the compiled core, and mounts.

./dev test --full tests/mount/test_installs.py -rP        the last lines have the seconds of each
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemefs.testing.leftovers import Place

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.full, pytest.mark.source, pytest.mark.needs("fuse")]

MINOR = ("3.11", "3.12", "3.13", "3.14")

# gcc as the compiler, but not of what mypyc writes.
FAILING = '#!/bin/sh\ncase "$*" in *mypyc* | *__native*) echo "no memory" >&2; exit 1 ;; esac\nexec gcc "$@"\n'


@functools.cache
def pythons() -> dict[str, str]:
    """Return the interpreters of this machine, in PATH or of pyenv, that can be installed into."""
    found = {}
    for minor in MINOR:
        versions = sorted((Path.home() / ".pyenv/versions").glob(f"{minor}.*/bin/python"))
        program = shutil.which(f"python{minor}") or (str(versions[-1]) if versions else "")
        if (
            program
            and subprocess.run([program, "-c", "import ensurepip"], check=False, capture_output=True).returncode == 0
        ):
            found[minor] = program
    return found


def run(*command: str | Path, **environment: str) -> str:
    """Run, and return all that is printed."""
    done = subprocess.run(
        list(map(str, command)), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        cwd="/", env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a clone."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("schemefs", "schemes", "drivers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return folder


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with build, pipx and uv."""
    folder = tmp_path_factory.mktemp("tools")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "-q", "install", "build", "pipx", "uv")
    return folder / "bin"


def environment(python: str, folder: Path) -> Path:
    """Make an empty environment; return its `bin`."""
    run(python, "-m", "venv", folder)
    return folder / "bin"


def core(schemefs: Path) -> str:
    """Return which core `schemefs doctor` names, after a mount has shown its address."""
    place = Place()
    directory = place.path / "m"
    directory.mkdir()
    place.note_mount(directory)
    try:
        run(schemefs, "mount", directory, "--driver", "loopback")
        assert "::1/128" in (directory / "netcfg/ifaces/lo/addr/list").read_text()
        run(schemefs, "umount", directory)
    finally:
        place.remove()
    done = subprocess.run([schemefs, "doctor"], check=False, capture_output=True, text=True, cwd="/")
    (line,) = (line for line in done.stdout.splitlines() if " core: " in line)
    return line.partition(" core: ")[2]


def timed(install: Callable[[], object]) -> None:
    """Install, and print the seconds; docs/decisions.md has what they should be."""
    began = time.monotonic()
    install()
    print(f"{time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("minor", MINOR)
def test_pip(minor: str, source: Path, tmp_path: Path) -> None:
    if minor not in pythons():
        pytest.skip(f"this machine: no Python {minor}")
    bin_ = environment(pythons()[minor], tmp_path / "env")
    timed(lambda: run(bin_ / "pip", "install", source))
    assert core(bin_ / "schemefs") == "is compiled"


def test_pipx(source: Path, tools: Path, tmp_path: Path) -> None:
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    timed(lambda: run(tools / "pipx", "install", source, **places))
    assert core(tmp_path / "bin/schemefs") == "is compiled"


def test_uv(source: Path, tools: Path, tmp_path: Path) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    timed(lambda: run(tools / "uv", "tool", "install", "--python", sys.executable, source, **places))
    assert core(tmp_path / "bin/schemefs") == "is compiled"


def test_build(source: Path, tools: Path, tmp_path: Path) -> None:
    """The wheel is made from the sdist, which so has all that a build needs."""
    timed(lambda: run(tools / "python", "-m", "build", "--outdir", tmp_path / "dist", source))
    bin_ = environment(sys.executable, tmp_path / "env")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(bin_ / "pip", "install", wheel)
    assert core(bin_ / "schemefs") == "is compiled"


@pytest.fixture
def failing_compiler(tmp_path: Path) -> Iterator[str]:
    program = tmp_path / "cc"
    program.write_text(FAILING)
    program.chmod(0o755)
    return str(program)


def test_a_core_that_is_not_wanted_is_plain(source: Path, tmp_path: Path) -> None:
    bin_ = environment(sys.executable, tmp_path / "env")
    printed = run(bin_ / "pip", "-v", "install", source, SCHEMEFS_PURE="1")
    assert "schemefs: SCHEMEFS_PURE is set: the core stays plain Python\n" in printed
    assert core(bin_ / "schemefs").startswith("runs as plain Python")


def test_a_core_that_cant_be_compiled_is_plain(source: Path, tmp_path: Path, failing_compiler: str) -> None:
    bin_ = environment(sys.executable, tmp_path / "env")
    printed = run(bin_ / "pip", "-v", "install", source, CC=failing_compiler)
    assert "schemefs: the core is not compiled and stays plain Python, slower: " in printed
    assert core(bin_ / "schemefs").startswith("runs as plain Python")
