"""The whole configuration as one file: two TAPs, saved, mounted again; written while running; all of it or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace

pytestmark = pytest.mark.needs("fuse", "tap", "root")

MOUNT = (sys.executable, "-m", "schemefs", "mount")
LAB = """\
forward = true
nameservers = ["10.0.2.3"]
routes = ["default via 10.0.2.2", "10.77.0.0/16 via 10.1.0.9 dev eth1 metric 5"]

[interface.eth0]
tap = "lab0"
host_address = "10.0.2.2/24"
addresses = ["10.0.2.15/24", "10.0.2.16/24"]
neighbors = ["10.0.2.9 52-55-0a-00-02-09"]

[interface.eth1]
tap = "lab1"
host_address = "10.1.0.2/24"
mtu = 1280
addresses = ["10.1.0.1/24"]
impair = ["delay 20ms direction out seed 3"]
"""


class Lab:
    def __init__(self, namespace: Namespace, file: Path) -> None:
        self.namespace = namespace
        self.mount = SchemeMount("--config", str(file), prefix=namespace.prefix)

    @property
    def config(self) -> Path:
        return self.mount.path / "netcfg/config"

    def answers(self, address: str) -> bool:
        return "1 received" in self.namespace.run(["ping", "-c", "1", "-W", "1", address], check=False).stdout

    def links(self) -> set[str]:
        return {link["ifname"] for link in json.loads(self.namespace.run(["ip", "-j", "link"]).stdout)}

    def refused(self, text: str) -> str:
        with pytest.raises(OSError, match=r"."):
            self.config.write_text(text)
        return (self.mount.path / "netcfg/err").read_text()


@pytest.fixture
def lab(namespace: Namespace, tmp_path: Path) -> Iterator[Lab]:
    file = tmp_path / "lab.toml"
    file.write_text(LAB)
    made = Lab(namespace, file)
    yield made
    made.mount.close()


def test_two_interfaces_by_a_file_and_the_same_again_after_a_new_mount(
    lab: Lab, namespace: Namespace, tmp_path: Path
) -> None:
    assert "eth0 10.0.2.15/24 on TAP lab0, eth1 10.1.0.1/24 on TAP lab1, gateway 10.0.2.2" in lab.mount.ready_line
    assert lab.answers("10.0.2.15")
    assert lab.answers("10.0.2.16")
    assert lab.answers("10.1.0.1")
    netcfg = lab.mount.path / "netcfg"
    assert "10.77.0.0/16  via 10.1.0.9 dev eth1 src 10.1.0.1 metric 5" in (netcfg / "route/list").read_text()
    assert (netcfg / "ip/forward").read_text() == "1\n"
    assert (netcfg / "ifaces/eth1/impair").read_text().startswith("delay 20ms direction out seed 3\n")
    assert (netcfg / "iface/eth1/mtu").read_text() == "1280\n"
    saved = tmp_path / "saved.toml"
    subprocess.run(["cp", lab.config, saved], check=True, timeout=10)
    lab.mount.close()
    again = Lab(namespace, saved)
    assert again.config.read_text() == saved.read_text()
    assert again.answers("10.1.0.1")
    again.mount.close()


def test_what_was_read_can_be_written_back_and_changes_nothing(lab: Lab) -> None:
    text = lab.config.read_text()
    log = lab.mount.path / "logging/net/schemefs.log"
    before = log.read_text()
    lab.config.write_text(text)
    assert lab.config.read_text() == text
    new = log.read_text().removeprefix(before)
    assert "attached" not in new
    assert "detached" not in new


def test_an_interface_goes_and_comes_back_while_running(lab: Lab) -> None:
    text = lab.config.read_text()
    without = text[: text.index("[interface.eth1]")].replace(
        "10.77.0.0/16 via 10.1.0.9 dev eth1 metric 5", "10.8.0.0/16 via 10.0.2.9"
    )
    lab.config.write_text(without)
    assert "eth1" not in lab.config.read_text()
    listed = {path.name for path in (lab.mount.path / "netcfg/ifaces").iterdir()}
    assert {"eth0", "lo"} <= listed
    assert "eth1" not in listed
    assert lab.links() == {"lo", "lab0"}
    assert not lab.answers("10.1.0.1")
    lab.config.write_text(text)
    assert lab.config.read_text() == text
    assert lab.answers("10.1.0.1")


def test_interfaces_of_two_drivers_are_added_and_removed_by_lines(lab: Lab) -> None:
    ifaces = lab.mount.path / "netcfg/ifaces"
    before = lab.config.read_text()
    (ifaces / "add").write_text("tap lab2 host_address 10.2.0.2/24 address 10.2.0.1/24\nloopback address 10.3.0.1/24\n")
    assert lab.links() == {"lo", "lab0", "lab1", "lab2"}
    assert lab.answers("10.2.0.1")
    listed = (ifaces / "list").read_text()
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["eth0", "tap"], ["eth1", "tap"], ["eth2", "tap"], ["eth3", "loopback"],
    ]  # fmt: skip
    assert (ifaces / "eth3/addr/list").read_text() == "10.3.0.1/24\n"
    saved = lab.config.read_text()
    (ifaces / "rm").write_text("eth2\neth3\n")
    assert lab.links() == {"lo", "lab0", "lab1"}
    assert lab.config.read_text() == before
    lab.config.write_text(saved)
    assert (ifaces / "list").read_text() == listed
    assert lab.answers("10.2.0.1")
    with pytest.raises(OSError, match="No such device"):
        (ifaces / "rm").write_text("eth9")
    with pytest.raises(OSError, match="No such device"):
        (ifaces / "add").write_text("tap lab9 host_address 10.0.2.9/24\n")
    said = (lab.mount.path / "netcfg/err").read_text()
    assert said == "10.0.2.9/24 overlaps 10.0.2.0/24 on lab0; choose another subnet with address and host_address\n"


def test_a_step_that_fails_undoes_those_before_it(lab: Lab) -> None:
    text = lab.config.read_text()
    broken = text.replace("10.0.2.16/24", "10.0.2.17/24").replace('"default via 10.0.2.2', '"default via 10.99.0.1')
    said = lab.refused(broken)
    assert "10.99.0.1" in said
    assert lab.config.read_text() == text
    assert lab.answers("10.0.2.16")
    said = lab.refused(text.replace('tap = "lab1"', 'tap = "lo"'))
    assert said == "the name lo is taken by a device that is no TAP (hardware); use another tap\n"
    assert lab.config.read_text() == text
    assert lab.answers("10.1.0.1")


def test_unknown_keys_and_words_change_nothing(lab: Lab) -> None:
    text = lab.config.read_text()
    assert "there is no key interface.lo.adresses" in lab.refused(text.replace("addresses", "adresses"))
    assert "not a percentage" in lab.refused(text.replace("delay 20ms", "loss 20"))
    assert lab.config.read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[interface.eth0]\nadress = []", "there is no key interface.eth0.adress"),
        ("routes = ['default via 10.0.2.2']", "the gateway 10.0.2.2 is not on a local network"),
        ("routes = ['default to 10.0.2.2']", "'to' in"),
        ("[interface.eth0]\nhost_address = '10.0.2.256/24'", "10.0.2.256"),
        ("[interface.eth0]\ndriver = 'tub'", "there is no driver 'tub'"),
        ("[log]\nlevel = 'loud'", "loud"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence_and_no_mount(
    namespace: Namespace, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    place = tmp_path / "mnt"
    place.mkdir()
    done = namespace.run([*MOUNT, str(place), "--config", str(file)], check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not place.is_mount()


def test_options_beside_a_file_are_refused(namespace: Namespace, tmp_path: Path) -> None:
    done = namespace.run([*MOUNT, str(tmp_path), "--config", "x", "--host-address", "none"], check=False)
    assert "--host-address and --config can't be given together" in done.stderr
