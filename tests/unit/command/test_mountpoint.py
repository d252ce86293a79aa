"""What a directory says about what is mounted on it; the errors that need no mount."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from schemefs.command import mountpoint
from schemefs.errors import StartError
from schemefs.fs import mountinfo


def test_the_source_names_the_daemon() -> None:
    mount = mountinfo.MountEntry("/scheme", mountinfo.TYPE, mountinfo.source(os.getpid()), 0)
    assert mount.pid == os.getpid()


@pytest.mark.parametrize("source", ["schemefs", "schemefs:", "schemefs:x", "/dev/sda1", "other:1"])
def test_other_sources_name_nobody(source: str) -> None:
    mount = mountinfo.MountEntry("/scheme", mountinfo.TYPE, source, 0)
    assert mount.pid == 0
    assert not mount.daemon_lives


def test_a_process_that_is_not_ours_is_no_daemon() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        mount = mountinfo.MountEntry("/scheme", mountinfo.TYPE, mountinfo.source(other.pid), 0)
        assert not mount.daemon_lives
        other.kill()


@pytest.fixture
def unmounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is unmounted, where nothing really is."""
    paths: list[str] = []
    monkeypatch.setattr(mountinfo, "unmount", lambda path, lazy: paths.append(path))
    return paths


def test_of_two_daemons_with_one_process_id_each_ends_its_own(
    monkeypatch: pytest.MonkeyPatch, unmounted: list[str]
) -> None:
    name = mountinfo.source(os.getpid())
    shown = [mountinfo.MountEntry(f"/{device}", mountinfo.TYPE, name, 0, device) for device in (41, 42)]
    monkeypatch.setattr(mountinfo, "mounts", lambda: iter(shown))
    assert mountinfo.own_device("/42") == 42
    assert list(mountinfo.detach_own(41)) == []
    assert unmounted == ["/41"]
    assert list(mountinfo.detach_own(0)) == []
    assert unmounted == ["/41"]


def test_what_is_mounted_over_ours_stays(monkeypatch: pytest.MonkeyPatch, unmounted: list[str]) -> None:
    ours = mountinfo.MountEntry("/scheme", mountinfo.TYPE, mountinfo.source(os.getpid()), 0, 41)
    over = mountinfo.MountEntry("/scheme", "tmpfs", "none", 0, 42)
    monkeypatch.setattr(mountinfo, "mounts", lambda: iter([ours, over]))
    assert mountinfo.own_device("/scheme") == 41
    sentence = "none (tmpfs) is mounted over /scheme: the mount below it stays"
    assert list(mountinfo.detach_own(41)) == [sentence]
    assert unmounted == []


def test_proc_is_mounted_and_an_ordinary_directory_is_not(tmp_path: Path) -> None:
    mount = mountinfo.mounted_at("/proc")
    assert mount is not None
    assert mount.kind == "proc"
    assert mountinfo.mounted_at(str(tmp_path)) is None


def test_resolve_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert mountpoint.resolve(str(tmp_path / "link")) == str(tmp_path / "real")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "does not exist: make it first"),
        ("file", "is not a directory"),
        ("file/below", "is not a directory"),
    ],
)
def test_places_where_nothing_can_be_mounted(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=sentence), mountpoint.reserved(str(tmp_path / name)):
        pytest.fail("not reached")


def test_a_place_is_one_commands_at_a_time(tmp_path: Path) -> None:
    with mountpoint.reserved(str(tmp_path)):
        with pytest.raises(StartError, match="another schemefs is just being mounted"):
            with mountpoint.reserved(str(tmp_path)):
                pytest.fail("not reached")
    with mountpoint.reserved(str(tmp_path)):
        pass


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("/proc", r"not a schemefs but proc \(proc\)"), ("/", "not a schemefs"), ("/nothing/there", "does not exist")],
)
def test_what_cannot_be_unmounted(path: str, sentence: str) -> None:
    with pytest.raises(StartError, match=sentence):
        mountpoint.end_mount(path)


def test_nothing_mounted(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"nothing is mounted on {tmp_path}"):
        mountpoint.end_mount(str(tmp_path))


def test_no_fuse_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "FUSE_DEVICE", tmp_path / "fuse")
    with pytest.raises(StartError, match=r"there is no .*/fuse: load the module \(modprobe fuse\)"):
        mountpoint.check_fuse()


@pytest.mark.parametrize(
    ("conf", "uid", "asked", "private", "others", "said"),
    [
        ("", 0, False, False, True, ""),
        ("", 0, False, True, False, "for root alone"),
        ("", 4242, False, False, False, "for uid 4242 alone"),
        ("# user_allow_other\n", 4242, True, False, False, "for uid 4242 alone, because .* lacks user_allow_other"),
        ("user_allow_other # yes\n", 4242, True, False, True, ""),
        ("user_allow_other\n", 4242, True, True, False, "for uid 4242 alone"),
    ],
)
def test_who_may_use_the_mount(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    conf: str,
    uid: int,
    asked: bool,
    private: bool,
    others: bool,
    said: str,
) -> None:
    (tmp_path / "fuse.conf").write_text(conf)
    monkeypatch.setattr(mountpoint, "FUSE_CONF", tmp_path / "fuse.conf")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert mountpoint.others_allowed(asked=asked, private=private) is others
    assert re.fullmatch(said, mountpoint.audience(asked=asked, private=private))
