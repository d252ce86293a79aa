"""The whole configuration as one file: two TAPs, saved, mounted again; written while running; all of it or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.network import Namespace
from tests.support.families import V4, V6, Family

pytestmark = pytest.mark.needs("fuse", "tap", "root")

MOUNT = (sys.executable, "-m", "schemefs", "mount")
LAB = """\
forward = true
nameservers = ["{a}3"]
routes = ["default via {a}2", "{beyond} via {b}9 dev eth1 metric 5"]

[interface.eth0]
tap = "lab0"
{host_address} = "{a}2/{length}"
{other_host_address} = "none"
addresses = ["{a}15/{length}", "{a}16/{length}"]
neighbors = ["{a}9 52-55-0a-00-02-09"]

[interface.eth1]
tap = "lab1"
{host_address} = "{b}2/{length}"
{other_host_address} = "none"
mtu = 1280
addresses = ["{b}1/{length}"]
impair = ["delay 20ms direction out seed 3"]
"""


class Plan(NamedTuple):
    """What the text of a lab says in one family. Four networks are prefixes, to be followed by a number."""

    a: str
    b: str
    c: str
    d: str
    length: int
    beyond: str  # another network
    unrouted: str
    wrong: str  # no address
    host_address: str  # the keys of a TAP
    other_host_address: str


PLANS = {
    V4: Plan(
        "10.0.2.", "10.1.0.", "10.2.0.", "10.3.0.", 24, "10.77.0.0/16", V4.unrouted, "10.0.2.256",
        "host_address", "host_address6",
    ),
    V6: Plan(
        "fd00:10:0:2::", "fd00:1::", "fd00:2::", "fd00:3::", 64, "fd00:77::/32", V6.unrouted, "fd00:::2",
        "host_address6", "host_address",
    ),
}  # fmt: skip


@pytest.fixture
def plan(family: Family) -> Plan:
    return PLANS[family]


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
def lab(namespace: Namespace, tmp_path: Path, plan: Plan) -> Iterator[Lab]:
    file = tmp_path / "lab.toml"
    file.write_text(LAB.format(**plan._asdict()))
    made = Lab(namespace, file)
    yield made
    made.mount.close()


def test_two_interfaces_by_a_file_and_the_same_again_after_a_new_mount(
    lab: Lab, namespace: Namespace, family: Family, plan: Plan, tmp_path: Path
) -> None:
    first, second = f"{plan.a}15/{plan.length}", f"{plan.b}1/{plan.length}"
    assert f"eth0 {first} on TAP lab0, eth1 {second} on TAP lab1, gateway {plan.a}2" in lab.mount.ready_line
    assert lab.mount.ready_line.endswith(f"/icmp/ping/{plan.a}2,count=3")
    assert lab.answers(f"{plan.a}15")
    assert lab.answers(f"{plan.a}16")
    assert lab.answers(f"{plan.b}1")
    netcfg = lab.mount.path / "netcfg"
    source = family.pick(f"src {plan.b}1 ", "")  # IPv6 has one for each destination
    route = f"{plan.beyond} via {plan.b}9 dev eth1 {source}metric 5".split()
    assert route in [line.split() for line in (netcfg / "route/list").read_text().splitlines()]
    assert (netcfg / "ip/forward").read_text() == "1\n"
    assert (netcfg / "ifaces/eth1/impair").read_text().startswith("delay 20ms direction out seed 3\n")
    assert (netcfg / "iface/eth1/mtu").read_text() == "1280\n"
    saved = tmp_path / "saved.toml"
    subprocess.run(["cp", lab.config, saved], check=True, timeout=10)
    lab.mount.close()
    again = Lab(namespace, saved)
    assert again.config.read_text() == saved.read_text()
    assert again.answers(f"{plan.b}1")
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


def test_an_interface_goes_and_comes_back_while_running(lab: Lab, plan: Plan) -> None:
    text = lab.config.read_text()
    without = text[: text.index("[interface.eth1]")].replace(
        f"{plan.beyond} via {plan.b}9 dev eth1 metric 5", f"{plan.beyond} via {plan.a}9"
    )
    lab.config.write_text(without)
    assert "eth1" not in lab.config.read_text()
    listed = {path.name for path in (lab.mount.path / "netcfg/ifaces").iterdir()}
    assert {"eth0", "lo"} <= listed
    assert "eth1" not in listed
    assert lab.links() == {"lo", "lab0"}
    assert not lab.answers(f"{plan.b}1")
    lab.config.write_text(text)
    assert lab.config.read_text() == text
    assert lab.answers(f"{plan.b}1")


def test_interfaces_of_two_drivers_are_added_and_removed_by_lines(lab: Lab, plan: Plan) -> None:
    ifaces = lab.mount.path / "netcfg/ifaces"
    before = lab.config.read_text()
    length, key = plan.length, plan.host_address
    (ifaces / "add").write_text(
        f"tap lab2 {plan.other_host_address} none {key} {plan.c}2/{length} address {plan.c}1/{length}\n"
        f"loopback address {plan.d}1/{length}\n"
    )
    assert lab.links() == {"lo", "lab0", "lab1", "lab2"}
    assert lab.answers(f"{plan.c}1")
    listed = (ifaces / "list").read_text()
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["eth0", "tap"], ["eth1", "tap"], ["eth2", "tap"], ["eth3", "loopback"],
    ]  # fmt: skip
    assert (ifaces / "eth3/addr/list").read_text().split()[0] == f"{plan.d}1/{length}"
    saved = lab.config.read_text()
    (ifaces / "rm").write_text("eth2\neth3\n")
    assert lab.links() == {"lo", "lab0", "lab1"}
    assert lab.config.read_text() == before
    lab.config.write_text(saved)
    assert (ifaces / "list").read_text() == listed
    assert lab.answers(f"{plan.c}1")
    with pytest.raises(OSError, match="No such device"):
        (ifaces / "rm").write_text("eth9")
    with pytest.raises(OSError, match="No such device"):
        (ifaces / "add").write_text(f"tap lab9 {plan.other_host_address} none {key} {plan.a}9/{length}\n")
    said = (lab.mount.path / "netcfg/err").read_text()
    network = ip_network(f"{plan.a}0/{length}")
    assert said == f"{plan.a}9/{length} overlaps {network} on lab0; choose another subnet with address and {key}\n"


def test_a_step_that_fails_undoes_those_before_it(lab: Lab, plan: Plan) -> None:
    text = lab.config.read_text()
    broken = text.replace(f"{plan.a}16/", f"{plan.a}17/").replace(
        f"default via {plan.a}2", f"default via {plan.unrouted}"
    )
    said = lab.refused(broken)
    assert plan.unrouted in said
    assert lab.config.read_text() == text
    assert lab.answers(f"{plan.a}16")
    said = lab.refused(text.replace('tap = "lab1"', 'tap = "lo"'))
    assert said == "the name lo is taken by a device that is no TAP (hardware); use another tap\n"
    assert lab.config.read_text() == text
    assert lab.answers(f"{plan.b}1")


def test_unknown_keys_and_words_change_nothing(lab: Lab) -> None:
    text = lab.config.read_text()
    assert "there is no key interface.lo.adresses" in lab.refused(text.replace("addresses", "adresses"))
    assert "not a percentage" in lab.refused(text.replace("delay 20ms", "loss 20"))
    assert lab.config.read_text() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[interface.eth0]\nadress = []", "there is no key interface.eth0.adress"),
        ("routes = ['default via {a}2']", "the gateway {a}2 is not on a local network"),
        ("routes = ['default to {a}2']", "'to' in"),
        ("[interface.eth0]\n{host_address} = '{wrong}/{length}'", "{wrong}"),
        ("[interface.eth0]\ndriver = 'tub'", "there is no driver 'tub'"),
        ("[log]\nlevel = 'loud'", "loud"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence_and_no_mount(
    namespace: Namespace, tmp_path: Path, plan: Plan, text: str, words: str
) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text.format(**plan._asdict()))
    place = tmp_path / "mnt"
    place.mkdir()
    done = namespace.run([*MOUNT, str(place), "--config", str(file)], check=False)
    assert done.returncode == 1
    assert words.format(**plan._asdict()) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not place.is_mount()


def test_options_beside_a_file_are_refused(namespace: Namespace, tmp_path: Path) -> None:
    done = namespace.run([*MOUNT, str(tmp_path), "--config", "x", "--host-address", "none"], check=False)
    assert "--host-address and --config can't be given together" in done.stderr
