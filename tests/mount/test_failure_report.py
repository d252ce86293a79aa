"""What the report of a failed test says about its mounts, and the marker `impair`: runs of a user's pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.mount_state import drops_since
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

FAILING = """
import os
import pytest

def pair(mount):
    listener = os.open(mount.path / "tcp/:0", os.O_RDWR)
    local = mount.path / os.getxattr(listener, "user.conversation").decode() / "local"
    return listener, os.open(mount.path / f"tcp/[LO]:{local.read_text().strip().rpartition(':')[2]}", os.O_RDWR)

def test_before(module_scheme_mount):
    with pytest.raises(ConnectionRefusedError):
        os.open(module_scheme_mount.path / "tcp/[LO]:9", os.O_RDWR)
    (module_scheme_mount.path / "netcfg/ifaces/lo/impair").write_text("drop udp\\n")
    with open(module_scheme_mount.path / "udp/[LO]:9", "wb", buffering=0) as file:
        file.write(b"before")

def test_shared(module_scheme_mount):
    with open(module_scheme_mount.path / "udp/[LO]:9", "wb", buffering=0) as file:
        file.write(b"x")
        file.write(b"yz")
    assert False

@pytest.mark.impair("drop tcp syn 1; drop arp", "delay 1ms seed 7")
def test_impaired(scheme_mount):
    listener, client = pair(scheme_mount)
    os.write(client, b"hello")
    (scheme_mount.path / "tcp/[LO]:9").read_bytes()

@pytest.mark.impair("loss 5%")
def test_without_a_mount(): pass

@pytest.mark.impair("loss much")
def test_wrong(scheme_mount): pass

@pytest.mark.impair()
def test_empty(scheme_mount): pass
"""


def run(folder: Path, source: str) -> str:
    (folder / "test_users.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_users.py"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def sections(output: str) -> dict[str, str]:
    """Return the sections about the mount, in order, by their titles without it."""
    found = re.split(r"^-+ (.*) of the schemefs on \S+ -+$", output, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, module_family: Family) -> str:
    return run(tmp_path_factory.mktemp("user"), module_family.fill(FAILING))


def test_the_report_of_an_impaired_mount(output: str, module_family: Family) -> None:
    shown = sections(output.partition("_ test_impaired _")[2].partition("\n=========")[0])
    assert list(shown)[:3] == ["err", "netcfg/stats/drops since the test began", "netcfg/ifaces/lo/impair"]
    assert list(shown)[-2].startswith(f"the last events of tcp/1, {module_family.lo.host}:")
    assert list(shown)[-1] == "log"
    assert f"err: tcp: RST from {module_family.lo.at(9)} in answer to SYN" in shown["err"]
    assert re.search(r"^lo impaired_by_rule=2 ", shown["netcfg/stats/drops since the test began"], re.MULTILINE)
    impair = shown["netcfg/ifaces/lo/impair"]
    assert impair.strip().startswith("drop tcp syn 1\ndrop arp\ndelay 1ms seed 7\n# out: frames=")
    assert "# rule drop tcp syn 1: in=0 out=2 seen=4" in impair
    assert "# rule drop arp: in=0 out=0 seen=0 never matched" in impair
    ended = shown["the last events of conversations that have ended (logging/net/events.log)"]
    host = re.escape(module_family.lo.host)
    assert re.search(rf"tcp/2 {host}:\d+ to {host}:9: RST from .*\n  \+0.000000 open pid", ended)
    events = shown[list(shown)[-2]]
    assert re.search(
        r"\+0.0\d+ SYN out to \S+ \(try 1\)\n(.*\n)*\S+ SYN out to \S+ \(try 2\)\n(.*\n)*\S+ write of 5", events
    )


def test_the_report_of_a_shared_mount_begins_with_the_test(output: str, module_family: Family) -> None:
    shown = sections(output.partition("_ test_shared _")[2].partition("_ test_impaired _")[0])
    assert "lo impaired_by_rule=2 " in shown["netcfg/stats/drops since the test began"]
    assert "# rule drop udp: in=0 out=3 seen=3" in shown["netcfg/ifaces/lo/impair"]
    ended = shown["the last events of conversations that have ended (logging/net/events.log)"]
    assert "write of 2: 2" in ended
    assert f"{module_family.lo.at(9)}: RST" not in ended
    assert "write of 6" not in ended


def test_the_marker_is_refused_where_it_has_no_effect_or_is_wrong(output: str) -> None:
    assert "the marker impair has no effect: the test uses neither scheme_mount nor tap_network" in output
    assert "the marker impair: 'much' is not a percentage, such as 0.5%" in output
    assert 'the marker impair has no rules: write them as @pytest.mark.impair("loss 5% seed 7")' in output
    assert "2 failed, 1 passed, 3 errors" in output


def test_the_recording_can_be_switched_off(scheme_mount: SchemeMount) -> None:
    """The setting of this project does so."""
    assert "events.log" not in os.listdir(scheme_mount.path / "logging/net")


@pytest.mark.needs("tap", "root")
def test_the_marker_impairs_the_link_of_a_network(tmp_path: Path, family: Family) -> None:
    said = run(
        tmp_path,
        family.fill("""
import pytest
@pytest.mark.impair("in drop icmp echo-reply 1", "delay 2ms")
def test_it(tap_network):
    assert "timeout" in (tap_network.mount.path / "icmp/ping/PEER,count=1,timeout=0.3").read_text()
    assert False
"""),
    )
    assert "# rule in drop icmp echo-reply 1: in=1 out=0 seen=1" in said
    assert re.search(r"^delay 2ms seed \d+$", said, re.MULTILINE)


def test_drops_are_counted_from_the_beginning_of_the_test() -> None:
    before = "ip bad_checksum=3 sample\nlo impaired_lost=2 one\n"
    now = "ip bad_checksum=3 sample\nlo impaired_lost=5 another=7\ntcp no_listener=1\n"
    assert drops_since(before, now) == "lo impaired_lost=3 another=7\ntcp no_listener=1\n"
