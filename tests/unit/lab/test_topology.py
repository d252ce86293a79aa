"""A lab's file and options: what is worked out, and what is refused in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemefs.lab.topology import Topology

CHAIN = """
[lab]
seed = 7

[host.client]
[host.server]
command = "python3 -m http.server 80"
directory = "www"
env = { LANG = "C" }

[router.r1]
[router.r2]
[router.r3]

[[link]]
between = ["client", "r1"]
impair = "delay 20ms loss 1%"
[[link]]
between = ["r1", "r2"]
mtu = 1300
[[link]]
between = ["r2", "r3"]
impair = '''
loss 1% direction in
loss 2% direction out seed 4
'''
[[link]]
between = ["r3", "server"]
"""


@pytest.fixture
def described(tmp_path: Path):
    def read(text: str) -> Topology:
        (tmp_path / "net.toml").write_text(text)
        return Topology.from_file(tmp_path / "net.toml")

    return read


def two(hosts: str = "", routers: str = "", links: str = "", lab: str = "") -> str:
    """Return a file of two hosts and a router, with more lines in its tables."""
    return f"""
[lab]
{lab}
[host.client]
{hosts}
[host.server]
[router.r1]
{routers}
[[link]]
between = ["client", "r1"]
{links}
[[link]]
between = ["server", "r1"]
"""


def addresses(topology: Topology) -> dict[str, list[str]]:
    return {link.name: [f"{end.owner} {end.name} {end.address}" for end in link.ends] for link in topology.links}


def both(*routes: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return routes of IPv4 in the chosen networks, and behind them those of IPv6 that belong to them."""
    six = [
        (re.sub(r"10\.9\.(\d+)\.0/24", r"fd09:\1::/64", to), re.sub(r"10\.9\.(\d+)\.", r"fd09:\1::", via))
        for to, via in routes
    ]
    return (*routes, *six)


def test_options_join_the_hosts_by_one_router():
    lab = Topology.from_options(["client", "server"], ["client=delay 20ms loss 1% seed 7"])
    assert addresses(lab) == {
        "client-router": ["client eth0 10.9.1.2/24", "router client 10.9.1.1/24"],
        "server-router": ["server eth0 10.9.2.2/24", "router server 10.9.2.1/24"],
    }
    assert [link.impair for link in lab.links] == ["delay 20ms loss 1% seed 7", ""]
    assert [link.mtu for link in lab.links] == [1500, 1500]
    assert [host.routes for host in lab.hosts] == [
        (("default", "10.9.1.1"), ("default", "fd09:1::1")),
        (("default", "10.9.2.1"), ("default", "fd09:2::1")),
    ]
    assert [router.routes for router in lab.routers] == [()]
    assert (lab.seed, lab.internet) == (None, False)
    assert [lab.address("server"), lab.address6("server")] == ["10.9.2.2", "fd09:2::2"]
    assert [end.address6 for link in lab.links for end in link.ends] == [
        *("fd09:1::2/64", "fd09:1::1/64"),
        *("fd09:2::2/64", "fd09:2::1/64"),
    ]


def test_options_of_one_host_are_lines_of_its_impairments():
    lab = Topology.from_options(["client"], ["client=loss 1% direction in", "client=loss 2% direction out"], seed=3)
    assert lab.links[0].impair == "loss 1% direction in seed 3\nloss 2% direction out seed 3"


def test_exact_rules_take_no_seed():
    lab = Topology.from_options(["a"], ["a=drop tcp syn 1; loss 1%; in hold synack 1 500ms; none"], seed=3)
    assert lab.links[0].impair == "drop tcp syn 1\nloss 1% seed 3\nin hold synack 1 500ms"


