"""`schemefs extcap`: tshark lists the interfaces and conversations of a mount, and captures them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemefs.tools.extcap import command
from tests.support.families import Family
from tests.support.open_to_all import open_to_all
from tests.support.ordinary_user import as_ordinary_user
from tests.support.running_tools import Tools

pytestmark = pytest.mark.needs("fuse")

EXTCAP = [sys.executable, "-m", "schemefs", "extcap"]


def extcap(*words: str, status: int = 0) -> str:
    before = signal.getsignal(signal.SIGPIPE)
    try:
        done = CliRunner().invoke(command, words)
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


@pytest.mark.needs("tshark", "root")
def test_tshark_lists_the_mount_and_captures_from_it(shared: Tools, tmp_path: Path, family: Family) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}
    words = {"env": environment, "capture_output": True, "text": True, "timeout": 60, "check": True}
    assert subprocess.run(EXTCAP, **words).stdout.startswith("not installed: schemefs extcap --install writes ")
    installed = subprocess.run([*EXTCAP, "--install"], **words).stdout.split()[-1]
    assert os.access(installed, os.X_OK)
    listener = os.open(shared.path / f"tcp/{family.lo.at(7400)},listen", os.O_RDWR | os.O_NONBLOCK)
    number = os.getxattr(listener, "user.conversation").decode()
    listed = subprocess.run(["tshark", "-D"], **words).stdout
    os.close(listener)
    assert f" schemefs:{shared.path}:lo (interface lo, {shared.path})\n" in listed
    assert f" schemefs:{shared.path}:{number} ({number} {family.lo.at(7400)}" in listed
    tshark = ["tshark", "-i", f"schemefs:{shared.path}:lo", "-f", family.pick("icmp", "icmp6"), "-c", "2"]
    with subprocess.Popen(
        tshark, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while line := process.stderr.readline():
            if "Capture started" in line:
                break
        shared.run("ping", "-c", "2", "-i", "0.01", family.lo)
        output = process.communicate(timeout=60)[0]
    assert f"{family.lo} → {family.lo}" in output
    assert "Echo (ping) reply" in output
    assert subprocess.run([*EXTCAP, "--remove"], **words).stdout == f"removed {installed}\n"


@pytest.mark.full
@pytest.mark.needs("root", "userns")
def test_an_ordinary_user_is_offered_no_interface(shared: Tools) -> None:
    with open_to_all(shared.path.parent):
        done = subprocess.run(
            [*as_ordinary_user(), *EXTCAP, "--extcap-interfaces"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout.startswith("extcap {version=")
    assert f"schemefs:{shared.path}:" not in done.stdout


def test_options_and_link_types(shared: Tools) -> None:
    interface = ("--extcap-interface", f"schemefs:{shared.path}:lo")
    assert extcap("--extcap-dlts", *interface) == "dlt {number=101}{name=RAW}{display=IP}\n"
    assert "{call=--history}" in extcap("--extcap-config", *interface)
    assert extcap(*interface, "--extcap-capture-filter", "tcp port 80") == ""
    wrong = extcap(*interface, "--extcap-capture-filter", "tcp prot", status=1)
    assert wrong == "the filter needs 'and' or 'or' at character 5, 'prot'\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--extcap-dlts", "--extcap-interface", "eth0"], "'eth0' is not an interface of --extcap-interfaces"),
        (["--capture", "--extcap-interface", "schemefs:/m:lo"], "--capture needs --fifo PATH"),
        (
            ["--capture", "--fifo", "/x", "--extcap-interface", "schemefs:/m:../lo"],
            "'schemefs:/m:../lo' is not an interface",
        ),
        (
            ["--capture", "--fifo", "/x", "--extcap-interface", "schemefs:/m:lo"],
            "network/lo/capture.pcapng: No such file",
        ),
    ],
)
def test_mistakes_get_a_sentence(words: list[str], sentence: str) -> None:
    assert extcap(*words, status=1).startswith(f"schemefs: {sentence}")
