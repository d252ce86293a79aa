"""A program under `schemefs run` sees what it sees on sockets of the kernel: `run_snippets.py`, run both ways."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import run_snippets

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")

PROGRAM = (sys.executable, "-W", "ignore", str(Path(run_snippets.__file__)))
NAMES = [snippet.__name__ for snippet in run_snippets.SNIPPETS]


def sections(*prefix: str) -> dict[str, str]:
    done = subprocess.run([*prefix, *PROGRAM], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^== (\w+)\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def both(module_scheme_mount: SchemeMount) -> tuple[dict[str, str], dict[str, str]]:
    run = (sys.executable, "-m", "schemefs", "run", "--mount", str(module_scheme_mount.path), "--")
    return sections(), sections(*run)


@pytest.mark.parametrize("name", NAMES)
def test_a_snippet_prints_the_same(both: tuple[dict[str, str], dict[str, str]], name: str) -> None:
    native, run = both
    assert "raised" not in native[name]
    assert run[name] == native[name]
