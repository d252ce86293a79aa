"""`schemefs script`: its statuses, its output and what it says of files that it can't read."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from schemefs.tools.script import command
from tests.support.scripts_page import PAGE, SCRIPTS


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return CliRunner()


def test_a_script_that_comes_as_written_is_drawn(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(command, ["--width", "104", str(SCRIPTS[0])])
    assert done.exit_code == 0
    assert all(line.rstrip() in PAGE.read_text() for line in done.output.splitlines()[1:])
    picture = tmp_path / "ladder.svg"
    assert runner.invoke(command, ["--svg", str(picture), str(SCRIPTS[0])]).output == ""
    assert "opened -&gt; done" in picture.read_text()
    done = runner.invoke(command, ["--svg", str(tmp_path), str(SCRIPTS[0])])
    assert (done.exit_code, done.stderr) == (2, f"schemefs: {tmp_path}: Is a directory\n")


def test_a_difference_is_marked_and_told(runner: CliRunner) -> None:
    script = "app: open 10.0.2.2:80\nstack: S 0:0(0) win 1000\n"
    done = runner.invoke(command, ["--width", "100", "-"], input=script)
    assert done.exit_code == 1
    shown = [f"    {line}".rstrip() for line in done.stdout.splitlines()]
    assert "\n".join(shown[1:]) in PAGE.read_text()
    assert done.stderr.startswith("schemefs: -: line 2: expected S 0:0(0) win 1000, the stack sent S 0:0(0) win 65535")


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        (
            b"app: dance\n",
            "line 1: the program has no call 'dance'; it has: open, opened, listen, accept, write, read, ",
        ),
        (b"\xff", "not UTF-8 text"),
        (None, "No such file or directory"),
    ],
)
def test_what_cannot_be_read_ends_with_status_2(
    runner: CliRunner, tmp_path: Path, octets: bytes | None, sentence: str
) -> None:
    file = tmp_path / "script"
    if octets is not None:
        file.write_bytes(octets)
    done = runner.invoke(command, [str(file)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"schemefs: {file}: {sentence}")