def test_a_chain_of_three_routers(described, tmp_path):
    lab = described(CHAIN)
    assert addresses(lab) == {
        "client-r1": ["client eth0 10.9.1.2/24", "r1 client 10.9.1.1/24"],
        "r1-r2": ["r1 r2 10.9.2.1/24", "r2 r1 10.9.2.2/24"],
        "r2-r3": ["r2 r3 10.9.3.1/24", "r3 r2 10.9.3.2/24"],
        "r3-server": ["r3 server 10.9.4.1/24", "server eth0 10.9.4.2/24"],
    }
    assert {router.name: router.routes for router in lab.routers} == {
        "r1": both(("10.9.3.0/24", "10.9.2.2"), ("10.9.4.0/24", "10.9.2.2")),
        "r2": both(("10.9.1.0/24", "10.9.2.1"), ("10.9.4.0/24", "10.9.3.2")),
        "r3": both(("10.9.1.0/24", "10.9.3.1"), ("10.9.2.0/24", "10.9.3.1")),
    }
    server = lab.hosts[1]
    assert (server.command, server.env) == ("python3 -m http.server 80", {"LANG": "C"})
    assert server.directory == str(tmp_path / "www"), "it is relative to the file's"
    assert server.routes == both(("default", "10.9.4.1"))
    assert [link.mtu for link in lab.links] == [1500, 1300, 1500, 1500]
    assert [f"{link.impaired.owner} {link.impaired.name}" for link in lab.links] == [
        "r1 client", "r1 r2", "r2 r3", "r3 server",
    ]  # fmt: skip


def test_a_link_without_a_seed_has_that_of_the_lab_and_its_number(described):
    assert [link.impair for link in described(CHAIN).links] == [
        "delay 20ms loss 1% seed 7",
        "",
        "loss 1% direction in seed 9\nloss 2% direction out seed 4",
        "",
    ]


def test_a_link_of_more_than_two_ends_is_one_segment(described):
    lab = described("""
[host.a]
[host.b]
[host.c]
[router.r]
[[link]]
between = ["a", "b", "r", "c"]
""")
    assert addresses(lab) == {
        "segment": ["a eth0 10.9.1.2/24", "b eth0 10.9.1.3/24", "r segment 10.9.1.1/24", "c eth0 10.9.1.4/24"]
    }
    assert lab.hosts[0].routes == both(("default", "10.9.1.1"))
    assert [end.address6 for end in lab.links[0].ends] == [f"fd09:1::{number}/64" for number in (2, 3, 1, 4)]


def test_a_guest_is_a_host_of_its_link(described):
    lab = described(two() + '[[link]]\nbetween = ["r1"]\nguest = "redox"\n')
    assert [(host.name, host.guest) for host in lab.hosts] == [("client", False), ("server", False), ("redox", True)]
    assert addresses(lab)["r1-redox"] == ["r1 redox 10.9.3.1/24", "redox eth0 10.9.3.2/24"]


def test_given_addresses_and_networks_are_kept_and_the_rest_is_chosen(described):
    lab = described("""
[host.client]
addresses = ["", "192.0.2.9/28"]
[host.server]
addresses = ["10.9.1.77/24"]
[router.r1]
addresses = ["", "", "10.9.1.254/24"]
[[link]]
between = ["client", "r1"]
[[link]]
between = ["r1", "client"]
name = "second"
[[link]]
between = ["server", "r1"]
[[link]]
between = ["r1", "server"]
network = "198.51.100.0/31"
""")
    assert addresses(lab) == {
        "client-r1": ["client eth0 10.9.2.2/24", "r1 client 10.9.2.1/24"],
        "second": ["r1 client-2 192.0.2.1/28", "client eth1 192.0.2.9/28"],
        "server-r1": ["server eth0 10.9.1.77/24", "r1 server 10.9.1.254/24"],
        "r1-server": ["r1 server-2 198.51.100.0/31", "server eth1 198.51.100.1/31"],
    }


def test_ipv6_is_given_and_left_out_as_the_file_says(described):
    lab = described("""
[host.client]
addresses6 = ["", "2001:db8::9/120"]
[host.server]
[router.r1]
[[link]]
between = ["client", "r1"]
network = "192.0.2.0/24"
[[link]]
between = ["r1", "client"]
name = "second"
[[link]]
between = ["server", "r1"]
network6 = "2001:db8:1::/127"
[[link]]
between = ["r1", "server"]
name = "small"
mtu = 1279
[[link]]
between = ["r1", "server"]
network6 = "none"
[[link]]
between = ["r1", "server"]
name = "least"
mtu = 1280
""")
    assert {link.name: [end.address6 for end in link.ends] for link in lab.links} == {
        "client-r1": ["fd09:6::2/64", "fd09:6::1/64"],  # the first number that no other link has
        "second": ["2001:db8::1/120", "2001:db8::9/120"],
        "server-r1": ["2001:db8:1::1/127", "2001:db8:1::/127"],
        "small": ["", ""],
        "r1-server": ["", ""],
        "least": ["fd09:5::1/64", "fd09:5::2/64"],
    }
    assert lab.address6("server") == "2001:db8:1::1"
    assert ("fd09:5::/64", "2001:db8:1::") not in lab.hosts[1].routes, "it is on this link"
    lab = described(two(lab="ipv6 = false"))
    assert {end.address6 for link in lab.links for end in link.ends} == {""}
    assert [host.routes for host in lab.hosts] == [(("default", "10.9.1.1"),), (("default", "10.9.2.1"),)]
    assert lab.address6("server") == ""


