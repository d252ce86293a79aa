"""What doctor says of settings that can keep a user without root from a network, read from a tree like /proc/sys."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from drivers.passt import examination


def written(tree: Path, name: str, text: str) -> Path:
    path = tree / name
    path.parent.mkdir(parents=True)
    path.write_text(text + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "forbidding", "allowing"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu from 24.04 on
        ("kernel/unprivileged_userns_clone", "0", "1"),  # Debian, until 10
        ("user/max_user_namespaces", "0", "100"),
    ],
)
def test_a_setting_that_restricts_user_namespaces(
    name: str, forbidding: str, allowing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "_trial", str)
    path = written(tmp_path, name, forbidding)
    found = examination.user_namespaces(tmp_path)
    assert found.sentence.startswith(f"are restricted for users without root ({path} is {forbidding})")
    assert found.fix.startswith(f"as root: sysctl -w {name.replace('/', '.')}=")
    assert not found.works
    path.write_text(f"{allowing}\n")
    found = examination.user_namespaces(tmp_path)
    assert (found.sentence, found.works) == ("can be made", True)


def test_namespaces_that_no_setting_forbids_but_something_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's seccomp filter, as Docker's, or a chroot."""
    refusal = subprocess.CompletedProcess((), 1, "", "unshare: unshare failed: Operation not permitted\n")
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_options: refusal)
    found = examination.user_namespaces(tmp_path)
    assert found.sentence.startswith("can't be made (unshare: unshare failed: Operation not permitted)")
    assert not found.works


@pytest.mark.parametrize(("text", "is_possible"), [("1\t0", False), ("0\t2147483647", True), ("", True)])
def test_groups_that_may_ping(text: str, is_possible: bool, tmp_path: Path) -> None:
    written(tmp_path, "net/ipv4/ping_group_range", text)
    found = list(examination.echo(tmp_path))
    assert not found if is_possible else "ping_group_range is 1 0, without the group" in found[0].sentence


def test_another_group_may_ping(tmp_path: Path) -> None:
    first = 65535 if not os.geteuid() else max(os.getegid(), *os.getgroups()) + 1
    written(tmp_path, "net/ipv4/ping_group_range", f"{first}\t{first}")
    assert [finding.works for finding in examination.echo(tmp_path)] == [False]
