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
def test_a_refused_line_without_newline_has_status_0_and_changes_nothing(module_scheme_mount: SchemeMount) -> None:
    netcfg = module_scheme_mount.path / "netcfg"
    before = (netcfg / "resolv/nameserver").read_text()
    for command, status in (("printf 10.0.2. >resolv/nameserver", 0), (r"printf '10.0.2.\n' >resolv/nameserver", 1)):
        assert subprocess.run(["bash", "-c", command], cwd=netcfg, check=False).returncode == status
        assert "'10.0.2.'" in (netcfg / "err").read_text()
        assert (netcfg / "resolv/nameserver").read_text() == before


@pytest.mark.parametrize("command", sorted(set(re.findall(r"schemefs (mount|umount|wait|which|doctor)\b", PAGE))))
def test_the_named_commands_exist(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "schemefs", command, "--help"], check=False, capture_output=True)
    assert done.returncode == 0
