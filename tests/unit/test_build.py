"""setup.py: when the core is compiled, and what the build says where it is not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.source


def build(scratch: Path, *arguments: str, **environment: str) -> str:
    """Run build_ext on a copy, with a mypyc that fails; return the lines of ours."""
    broken = scratch / "broken/mypyc"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('it is broken')\n")
    source = scratch / "source"
    without = shutil.ignore_patterns("*.py", "*.so", "__pycache__")
    shutil.copytree(ROOT / "schemefs", source / "schemefs", ignore=without)
    shutil.copy(ROOT / "setup.py", source)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *arguments], cwd=source, check=True, capture_output=True,
        text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(scratch / "broken"), **environment},
    )  # fmt: skip
    assert {path.name.split(".")[0] for path in scratch.rglob("*.so")} == {"_libfuse_hooks", "_internet_sum"}
    return "".join(re.findall(r"schemefs: .*\n", done.stderr))


def test_a_core_that_cant_be_compiled_stays_python(tmp_path: Path) -> None:
    said = build(tmp_path, SCHEMEFS_PURE="0")
    assert said == "schemefs: the core is not compiled and stays plain Python, slower: it is broken\n"


def test_a_plain_core_is_to_be_had(tmp_path: Path) -> None:
    said = build(tmp_path, SCHEMEFS_PURE="1")
    assert said == "schemefs: SCHEMEFS_PURE is set: the core stays plain Python\n"


def test_an_editable_install_never_compiles(tmp_path: Path) -> None:
    assert build(tmp_path, "--inplace") == ""


def test_every_module_of_the_core_exists() -> None:
    text = (ROOT / "setup.py").read_text()
    patterns = re.findall(r'^    "(.*\.py)",$', text, re.MULTILINE)
    assert patterns
    assert [pattern for pattern in patterns if not list(ROOT.glob(pattern))] == []


def test_a_compiled_module_in_the_checkout_is_an_error(tmp_path: Path) -> None:
    """It would be imported instead of its source."""
    shutil.copy(ROOT / "dev", tmp_path)
    script = (tmp_path / "dev").read_text().split("command=${1:-}")[0] + "no_compiled_modules\n"
    for name in ("schemefs/fs", "schemes/tcp", "drivers"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "schemefs/fs/_libfuse_hooks.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "dev").write_text(script)
    assert subprocess.run([tmp_path / "dev"], check=False).returncode == 0
    (tmp_path / "schemes/tcp/tcp.cpython-311-x86_64-linux-gnu.so").touch()
    done = subprocess.run([tmp_path / "dev"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "schemes/tcp/tcp.cpython-311-x86_64-linux-gnu.so" in done.stderr
