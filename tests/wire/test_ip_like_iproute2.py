"""`schemefs ip` beside iproute2's ip: the same commands in a kernel's namespace and on a mount, the output compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemefs.testing.network import Namespace, TapNetwork
from schemefs.testing.observing import wait_until
from tests.support.tools_in_process import call

pytestmark = pytest.mark.needs("root", "tap", "fuse")

# What the kernel alone has: queueing disciplines, groups, modes, the far end of a veth, metrics of IPv6.
_KERNELS = re.compile(
    r" qdisc \S+| group default| mode DEFAULT| qlen \d+| link-netns(id)? \S+|@if\d+| nodad| pref medium| metric 256|"
    r" metric 1024| uid 0| from ::| tentative"  # the last: for a second, which both do not begin at once
)
_FAILURE = re.compile(
    r"(?m)^(schemefs: |Error: |RTNETLINK|Command |Object |Device |Cannot |Not enough|Flush |need ).*\n?"
)


class Both:
    """A kernel and a mount with the same addresses."""

    def __init__(self, network: TapNetwork, kernel: Namespace) -> None:
        self.tree: Path = network.mount.path
        self.kernel = kernel
        self.far = Namespace()
        mac = (self.tree / "netcfg/ifaces/eth0/mac").read_text().strip().replace("-", ":")
        far = Path(self.far.prefix[1].partition("=")[2]).parts[2]  # the number of its process
        link = ["ip", "link", "add", "eth0", "index", "2", "address", mac, "type", "veth", "peer", "name", "far"]
        kernel.run([*link, "netns", far])
        self.far.run(["ip", "link", "set", "far", "up"])
        kernel.run(["ip", "link", "set", "eth0", "up"])
        self.ours("-6", "addr", "flush", "dev", "eth0", "scope", "global")  # what a TAP has by default
        kernel.run(["ip", "addr", "add", "10.0.2.15/24", "brd", "+", "dev", "eth0"])
        kernel.run(["ip", "route", "add", "default", "via", "10.0.2.2"])

    def ours(self, *words: str, status: int = 0) -> str:
        return call(self.tree, "ip", *words, status=status)

    def theirs(self, *words: str, status: int = 0) -> str:
        done = self.kernel.run(["ip", *words], check=False)
        assert done.returncode == status, done.stderr
        return str(done.stdout + done.stderr)

    def same(self, command: str, status: int = 0) -> str:
        """Check that both end with *status* and print the same, sentences of failures apart; return that."""
        words = command.split()
        ours, theirs = (_plain(run(*words, status=status)) for run in (self.ours, self.theirs))
        assert ours == theirs
        return ours

    def same_json(self, command: str) -> Any:
        """Check that each field of ours is one of theirs, with the same value."""
        ours, theirs = (json.loads(run("-j", *command.split())) for run in (self.ours, self.theirs))
        assert _without(theirs, ours) == ours
        return ours


def _plain(text: str) -> str:
    lines = _FAILURE.sub("", _KERNELS.sub("", text)).replace(" \\", "\\").splitlines()
    return "\n".join(re.sub(r"\b {2,}", "  ", line.rstrip()) for line in lines)  # the far end has taken columns


def _without(theirs: Any, ours: Any) -> Any:
    """Return *theirs* with only the fields that *ours* has."""
    if isinstance(ours, dict):
        return {name: _without(theirs.get(name), value) for name, value in ours.items()}
    if isinstance(ours, list) and len(ours) == len(theirs):
        return [_without(one, other) for one, other in zip(theirs, ours, strict=True)]
    return theirs


@pytest.fixture(scope="module")
def both(module_tap_network: TapNetwork) -> Iterator[Both]:
    kernel = Namespace()
    made = Both(module_tap_network, kernel)
    yield made
    kernel.close()
    made.far.close()


def test_addresses(both: Both) -> None:
    both.same("address add 10.0.3.1/24 brd + dev eth0")
    both.same("a a 10.0.2.99/24 brd + dev eth0")
    both.same("-6 addr add fd00::15/64 dev eth0")
    text = both.same("-4 addr show dev eth0")
    assert "inet 10.0.2.99/24 brd 10.0.2.255 scope global secondary eth0" in text
    both.same("-4 -o a s dev eth0")
    both.same("-4 -br a show eth0")
    both.same("-br -4 a s to 10.0.3.0/24")
    both.same("-4 a show dev eth0 up")
    both.same("-6 -o a s dev eth0 to fd00::/64")
    both.same("-br link show dev eth0")
    both.same("link show eth0")
    found = both.same_json("-4 address show dev eth0")
    assert [ours["local"] for ours in found[0]["addr_info"]] == ["10.0.2.15", "10.0.3.1", "10.0.2.99"]
    both.same_json("link show dev eth0")
    both.same("address add 10.0.3.1/24 dev eth0", status=2)
    both.same("address del 10.9.9.9/24 dev eth0", status=2)
    both.same("address show dev nope", status=1)
    both.same("address add 10.1.0.1/24", status=1)
    both.same("address frobnicate", status=255)
    both.same("addr flush", status=1)
    both.same("addr del 10.0.2.99/24 dev eth0")
    both.same("addr replace 10.0.3.1/24 brd + dev eth0")
    both.same("-4 -br a s dev eth0")


def test_routes(both: Both) -> None:
    both.same("route add 10.9.0.0/16 via 10.0.2.7 metric 5")
    both.same("r a 10.9.0.0/16 via 10.0.2.2")
    both.same("ro add 10.8.0.0/16 dev eth0")
    both.same("route add 10.7.0.0/16 via 10.0.2.2 src 10.0.3.1")
    both.same("route add default via 172.31.1.1 dev eth0 onlink metric 9")
    text = both.same("r")
    assert "10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15" in text.splitlines()
    assert "default via 172.31.1.1 dev eth0 metric 9 onlink" in text.splitlines()
    for command in (
        "route show dev eth0", "r s via 10.0.2.2", "r l default", "r list match 10.9.1.1", "r s root 10.0.0.0/8",
        "r show 10.9.0.0/16", "route list proto kernel", "route get 10.9.1.1", "r g 192.0.2.1", "r get 10.0.2.15",
        "route del 10.9.0.0/16", "r", "route replace 10.8.0.0/16 via 10.0.2.9",
        "r change 10.9.0.0/16 via 10.0.2.8 metric 5",
        "r", "route flush 10.9.0.0/16", "r f via 10.0.2.9", "r",
    ):  # fmt: skip
        both.same(command)
    both.same_json("route")
    both.same_json("route get 10.9.1.1")
    for command, status in (
        ("r add 10.7.0.0/16 via 10.0.2.2", 2), ("r del 10.77.0.0/16", 2), ("r add 10.5.0.0/16 via 192.168.7.7", 2),
        ("r replace 10.7.0.0/16 via 192.168.7.7", 2), ("r frob", 255), ("r get", 1),
    ):  # fmt: skip
        both.same(command, status=status)
    both.same("r")  # the rule that was to be replaced is still there


def test_routes_of_ipv6(both: Both) -> None:
    both.same("-6 route add default via fd00::2 dev eth0")
    both.same("-6 route add fd09::/48 via fd00::2")
    ours = both.ours("-6", "route").splitlines()
    assert ours == ["default via fd00::2 dev eth0", "fd00::/64 dev eth0 proto kernel", "fd09::/48 via fd00::2 dev eth0"]
    assert set(ours) < set(_plain(both.theirs("-6", "route")).splitlines())  # which has fe80::/64 too
    # Linux takes no address as a source while it probes it.
    wait_until(lambda: "tentative" not in both.theirs("-6", "address", "show", "dev", "eth0"))
    both.same("route get fd09::1")
    both.ours("-6", "route", "add", "fd0a::/48", "via", "fe80::1", "dev", "eth0")
    assert "via fe80::1 dev eth0 src " in (got := both.ours("route", "get", "fd0a::1"))
    assert "%" not in got
    both.ours("-6", "route", "del", "fd0a::/48")
    both.same("-6 route del default")
    assert "default" not in both.same("-6 route show default")


def test_neighbors(both: Both) -> None:
    both.same("neigh add 10.0.2.9 lladdr 52:55:0a:00:02:09 dev eth0")
    both.same("n a fd00::9 lladdr 52:55:0a:00:02:10 dev eth0 nud permanent")
    both.same("neigh add 10.0.2.9 lladdr 52:55:0a:00:02:09 dev eth0", status=2)
    both.same("neigh replace 10.0.2.9 lladdr 52:55:0a:00:02:11 dev eth0")
    both.same("neigh change 10.0.2.44 lladdr 52:55:0a:00:02:11 dev eth0", status=2)
    for command in (
        "n show nud permanent", "-4 n s nud permanent", "neighbour list dev eth0 nud permanent", "-br n s 10.0.2.9",
        "-6 -o n s to fd00::/64 nud permanent",
    ):  # fmt: skip
        assert both.same(command)
    assert len(both.same_json("neigh show nud permanent")) == 2
    both.same("neigh del 10.0.2.9 dev eth0")
    both.same("neigh del 10.0.2.9 dev eth0", status=2)
    both.same("neigh flush dev eth0 nud permanent")
    assert both.ours("neigh", "show", "nud", "permanent") == ""


def test_links_are_set(both: Both) -> None:
    both.same("link set eth0 mtu 1400")
    both.same("l set dev eth0 address 02:00:00:00:00:01")
    both.same("link show eth0")
    both.same("link set eth0 mtu 10", status=2)
    both.same("link set nope up", status=1)
    both.ours("link", "set", "eth0", "down")
    assert "state DOWN" in both.ours("link", "show", "eth0")
    both.ours("link", "set", "eth0", "up")
    rx = json.loads(both.ours("-s", "-j", "l", "show", "eth0"))[0]["stats64"]["rx"]
    assert set(rx) == {"bytes", "packets", "dropped"}
    both.same("addr flush dev eth0 scope global")
    assert both.same("-4 -o a s dev eth0") == ""


def test_help_is_a_command(both: Both) -> None:
    for words in (("help",), ("route", "help")):
        assert both.ours(*words).startswith("Usage: ")


@pytest.mark.parametrize(
    ("command", "status", "sentence"),
    [
        (
            "rule",
            1,
            "'rule' is no object of the tree, which has address, route, neighbor, link; for the kernel's: ip rule",
        ),
        ("link add d0 type dummy", 255, "command 'add' is unknown; schemefs ip link has: set, show"),
        ("route add 10.0.0.0/8 via 10.0.2.2 mtu 1400", 1, "'mtu' is not possible here"),
        ("route show table 7", 1, "'table 7' is not possible here"),
        ("addr add 10.0.0.300/8 dev eth0", 1, "'10.0.0.300/8' is not ADDRESS/LENGTH"),
        ("-f mpls a", 1, "'mpls' is not a family: inet or inet6"),
        ("-xyz a", 2, "No such option"),
        ("", 1, "an object is needed: address, route, neighbor, link"),
        ("n get 10.0.2.200 dev eth0", 2, "there is no neighbor 10.0.2.200 on eth0"),
        ("n add 10.0.2.200 dev eth0", 1, "'lladdr MAC' is needed"),
        ("route get 10.0.0.1 from 10.0.0.2", 1, "'from' is not possible here"),
    ],
)
def test_what_is_not_of_the_tree_is_refused(both: Both, command: str, status: int, sentence: str) -> None:
    assert sentence in both.ours(*command.split(), status=status)
