"""The check of commit subjects: it looks at the commits since it was added, and at no others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHECK = Path(__file__).parents[2] / ".ci/commit-subjects"


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def check(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([directory / ".ci/commit-subjects"], capture_output=True, text=True, check=False)


def test_subjects_since_the_check_was_added(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(CHECK, tmp_path / ".ci")
    assert check(tmp_path).returncode == 0, "a source archive has no commits"
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "x" * 100)
    git(tmp_path, "add", ".ci")
    assert check(tmp_path).returncode == 0
    git(tmp_path, "commit", "-m", "y" * 100)
    git(tmp_path, "commit", "--allow-empty", "-m", "z" * 72)
    done = check(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    git(tmp_path, "commit", "--allow-empty", "-m", "é" * 73)
    done = check(tmp_path)
    assert done.returncode == 1
    assert "has 73 characters, 72 are allowed" in done.stdout
