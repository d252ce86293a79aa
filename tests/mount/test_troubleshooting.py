"""The files, options and commands in docs/troubleshooting.md exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount

PAGE = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
PATHS = sorted({path.rstrip(".,:;`)") for path in re.findall(r"/scheme/([\w./,<>-]+)", PAGE)} - {""})


@pytest.mark.needs("fuse")
@pytest.mark.parametrize("path", PATHS)
def test_the_named_files_exist(module_scheme_mount: SchemeMount, path: str) -> None:
    if "<n>" in path:
        pytest.skip("one conversation's own")
    assert (module_scheme_mount.path / path.replace("eth0", "lo")).exists()


@pytest.mark.needs("fuse")
@pytest.mark.parametrize(
    ("script", "lines"),
    [
        (r"printf '10.0.0.1 a\n10.0.0.2 b\n' >hosts", 1),
        (r"""text=$'10.0.0.1 a\n10.0.0.2 b'; echo "$text" >hosts""", 1),
        (r"""text=$'10.0.0.1 a\n10.0.0.2 b'; cat <<<"$text" >hosts""", 2),
    ],
)
def test_which_commands_write_hosts_in_one_write(module_scheme_mount: SchemeMount, script: str, lines: int) -> None:
    resolv = module_scheme_mount.path / "netcfg/resolv"
    subprocess.run(["bash", "-c", script], cwd=resolv, check=True)
    assert len((resolv / "hosts").read_text().splitlines()) == lines


@pytest.mark.parametrize("command", sorted(set(re.findall(r"schemefs (mount|umount|wait|which|doctor)\b", PAGE))))
def test_the_named_commands_exist(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "schemefs", command, "--help"], check=False, capture_output=True)
    assert done.returncode == 0