def test_names_of_interfaces_fit_linux(described):
    long = [f"a-host-with-a-long-name-{number}" for number in (1, 2)]
    lab = Topology.from_options([*long, "lo", "list"])
    assert [link.ends[1].name for link in lab.links] == ["a-host-with-a-l", "a-host-with-a-2", "lo-2", "list-2"]


def test_given_routes_come_first_and_replace(described):
    lab = described(two('routes = ["198.51.100.0/24 via 10.9.1.9", "default via 10.9.1.8"]'))
    assert lab.hosts[0].routes == (
        *(("198.51.100.0/24", "10.9.1.9"), ("default", "10.9.1.8"), ("default", "fd09:1::1")),
    )
    lab = described(two('routes = ["2001:db8::/32 via fd09:1::9", "default via fd09:1::8"]'))
    assert lab.hosts[0].routes == (
        *(("2001:db8::/32", "fd09:1::9"), ("default", "fd09:1::8"), ("default", "10.9.1.1")),
    )


def test_a_host_between_two_routers_takes_the_nearer(described):
    lab = described("""
[host.both]
[host.far]
[router.r1]
[router.r2]
[[link]]
between = ["both", "r1"]
[[link]]
between = ["both", "r2"]
[[link]]
between = ["r1", "r2"]
[[link]]
between = ["r2", "far"]
""")
    assert lab.hosts[0].routes == both(("default", "10.9.1.1"), ("10.9.4.0/24", "10.9.2.1"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[host", "not TOML: Expected ']' at the end of a table declaration (at end of document)"),
        ("", "a lab needs a host; name it by --hosts or [host.NAME]"),
        ("[host.a]", "a lab needs a router; write [router.NAME]"),
        ("[hosts.a]", "there is no key hosts; there are: lab, host, router, link"),
        ("[link]\nbetween = []", "link is not a list of tables: write [[link]], and a line for each key"),
        (two("speed = 3"),
         "there is no key host.client.speed; there are: addresses, addresses6, routes, env, command, directory"),
        (two("command = 3"), "host.client.command must be a text in quotes, not 3"),
        (two("env = { A = 1 }"), "host.client.env.A must be a text in quotes, not 1"),
        (two('env = { "A;B" = "1" }'),
         "host.client.env: 'A;B' is not the name of a variable; letters, digits and _ are allowed"),
        (two('env = { A = "\\u0000" }'), "host.client.env.A contains NUL, which no program can be given"),
        (two('command = "a\\u0000b"'), "host.client.command contains NUL, which no program can be given"),
        ("link = [1]", "link is not a list of tables: write [[link]], and a line for each key"),
        (two(routers='command = "x"'), "there is no key router.r1.command; there are: addresses, addresses6, routes"),
        (two(lab="speed = 1"), "there is no key lab.speed; there are: seed, internet, ipv6"),
        (two(lab="seed = -1"), "lab.seed is -1; it must be from 0 to 4294967295"),
        (two(links="loss = 1"),
         "there is no key link 1: loss; there are: between, guest, impair, mtu, network, network6, name"),
        (two(links="mtu = 20"), "link 1: '20' is not a number from 68 to 65520; mtu is in octets"),
        (two().replace('"client", "r1"', '"client"'), "link 1: between must name two or more hosts and routers"),
        (two().replace('"client", "r1"', '"klient", "r1"'),
         "link 1: there is no host or router 'klient'; there are: client, r1, server"),
        (two().replace('"client", "r1"', '"client", "r1", "client"'),
         "link 1: 'client' is named twice; a link joins different hosts and routers"),
        (two().replace('"client", "r1"', '"client", "server"'),
         "link 1: a link needs a router; none of client, server is one"),
        (two().replace("[router.r1]", "[host.idle]\n[router.r1]"),
         "'idle' has no link; name it in the `between` of one"),
        (two().replace("[router.r1]", "[router.idle]\n[router.r1]"),
         "'idle' has no link; name it in the `between` of one"),
        (two().replace("[router.r1]", "[router.Client]\n[router.r1]"),
         "the name 'Client' is given twice; each host and router has a name of its own"),
        (two() + '[[link]]\nbetween = ["r1"]\nguest = "server"\n',
         "the name 'server' is given twice; each host and router has a name of its own"),
        (two() + '[[link]]\nbetween = ["r1", "client"]\nguest = "redox"\n',
         "link 3: between must name the router of the guest 'redox' alone"),
        (two().replace("host.client", 'host."a_b"'),
         "'a_b' is not a host name; letters, digits and hyphens are allowed, such as client-1"),
        (two().replace("host.client", "host.10"),
         "'10' is not a host name; letters, digits and hyphens are allowed, such as client-1"),
        (two().replace("host.client", "host.localhost"),
         "'localhost' is the name of the loopback interface in each host; choose another name"),
        (two('addresses = ["10.1.0.2/24", "10.2.0.2/24"]'),
         "'client' has 2 addresses and 1 links; each link takes one"),
        (two('addresses = ["10.1.0.2"]'),
         "addresses of 'client': '10.1.0.2' is not ADDRESS/PREFIXLENGTH, such as 10.0.2.15/24"),
        (two('addresses = ["10.1.0.0/24"]'),
         "addresses of 'client': 10.1.0.0/24 is the address of the network, not of a host in it"),
        (two('addresses = ["10.1.0.2/24"]', links='network = "10.3.0.0/24"'),
         "10.1.0.2/24 of 'client' is outside the network 10.3.0.0/24 of link 'client-r1'"),
        (two('addresses = ["10.1.0.2/24"]', 'addresses = ["10.4.0.2/24"]'),
         "10.4.0.2/24 of 'r1' is outside the network 10.1.0.0/24 of link 'client-r1'"),
        (two('addresses = ["10.1.0.2/24"]', 'addresses = ["10.1.0.2/24"]'),
         "10.1.0.2 of 'r1' is given twice on link 'client-r1'"),
        (two('addresses = ["10.1.0.2/24"]', 'addresses = ["", "10.1.0.9/16"]'),
         "the networks of links 'client-r1' and 'server-r1' overlap: 10.1.0.0/24 and 10.1.0.0/16"),
        (two(links='network = "10.1.0.5/24"'),
         "network of link 'client-r1': '10.1.0.5/24' has host bits set; the network is 10.1.0.0/24"),
        (two(links='network = "10.1.0.5/32"'),
         "network of link 'client-r1': '10.1.0.5/32' is not a network of two or more hosts, such as 10.1.0.0/24"),
        (two().replace('"client", "r1"', '"client", "r1", "server"').replace('"server", "r1"]', '"server", "r1"]\n')
         .replace('"server"]', '"server"]\nnetwork = "10.1.0.0/30"'),
         "the network 10.1.0.0/30 of link 'segment' has too few addresses for 3 ends"),
        (two(links='network6 = "fe80::/64"'),
         "network6 of link 'client-r1': 'fe80::/64' is not a network of two or more hosts, such as fd01::/64"),
        (two(links='network6 = "10.1.0.0/24"'),
         "network6 of link 'client-r1': '10.1.0.0/24' is not a network of two or more hosts, such as fd01::/64"),
        (two(links='network6 = "fd01::/128"'),
         "network6 of link 'client-r1': 'fd01::/128' is not a network of two or more hosts, such as fd01::/64"),
        (two(links='network6 = "fd01::/64"\nmtu = 1000'),
         "fd01::/64 is for link 'client-r1', which has no IPv6, since its mtu is below 1280"),
        (two('addresses6 = ["fd01::2/64"]', links='network6 = "none"'),
         "fd01::2/64 is for link 'client-r1', which has no IPv6"),
        (two('addresses6 = ["10.1.0.2/24"]'),
         "addresses6 of 'client': '10.1.0.2/24' is not an IPv6 address; addresses is for IPv4"),
        (two('addresses = ["fd01::2/64"]'),
         "addresses of 'client': 'fd01::2/64' is not an IPv4 address; addresses6 is for IPv6"),
        (two('addresses6 = ["fe80::2/64"]'),
         "addresses6 of 'client': fe80::2/64 is not an address that hosts of other links can reach"),
        (two('addresses6 = ["fd01::2"]'),
         "addresses6 of 'client': 'fd01::2' is not ADDRESS/PREFIXLENGTH, such as fd09:1::2/64"),
        (two('addresses6 = ["fd01::2/64", "fd02::2/64"]'),
         "'client' has 2 addresses6 and 1 links; each link takes one"),
        (two('routes = ["default via fe80::1"]'), "routes of 'client': the gateway fe80::1 is on none of its links"),
        (two('routes = ["10.5.0.0/24 via fd09:1::1"]'),
         "routes of 'client': 10.5.0.0/24 and its gateway are of different families"),
        (two('routes = ["default via fd09:1::1", "::/0 via fd09:1::9"]'), "routes of 'client': default is given twice"),
        (two(links='network = "224.0.0.0/24"'),
         "network of link 'client-r1': '224.0.0.0/24' is not a network of two or more hosts, such as 10.1.0.0/24"),
        (two('routes = ["198.51.100.0/24"]'),
         "routes of 'client': '198.51.100.0/24' is not NETWORK via ADDRESS, or default via ADDRESS"),
        (two('routes = ["198.51.100.1/24 via 10.9.1.9"]'),
         "routes of 'client': '198.51.100.1/24' is not ADDRESS/PREFIXLENGTH, such as 10.0.2.15/24"),
        (two('routes = ["default via server"]'),
         "routes of 'client': 'server' is not an IP address; names are not resolved here"),
        (two('routes = ["default via 10.9.2.1"]'), "routes of 'client': the gateway 10.9.2.1 is on none of its links"),
        (two('routes = ["default via 10.9.1.1", "default via 10.9.1.9"]'),
         "routes of 'client': default is given twice"),
        (two('routes = ["default via 10.9.1.1", "0.0.0.0/0 via 10.9.1.9"]'),
         "routes of 'client': default is given twice"),
        (two('routes = ["10.9.1.0/24 via 10.9.1.1"]'),
         "routes of 'client': 10.9.1.0/24 is the network of one of its links, which needs no route"),
        (two('routes = ["10.5.0.0/24 via 10.9.1.255"]'),
         "routes of 'client': the gateway 10.9.1.255 is the address of a network, not of a host in it"),
        (two(links='impair = "los 1%"').replace("[lab]", ""), "impair of link 'client-r1': 'los' in 'los 1%' is not"),
        (two(links='name = "x"') + 'name = "x"', "the link name 'x' is given twice; each link has a name of its own"),
        (two(links='name = "x y"'), "'x y' is not a name of a link; letters, digits, dots and hyphens are allowed"),
        (two().replace('"server", "r1"', '"server", "r2"').replace("[router.r1]", "[router.r1]\n[router.r2]"),
         "there is no way from 'client' to link 'server-r2'; join the two parts by a router"),
    ],
)  # fmt: skip
def test_a_contradiction_is_one_sentence(described, tmp_path, text, sentence):
    with pytest.raises(ValueError) as caught:
        described(text)
    assert str(caught.value).startswith(f"{tmp_path}/net.toml: {sentence}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.toml: No such file or directory$"):
        Topology.from_file(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe4")
    with pytest.raises(ValueError, match="not TOML: it is not UTF-8"):
        Topology.from_file(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("hosts", "links", "sentence"),
    [
        ([], [], "a lab needs a host; name it by --hosts or [host.NAME]"),
        (["a", "a"], [], "the name 'a' is given twice; each host and router has a name of its own"),
        (["a", "router"], [], "the name 'router' is given twice; each host and router has a name of its own"),
        (["a", ""], [], "'' is not a host name; letters, digits and hyphens are allowed, such as client-1"),
        (["a"], ["b=loss 1%"], "there is no host 'b'; there are: a"),
        (["a"], ["loss 1%"], "'loss 1%' is not HOST=RULES, such as client='delay 20ms loss 1%'"),
        (["a"], ["a=loss"], "impair of link 'a-router': 'loss' at the end of 'loss' has no value"),
        ([f"h{i}" for i in range(255)], [],
         "there are more links than the 254 networks 10.9.N.0/24; give some a network"),
    ],
)  # fmt: skip
def test_options_that_contradict(hosts, links, sentence):
    with pytest.raises(ValueError) as caught:
        Topology.from_options(hosts, links)
    assert str(caught.value) == sentence
