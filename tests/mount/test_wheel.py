"""The wheel: built from the tree, installed into an environment of its own, used outside the checkout."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import schemefs
from schemefs.fs import mountinfo
from schemefs.testing.leftovers import Place
from schemefs.variant import COMPILED, variant

# Where the core is compiled, it is the wheel that these tests run with, and the source lies beside it.
MADE = Path(sys.prefix).parent if variant() == COMPILED else None
ROOT = MADE / "source" if MADE else Path(__file__).parents[2]

ONE_OF_ITS_OWN = "raise SystemExit('the drivers of the working directory were imported')\n"


def run(*command: str | Path, cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=300, cwd=cwd,
        env=os.environ | {"SCHEMEFS_PURE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that nothing is written into the tree; the plain core, which takes less time."""
    if MADE:
        return next(MADE.glob("*.whl"))
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    without = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("schemefs", "schemes", "drivers", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=without)
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on is lent by ours, except our own schemefs."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps", "--no-index", wheel)
    lent = folder / "lent"
    lent.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "schemefs" not in entry.name and not entry.name.endswith(".pth"):
            (lent / entry.name).symlink_to(entry)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    (Path(site) / "lent.pth").write_text(f"{lent}\n")
    return folder


def test_it_has_every_package_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    in_tree = {
        str(path.relative_to(ROOT)) for top in ("schemefs", "schemes", "drivers") for path in (ROOT / top).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == in_tree
    assert any(name.startswith("schemefs/fs/_libfuse_hooks.") and name.endswith(".so") for name in names)
    assert any(name.startswith("schemes/tcp/arrival.") and name.endswith(".so") for name in names) == bool(MADE)
    assert {"schemefs/py.typed", "schemes/py.typed", "drivers/py.typed"} <= set(names)


def test_the_packages_are_those_of_the_tree() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for top in ("schemefs", "schemes", "drivers")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(declared) == found


def test_the_version_is_written_once(wheel: Path, environment: Path) -> None:
    """In schemefs/__init__.py: the wheel's metadata, its name and `--version` say the same."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    [name] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(zipfile.ZipFile(wheel).read(name))
    assert metadata["Version"] == schemefs.__version__ == wheel.name.split("-")[1]
    assert run(environment / "bin/schemefs", "--version").stdout == f"schemefs {metadata['Version']}\n"


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("program", [("schemefs",), ("python", "-m", "schemefs")])
def test_it_mounts_from_a_directory_that_has_drivers_and_schemes_of_its_own(
    environment: Path, tmp_path: Path, program: tuple[str, ...], _no_leftovers: None
) -> None:
    for name in ("drivers", "schemes", "trio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(ONE_OF_ITS_OWN)
    place = Place()
    directory = place.path / "m"
    directory.mkdir()
    place.note_mount(directory)
    command = (environment / "bin" / program[0], *program[1:])
    try:
        run(*command, "mount", directory, "--driver", "loopback", cwd=tmp_path)
        mount = mountinfo.mounted_at(str(directory))
        assert mount is not None
        place.note_process(mount.pid)
        # The daemon has mapped the wheel's libfuse hooks, not the checkout's.
        maps = Path(f"/proc/{mount.pid}/maps").read_text()
        assert f"{environment}/lib" in maps
        assert str(ROOT / "schemefs") not in maps
        assert (f"{environment}/lib" in maps and "__mypyc" in maps) == bool(MADE)
        assert "not available" not in (directory / "README").read_text()
        assert "::1/128" in (directory / "netcfg/ifaces/lo/addr/list").read_text()
        run(*command, "umount", directory, cwd=tmp_path)
    finally:
        place.remove()


@pytest.mark.needs("fuse")
def test_its_pytest_plugin_is_there(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_it(scheme_mount):\n"
        "    assert '::1/128' in (scheme_mount.path / 'netcfg/ifaces/lo/addr/list').read_text()\n"
    )
    done = run(environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "1 passed" in done.stdout


@pytest.mark.full
@pytest.mark.needs("fuse")
def test_it_installs_with_its_dependencies_from_the_index(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env")
    run(tmp_path / "env/bin/python", "-m", "pip", "-q", "install", wheel)
    assert run(tmp_path / "env/bin/schemefs", "--version").stdout.startswith("schemefs ")
    run(tmp_path / "env/bin/python", "-c", "from schemefs import daemon")
