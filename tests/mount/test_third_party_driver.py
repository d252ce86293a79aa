"""A driver of another package: its options through every door, as those of tap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from tests.support.third_party import install

pytestmark = pytest.mark.needs("fuse")

SOURCE = (Path(__file__).parent / "wire_driver.py").read_text()
POINT = "[schemefs.drivers]\nwire = wire_driver:WireDriver\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return install(tmp_path, "wire_driver", SOURCE, POINT)


def schemefs(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemefs", *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30, cwd="/", env=os.environ | environment
    )


def test_the_command_line(environment: dict[str, str]) -> None:
    arguments = ("--driver", "wire", "--wire", "w7", "--line-speed", "100", "--noisy")
    with SchemeMount(*arguments, environment=environment) as mount:
        assert "eth0 10.0.2.15/24 on WIRE w7 at 200/2 to 10.0.2.2/24 True, gateway 10.0.2.2" in mount.ready_line
        config = (mount.path / "netcfg/config").read_text()
        assert 'driver = "wire"\nwire = "w7"\nline_speed = "100"\nfar_end = "10.0.2.2/24"\nnoisy = true\n' in config
        assert (mount.path / "netcfg/ifaces/list").read_text() == (
            "eth0 wire w7 line_speed 100 far_end 10.0.2.2/24 noisy on mtu 65535 address 10.0.2.15/24\n"
        )


def test_what_is_left_out_has_its_default_and_the_other_end_is_the_gateway(environment: dict[str, str]) -> None:
    with SchemeMount("--driver", "wire", environment=environment) as mount:
        assert "on WIRE w0 at 20/2 to 10.0.2.2/24 False, gateway 10.0.2.2" in mount.ready_line
    with SchemeMount("--driver", "wire", "--far-end", "10.0.2.9/24", environment=environment) as mount:
        assert "to 10.0.2.9/24 False, gateway 10.0.2.9" in mount.ready_line


def test_a_configuration_file_and_an_option_beside_it(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_text('[interface.eth1]\ndriver = "wire"\nline_speed = "100"\naddresses = ["10.0.2.15/24"]\n')
    with SchemeMount("--config", str(file), "--noisy", environment=environment) as mount:
        assert "eth1 10.0.2.15/24 on WIRE w1 at 200/2 to None True" in mount.ready_line
        assert 'wire = "w1"\nline_speed = "100"\nnoisy = true\n' in (mount.path / "netcfg/config").read_text()
    done = schemefs(environment, "mount", tmp_path, "--config", file, "--line-speed", "10")
    assert done.stderr == "schemefs: --line-speed and --config can't be given together: the file contains it\n"


def test_lines_of_ifaces_add(environment: dict[str, str]) -> None:
    with SchemeMount(environment=environment) as mount:
        ifaces = mount.path / "netcfg/ifaces"
        (ifaces / "add").write_text("wire w5 line_speed 100 noisy on\n")
        assert (ifaces / "list").read_text() == "eth0 wire w5 line_speed 100 noisy on mtu 65535\n"
        with pytest.raises(OSError, match="Invalid argument"):
            (ifaces / "add").write_text("wire w6 line_speed 7\n")
        said = (mount.path / "netcfg/err").read_text()
        assert said == "interface.eth0.line_speed: '7' is no speed of a wire: 10 or 100\n"


def test_help_and_completion(environment: dict[str, str]) -> None:
    text = schemefs(environment, "mount", "--help").stdout
    section = text.partition("Options of --driver wire:\n")[2].partition("\n\n")[0]
    assert (
        section.split()
        == (
            "--wire NAME The wire. [default: w0] --line-speed TEXT Megabits a second. [default: 10] "
            "--far-end CIDR The address at the other end. [default: 10.0.2.2/24] --noisy Say more."
        ).split()
    )
    offered = {}
    for words in ("mount --line", "mount --line-speed 1"):
        asked = {"_SCHEMEFS_COMPLETE": "bash_complete", "COMP_WORDS": f"schemefs {words}"}
        program = Path(sys.executable).parent / "schemefs"
        done = subprocess.run(
            [program], env=os.environ | environment | asked | {"COMP_CWORD": str(len(words.split()))},
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        offered[words] = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert offered == {"mount --line": ["--line-speed"], "mount --line-speed 1": ["10", "100"]}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--driver", "wire", "--wire", "a b"),
            "Invalid value for '--wire': 'a b' is no name of a wire: letters and digits",
        ),
        (("--driver", "wire", "--tap", "x"), "--tap is an option of the driver tap, which wire does not have\n"),
        (("--noisy",), "--noisy is an option of the driver wire, which tap does not have\n"),
        (("--driver", "wire", "--colour", "red"), "No such option"),
    ],
)
def test_a_bad_option_is_one_sentence(
    environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = schemefs(environment, "mount", tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"schemefs: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no wires today')", "no wires today"),
        (SOURCE.replace('"line_speed"', '"mtu"'), "its option 'mtu' is a word of every mount or interface"),
        (SOURCE.replace('"noisy"', '"tap"'), "its option --tap contradicts that of tap: one takes a value"),
        (SOURCE.replace('default="10"', 'default="11"'), "the default of its option 'line_speed' is bad: '11' is no"),
    ],
)
def test_a_driver_that_cannot_be_used_costs_the_others_nothing(tmp_path: Path, source: str, reason: str) -> None:
    environment = install(tmp_path, "wire_driver", source, POINT)
    with SchemeMount(environment=environment) as mount:
        assert "wire: not available: " in (mount.path / "README").read_text()
        assert reason in (mount.path / "README").read_text()
    assert "Options of --driver tap:" in schemefs(environment, "mount", "--help").stdout
    with pytest.raises(MountFailed, match="there is no driver 'wire'; there are: "):
        SchemeMount("--driver", "wire", environment=environment)


def test_a_driver_without_a_table_gets_the_texts_of_the_file(tmp_path: Path) -> None:
    before, after = SOURCE.split("    options = (", 1)
    source = before + after.partition("\n    )\n")[2].replace("said['line_speed'] * 2", "said['line_speed'] + '2'")
    environment = install(tmp_path, "wire_driver", source, POINT)
    file = tmp_path / "net.toml"
    options = 'options = { wire = "a b", line_speed = "x", far_end = "", noisy = "no" }'
    file.write_text(f'[interface.eth0]\ndriver = "wire"\n{options}\n')
    with SchemeMount("--config", str(file), environment=environment) as mount:
        assert "on WIRE a b at x2/2 to  no" in mount.ready_line
        assert options in (mount.path / "netcfg/config").read_text()
        assert (
            "eth0 wire wire 'a b' line_speed x far_end '' noisy no" in (mount.path / "netcfg/ifaces/list").read_text()
        )
