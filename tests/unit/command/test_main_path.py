"""`python -m schemefs` in a directory that has `drivers` and `schemes` of its own; the command line's errors."""

import subprocess
import sys
from pathlib import Path

import pytest

import schemefs


def run(*arguments: str, cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "schemefs", *arguments], check=False, capture_output=True, text=True, timeout=20, cwd=cwd
    )


def test_version() -> None:
    assert run("--version").stdout == f"schemefs {schemefs.__version__}\n"


def test_no_command_shows_the_help() -> None:
    done = run()
    assert done.returncode == 0
    assert "umount" in done.stdout


def test_help_has_examples() -> None:
    text = run("mount", "--help").stdout
    assert "schemefs mount /tmp/s --driver loopback" in text
    for option in ("driver", "tap", "address", "gateway", "nameserver", "host-address", "mac", "mtu", "offload"):
        assert f"--{option}" in text
    for option in ("private", "allow-other", "log-level", "log-file", "pid-file", "foreground"):
        assert f"--{option}" in text


def test_the_working_directory_is_not_on_the_path(tmp_path: Path) -> None:
    for name in ("drivers", "schemes", "click", "trio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    done = run("umount", str(tmp_path), cwd=tmp_path)
    assert done.stderr == f"schemefs: nothing is mounted on {tmp_path}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mount"], "Missing argument 'DIR'; see schemefs mount --help"),
        (["mount", "/nothing/here"], "/nothing/here does not exist: make it first (mkdir /nothing/here)"),
        (
            ["mount", "/tmp", "--address", "10.0.2.15"],
            "Invalid value for '--address': '10.0.2.15' is not ADDRESS/PREFIXLENGTH",
        ),
        (
            ["mount", "/tmp", "--address", "10.0.2.15/99"],
            "Invalid value for '--address': '10.0.2.15/99' is not ADDRESS",
        ),
        (["mount", "/tmp", "--gateway", "1.2.3.4"], "the gateway 1.2.3.4 is no neighbor of 10.0.2.15/24"),
        (["mount", "/tmp", "--host-address", "nobody"], "Invalid value for '--host-address': 'nobody' is not ADDRESS"),
        (["mount", "/tmp", "--mac", "x"], "Invalid value for '--mac': 'x' is not a hardware address"),
        (["mount", "/tmp", "--mtu", "9"], "Invalid value for '--mtu': '9' is not an MTU: 68 to 65535"),
        (["mount", "/tmp", "--memory", "1M"], "Invalid value for '--memory': 1M is too little; at least 16M is needed"),
        (["mount", "/tmp", "--offload", "some"], "Invalid value for '--offload'"),
        (["mount", "/tmp", "--frobnicate"], "No such option"),
        (["frobnicate"], "No such command 'frobnicate'; see schemefs --help"),
        (["umount", "/nothing/here"], "/nothing/here does not exist"),
        (["umount", "/proc"], "what is mounted on /proc is not a schemefs but proc (proc)"),
    ],
)
def test_every_failure_is_one_sentence_and_status_1(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"schemefs: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["doctor"], ["doctor", "--json"], ["completion", "bash"], ["--help"], ["mount", "--help"], ["--version"]]
)
def test_a_full_disk_is_named(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-m", "schemefs", *words]
        done = subprocess.run(program, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "schemefs: standard output: No space left on device\n")


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-"])
def test_a_closed_output_is_named(redirection: str) -> None:
    words = [sys.executable, "-m", "schemefs", "--version"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *words], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (1, b"schemefs: standard output: Bad file descriptor\n")
