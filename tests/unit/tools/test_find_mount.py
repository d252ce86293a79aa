"""How a tool finds the tree."""

import errno
import os
from pathlib import Path

import pytest

from schemefs.errors import StartError
from schemefs.fs import mountinfo
from schemefs.tools import find_mount


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[mountinfo.MountEntry]:
    """What is mounted, as far as the finder can see."""
    mounts: list[mountinfo.MountEntry] = [mountinfo.MountEntry("/", "ext4", "/dev/sda1", 0)]
    monkeypatch.setattr(mountinfo, "mounts", lambda: iter(mounts))
    monkeypatch.delenv("SCHEME", raising=False)
    return mounts


def ours(path: str) -> mountinfo.MountEntry:
    return mountinfo.MountEntry(path, mountinfo.TYPE, mountinfo.source(1), 0)


def a_tree(path: Path) -> Path:
    path.mkdir()
    (path / "README").touch()
    return path


def test_the_only_one(mounted: list[mountinfo.MountEntry]) -> None:
    mounted.append(ours("/scheme"))
    assert find_mount.find() == Path("/scheme")


def test_none(mounted: list[mountinfo.MountEntry]) -> None:
    with pytest.raises(StartError, match="no schemefs is mounted"):
        find_mount.find()


def test_several_must_be_told_apart(mounted: list[mountinfo.MountEntry], tmp_path: Path) -> None:
    mounted += [ours(str(a_tree(tmp_path / "b"))), ours(str(a_tree(tmp_path / "a"))), ours("/closed")]
    with pytest.raises(StartError, match=rf"--mount DIR or \$SCHEME: {tmp_path}/a, {tmp_path}/b$"):
        find_mount.find()


def test_the_only_one_that_can_be_entered(mounted: list[mountinfo.MountEntry], tmp_path: Path) -> None:
    mounted += [ours(str(a_tree(tmp_path / "b"))), ours("/closed"), ours("/elsewhere")]
    assert find_mount.find() == tmp_path / "b"


def test_several_of_which_none_can_be_entered(mounted: list[mountinfo.MountEntry]) -> None:
    mounted += [ours("/closed"), ours("/elsewhere")]
    with pytest.raises(
        StartError, match="no schemefs can be used: .* another user's or do not answer: /closed, /elsewhere"
    ):
        find_mount.find()


def test_what_is_given_wins_over_the_variable_and_that_over_what_is_mounted(
    mounted: list[mountinfo.MountEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.append(ours("/scheme"))
    monkeypatch.setenv("SCHEME", str(a_tree(tmp_path / "variable")))
    assert find_mount.find() == tmp_path / "variable"
    assert find_mount.find(str(a_tree(tmp_path / "given"))) == tmp_path / "given"


def test_a_directory_that_is_no_tree(mounted: list[mountinfo.MountEntry], tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"no schemefs is mounted on {tmp_path}"):
        find_mount.find(str(tmp_path))


def failed(tree: Path, number: int, sentence: str) -> str:
    (tree / "tcp").mkdir(exist_ok=True)
    (tree / "tcp/err").write_text(f"{sentence}\n")
    return str(find_mount.failure(tree, "tcp/host:70000,nodelay", OSError(number, os.strerror(number))))


def test_a_failure_has_the_sentence_of_err_and_its_path_once(tmp_path: Path) -> None:
    assert failed(tmp_path, errno.ECONNREFUSED, "it sent a RST") == "tcp/host:70000: Connection refused: it sent a RST"
    for shown in ("tcp/host:70000,nodelay", "tcp/host:70000"):
        assert failed(tmp_path, errno.EINVAL, f"{shown}: '70000' is no port") == (
            "tcp/host:70000: Invalid argument: '70000' is no port"
        )


@pytest.mark.parametrize("number", [errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_a_failure_of_the_kernels_own_has_no_older_sentence(tmp_path: Path, number: int) -> None:
    assert failed(tmp_path, number, "an older call failed") == f"tcp/host:70000: {os.strerror(number)}"
