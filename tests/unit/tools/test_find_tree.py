"""How a tool finds the tree."""

from pathlib import Path

import pytest

from schemefs import mountpoint
from schemefs.errors import StartError
from schemefs.tools import tree


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[mountpoint.Mount]:
    """What is mounted, as far as the finder can see."""
    mounts: list[mountpoint.Mount] = [mountpoint.Mount("/", "ext4", "/dev/sda1", 0)]
    monkeypatch.setattr(mountpoint, "mounts", lambda: iter(mounts))
    monkeypatch.delenv("SCHEME", raising=False)
    return mounts


def ours(path: str) -> mountpoint.Mount:
    return mountpoint.Mount(path, mountpoint.TYPE, mountpoint.source(1), 0)


def a_tree(path: Path) -> Path:
    path.mkdir()
    (path / "README").touch()
    return path


def test_the_only_one(mounted: list[mountpoint.Mount]) -> None:
    mounted.append(ours("/scheme"))
    assert tree.find() == Path("/scheme")


def test_none(mounted: list[mountpoint.Mount]) -> None:
    with pytest.raises(StartError, match="no schemefs is mounted"):
        tree.find()


def test_several_must_be_told_apart(mounted: list[mountpoint.Mount]) -> None:
    mounted += [ours("/b"), ours("/a")]
    with pytest.raises(StartError, match=r"--mount DIR, or set \$SCHEME: /a, /b"):
        tree.find()


def test_what_is_given_wins_over_the_variable_and_that_over_what_is_mounted(
    mounted: list[mountpoint.Mount], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.append(ours("/scheme"))
    monkeypatch.setenv("SCHEME", str(a_tree(tmp_path / "variable")))
    assert tree.find() == tmp_path / "variable"
    assert tree.find(str(a_tree(tmp_path / "given"))) == tmp_path / "given"


def test_a_directory_that_is_no_tree(mounted: list[mountpoint.Mount], tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"no schemefs is mounted on {tmp_path}"):
        tree.find(str(tmp_path))
