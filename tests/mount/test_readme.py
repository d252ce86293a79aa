"""What the README shows is what happens: its session, its scheme and its test, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def steps(session: str) -> list[tuple[str, str]]:
    """Return (command, output) for each `$ command` of a console session."""
    return [
        (command, output)
        for command, output in re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", session, re.MULTILINE)
    ]


def test_the_session(tmp_path: Path) -> None:
    """One bash runs every line; what each prints, errors too, is what the README shows."""
    _, session = blocks("console")  # the first is a lab: tests/wire/test_lab_document.py
    session = session.replace("/tmp/scheme", str(tmp_path / "scheme"))
    lines = steps(session)
    assert 8 <= len(session.splitlines()) <= 25
    mark = "=== end of step ==="
    script = "".join(f"{command}\nprintf '{mark}\\n'\n" for command, _ in lines)
    end = f"cd /; exec 3>&- 4>&- 5>&-; schemefs umount {tmp_path}/scheme\n"
    program = {"PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}{end}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=program,
        check=False,
    )
    outputs = done.stdout.split(f"{mark}\n")
    assert len(outputs) == len(lines) + 1, done.stdout
    for (command, expected), output in zip(lines, outputs, strict=False):
        timed = re.sub(r" after [0-9.]+ ms$", " after 1.0 ms", output, flags=re.MULTILINE)
        found = re.sub(r"bash: line \d+: ", "", timed)
        assert found == expected, command
    assert outputs[-1].startswith("unmounted"), outputs[-1]


def test_the_scheme_of_your_own(tmp_path: Path) -> None:
    """By `--scheme`, as the README says."""
    source, _ = blocks("python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    assert re.findall(r"^class (\w+)", source, re.MULTILINE) == ["UpperHandle", "UpperScheme"]
    assert "`schemefs mount DIR --scheme upper.py`" in " ".join(README.split())
    (tmp_path / "upper.py").write_text(source)
    with SchemeMount("--driver", "loopback", "--scheme", str(tmp_path / "upper.py")) as mounted:
        script = f"exec 3<>{mounted.path}/upper/any; (sleep 0.1; echo hi there >&3) & read -r x <&3; echo $x"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=10, check=True)
        assert done.stdout == "HI THERE\n"
        [example] = re.findall(r"Try: (.*)\"\"\"", source)
        script = example.replace("DIR", str(mounted.path))
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=10, check=True)
        assert done.stdout == "HI\n"
        done = subprocess.run(["timeout", "0.2", "cat", f"{mounted.path}/upper/any"], timeout=5, check=False)
        assert done.returncode == 124
        assert "Return in capitals what is written." in (mounted.path / "upper/README").read_text()
        assert sorted(path.name for path in (mounted.path / "upper").iterdir()) == ["README", "err"]


def test_the_pytest_example(tmp_path: Path) -> None:
    _, example = blocks("python")
    (tmp_path / "test_example.py").write_text(example)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout


def test_the_contract_against_the_scheme_of_your_own(tmp_path: Path) -> None:
    """CONTRIBUTING's test file, as it stands, finds nothing wrong with the README's scheme."""
    contributing = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    [contract] = re.findall(r"^```python\n(.*?)^```$", contributing, re.MULTILINE | re.DOTALL)
    (tmp_path / "upper.py").write_text(blocks("python")[0])
    (tmp_path / "test_upper.py").write_text(contract)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20  # type: ignore[index]


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 150
