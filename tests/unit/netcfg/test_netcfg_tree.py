"""netcfg, read and written as by a shell, on tables in memory."""

import errno

import pytest

from schemefs.errors import SchemeError
from schemefs.scheme import Caller
from tests.support.memory_layer import ROOT, USER, Netcfg


def fails(number, netcfg, text, path, caller=ROOT):
    with pytest.raises(SchemeError) as caught:
        netcfg.echo(text, path, caller)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number], caught.value.sentence
    assert caught.value.sentence
    return caught.value.sentence


def test_directories_list_their_files():
    netcfg = Netcfg()
    assert netcfg.ls("") == [
        "README",
        "iface",
        "ifaces",
        "route",
        "routes",
        "resolv",
        "hostname",
        "ip",
        "log",
        "stats",
        "config",
        "err",
    ]
    assert netcfg.ls("ifaces") == ["list", "add", "rm", "lo", "eth0"]
    assert netcfg.ls("ifaces/eth0") == [
        "mac", "mtu", "state", "stats", "addr", "neighbors", "dhcp", "impair", "history", "ra", "advertise",
    ]  # fmt: skip
    assert netcfg.ls("ifaces/eth0/addr") == ["list", "set", "add", "rm", "duplicates"]
    assert netcfg.ls("iface/eth0") == ["addr", "mac", "mtu", "state"]
    assert netcfg.ls("route") == ["list", "add", "rm", "get"]


def test_redox_texts():
    netcfg = Netcfg()
    assert netcfg.cat("ifaces/eth0/mac") == "52-54-00-12-34-56\n"
    assert netcfg.cat("ifaces/lo/mac") == "Not configured\n"
    assert netcfg.cat("ifaces/eth0/addr/list") == "10.0.2.15/24\n"
    assert netcfg.cat("ifaces/eth0/addr/set") == ""
    assert netcfg.cat("route/list") == (
        "default via 10.0.2.2 dev eth0 src 10.0.2.15\n"
        "127.0.0.0/8  dev lo src 127.0.0.1\n"
        "10.0.2.0/24  dev eth0 src 10.0.2.15\n"
    )


def test_plain_texts():
    netcfg = Netcfg()
    assert netcfg.cat("iface/lo/addr") == "127.0.0.1/8\n"
    assert netcfg.cat("iface/eth0/mac") == "52:54:00:12:34:56\n"
    assert netcfg.cat("iface/eth0/mtu") == "1500\n"
    assert netcfg.cat("iface/eth0/state") == "up\n"
    assert netcfg.cat("ifaces/eth0/stats") == "received_frames=3\ndropped_bad_checksum=1\n"
    assert netcfg.cat("routes").splitlines() == [
        "DESTINATION  GATEWAY   INTERFACE  SOURCE     METRIC  FLAGS",
        "10.0.2.0/24  -         eth0       10.0.2.15  0       -",
        "127.0.0.0/8  -         lo         127.0.0.1  0       -",
        "default      10.0.2.2  eth0       10.0.2.15  0       -",
    ]


def test_an_interface_without_address_says_so():
    netcfg = Netcfg()
    netcfg.echo("10.0.2.15/24", "ifaces/eth0/addr/rm")
    assert netcfg.cat("iface/eth0/addr") == "Not configured\n"
    assert "dev eth0\n" in netcfg.cat("route/list")


def test_addresses_are_set_added_and_removed():
    netcfg = Netcfg()
    netcfg.echo("10.0.2.16/24", "iface/eth0/addr")
    assert netcfg.cat("ifaces/eth0/addr/list") == "10.0.2.16/24\n"
    netcfg.echo("10.7.0.1/16", "ifaces/eth0/addr/add")
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.16/24\n10.7.0.1/16\n"
    text = netcfg.cat("iface/eth0/addr")
    netcfg.echo("10.9.9.9/8", "ifaces/eth0/addr/set")
    netcfg.node("iface/eth0/addr").write(text.encode(), ROOT, 1.0)
    assert netcfg.cat("iface/eth0/addr") == text
    netcfg.echo("10.7.0.1/16", "ifaces/eth0/addr/rm")
    assert "10.7.0.0/16" not in netcfg.cat("route/list")
    fails(errno.EADDRNOTAVAIL, netcfg, "10.7.0.1/16", "ifaces/eth0/addr/rm")
    fails(errno.EEXIST, netcfg, "10.0.2.16/24", "ifaces/eth0/addr/add")


def test_the_other_files_of_an_interface_are_written():
    netcfg = Netcfg()
    netcfg.echo("52:54:0:12:34:57", "iface/eth0/mac")
    assert netcfg.cat("ifaces/eth0/mac") == "52-54-00-12-34-57\n"
    netcfg.echo("9000", "ifaces/eth0/mtu")
    netcfg.echo("down", "iface/eth0/state")
    assert (netcfg.cat("iface/eth0/mtu"), netcfg.cat("ifaces/eth0/state")) == ("9000\n", "down\n")
    fails(errno.EOPNOTSUPP, netcfg, "52-54-00-12-34-57", "iface/lo/mac")


def test_routes_are_added_and_removed_in_redox_format():
    netcfg = Netcfg()
    netcfg.echo("default", "route/rm")
    assert "default" not in netcfg.cat("route/list")
    netcfg.echo("default via 10.0.2.2", "route/add")
    netcfg.echo("10.9.0.0/16 via 10.0.2.9 dev eth0 src 10.0.2.15 metric 5", "route/add")
    assert "10.9.0.0/16  via 10.0.2.9 dev eth0 src 10.0.2.15 metric 5\n" in netcfg.cat("route/list")
    fails(errno.EEXIST, netcfg, "default via 10.0.2.3", "route/add")
    fails(errno.ENODEV, netcfg, "10.8.0.0/16 dev eth7", "route/add")
    fails(errno.ENETUNREACH, netcfg, "10.8.0.0/16 via 192.0.2.1", "route/add")
    fails(errno.ENOENT, netcfg, "10.8.0.0/16", "route/rm")
    fails(errno.ENOENT, netcfg, "10.9.0.0/16 via 10.0.2.2", "route/rm")
    fails(errno.ENOENT, netcfg, "10.9.0.0/16 metric 6", "route/rm")
    netcfg.echo("10.9.0.0/16 metric 5", "route/rm")
    netcfg.echo("10.9.0.0/16 via 10.0.2.9", "route/add")
    netcfg.echo("0.0.0.0/0", "route/rm")
    netcfg.echo("10.9.0.0/16", "route/rm")
    assert len(netcfg.cat("route/list").splitlines()) == 2


def test_onlink_is_a_word_of_a_rule_as_in_ip_route():
    netcfg = Netcfg()
    netcfg.echo("default", "route/rm")
    netcfg.echo("default via 172.31.1.1 onlink dev eth0 metric 5", "route/add")
    assert netcfg.cat("route/list").splitlines()[0] == ("default via 172.31.1.1 dev eth0 src 10.0.2.15 metric 5 onlink")
    assert netcfg.cat("routes").splitlines()[-1] == "default      172.31.1.1  eth0       10.0.2.15  5       onlink"
    assert '"default via 172.31.1.1 dev eth0 metric 5 onlink"' in netcfg.cat("config")
    for line in ("10.9.0.0/16 dev eth0 onlink", "10.9.0.0/16 via 10.0.2.2 onlink"):
        fails(errno.EINVAL, netcfg, line, "route/add")
    fails(errno.EINVAL, netcfg, "10.9.0.0/16 via 10.0.2.2 dev eth0 onlink onlink", "route/add")
    fails(errno.EINVAL, netcfg, "10.9.0.0/16 via 10.0.2.2 onlink dev", "route/add")


def test_a_default_route_of_ipv6_is_written_as_it_is_shown():
    """`default` is of the family of its gateway, or of its source; without either IPv6 has ::/0."""
    netcfg = Netcfg()
    before = netcfg.cat("route/list")
    netcfg.echo("fd00::15/64", "ifaces/eth0/addr/add")
    netcfg.echo("default via fd00::2 dev eth0\n::/0 dev eth0 metric 7", "route/add")
    added = [line for line in netcfg.cat("route/list").splitlines() if "metric 7" in line or "fd00::2" in line]
    assert added == ["::/0 dev eth0 metric 7", "default via fd00::2 dev eth0"]
    netcfg.echo("default via fd00::2", "route/rm")
    netcfg.echo("::/0", "route/rm")
    netcfg.echo("fd00::15/64", "ifaces/eth0/addr/rm")
    assert netcfg.cat("route/list") == before


def test_the_host_route_to_a_gateway_is_added_before_the_rule_through_it():
    netcfg = Netcfg()
    netcfg.echo("default", "route/rm")
    netcfg.echo("default via 172.31.1.1\n172.31.1.1/32 dev eth0", "route/add")
    listed = netcfg.cat("route/list")
    assert "172.31.1.1/32  dev eth0" in listed
    netcfg.echo("default\n172.31.1.1/32", "route/rm")
    netcfg.echo("\n".join(line for line in listed.splitlines() if "172.31.1.1" in line), "route/add")
    assert netcfg.cat("route/list") == listed


def test_route_get_shows_the_rule_that_applies():
    netcfg = Netcfg()
    assert netcfg.cat("route/get/10.0.2.7") == "10.0.2.7 dev eth0\n"
    netcfg.echo("default", "route/rm")
    with pytest.raises(SchemeError) as caught:
        netcfg.cat("route/get/10.9.1.1")
    assert caught.value.errno == errno.ENETUNREACH
    with pytest.raises(SchemeError) as caught:
        netcfg.node("route/get/example.com")
    assert caught.value.errno == errno.EINVAL
    file = netcfg.node("route/get/10.0.2.7")
    assert netcfg.node("route/get/10.0.2.7") is file


def test_neighbors():
    netcfg = Netcfg()
    netcfg.echo("10.0.2.9 52-55-0a-00-02-09", "ifaces/eth0/neighbors/add")
    netcfg.layer.interfaces["eth0"].add_neighbor(bytes((10, 0, 2, 8)), b"", 0.0)
    assert netcfg.cat("ifaces/eth0/neighbors/list") == "10.0.2.9 52-55-0a-00-02-09 PERMANENT\n10.0.2.8 - INCOMPLETE\n"
    netcfg.echo("10.0.2.9", "ifaces/eth0/neighbors/rm")
    fails(errno.ENOENT, netcfg, "10.0.2.9", "ifaces/eth0/neighbors/rm")


def test_names():
    netcfg = Netcfg(hosts="10.0.2.2 gateway\n")
    assert netcfg.cat("resolv/nameserver") == "Not configured\n"
    netcfg.echo("10.0.2.3", "resolv/nameserver")
    assert netcfg.cat("resolv/nameserver") == "10.0.2.3\n"
    assert netcfg.context.names.nameserver == bytes((10, 0, 2, 3))
    assert netcfg.cat("resolv/hosts") == "10.0.2.2 gateway\n"
    netcfg.echo("# ours\n10.0.2.7 peer www.peer", "resolv/hosts")
    assert netcfg.context.names.addresses("www.peer") == (bytes((10, 0, 2, 7)),)
    fails(errno.EINVAL, netcfg, "peer 10.0.2.8", "resolv/hosts")
    assert netcfg.cat("resolv/hosts") == "# ours\n10.0.2.7 peer www.peer\n"


def test_late_timers_are_counted_with_their_owners():
    netcfg = Netcfg()
    for owner in ("tcp", "icmp", "tcp"):
        netcfg.timers.timer(lambda _now: None, owner).set(1.0)
    netcfg.timers.set_late(0.5)
    netcfg.timers.on_deadline(1.4)
    assert "fired=0" in netcfg.cat("stats/timers")
    netcfg.timers.on_deadline(1.5)
    assert netcfg.cat("stats/timers").endswith("latest_lateness=0.500000\nlate=3\nlate_owners=icmp, tcp\n")


def test_timers_are_counted():
    netcfg = Netcfg()
    timers = [netcfg.timers.timer(lambda _now: None, "test") for _ in range(10_000)]
    for timer in timers:
        timer.set(5.0)
    for timer in timers:
        timer.clear()
    timers[0].set(2.0)
    netcfg.timers.on_deadline(2.000125)
    assert netcfg.cat("stats/timers").splitlines() == [
        "armed=10001",
        "fired=1",
        "cancelled=10000",
        "pending=0",
        "failed=0",
        "latest_lateness=0.000125",
        "late=0",
        "late_owners=",
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("iface/eth0/addr", "10.0.2.15"),
        ("iface/eth0/addr", "10.0.2.15/33"),
        ("iface/eth0/addr", "224.0.0.1/24"),
        ("iface/eth0/addr", "0.0.0.0/0"),
        ("iface/eth0/addr", "255.255.255.255/32"),
        ("iface/eth0/addr", ""),
        ("iface/eth0/addr", "10.0.2.16/24\n10.0.2.16/16"),
        ("iface/eth0/mac", "52-54-00-12-34"),
        ("iface/eth0/mac", "ff-ff-ff-ff-ff-ff"),
        ("iface/eth0/mac", "01-00-5e-00-00-01"),
        ("iface/eth0/mtu", "67"),
        ("iface/eth0/mtu", "1e3"),
        ("iface/eth0/state", "on"),
        ("route/add", "default"),
        ("route/add", "default via"),
        ("route/add", "default via peer"),
        ("route/add", "default via 224.0.0.1"),
        ("route/add", "default through 10.0.2.2"),
        ("route/add", "default via 10.0.2.2 via 10.0.2.3"),
        ("route/add", "default via 10.0.2.2 metric x"),
        ("route/add", "10.9.1.1/16 via 10.0.2.2"),
        ("route/add", "10.9.0.0 via 10.0.2.2"),
        ("route/rm", "everything"),
        ("route/rm", "default src 10.0.2.15"),
        ("ifaces/eth0/neighbors/add", "10.0.2.9"),
        ("ifaces/eth0/neighbors/rm", "neighbor"),
        ("resolv/nameserver", "dns.example"),
        ("resolv/nameserver", "0.0.0.0"),
        ("log/level", "loud"),
        ("log/level", "inherit"),
        ("log/level", "a b trace"),
    ],
)
def test_malformed_lines_are_einval_and_change_nothing(path, line):
    netcfg = Netcfg()
    before = (netcfg.cat("route/list"), netcfg.cat("iface/eth0/addr"), netcfg.cat("iface/eth0/mtu"))
    fails(errno.EINVAL, netcfg, line, path)
    assert (netcfg.cat("route/list"), netcfg.cat("iface/eth0/addr"), netcfg.cat("iface/eth0/mtu")) == before


@pytest.mark.parametrize(
    ("path", "line", "sentence"),
    [
        ("iface/eth0/addr", "", "the write has no command; a command is a non-empty line"),
        ("iface/eth0/addr", "10.0.2.16/24\n10.0.2.16/16", "an address is given twice; once is allowed"),
        ("iface/eth0/addr", "224.0.0.1/24", "'224.0.0.1/24' is not a unicast address"),
        (
            "iface/eth0/mac",
            "01-00-5e-00-00-01",
            "'01-00-5e-00-00-01' is not a unicast hardware address: its first octet must be even, and one not zero",
        ),
        ("iface/eth0/state", "on", "'on' is not a state; a state is up or down"),
        ("route/add", "default", "'default' has neither 'via GATEWAY' nor 'dev INTERFACE'; one of them is needed"),
        ("route/add", "default via", "'via' at the end of 'default via' has no value"),
        ("route/add", "default via peer", "'peer' is not an IP address; names are not resolved here"),
        (
            "route/add",
            "default through 10.0.2.2",
            "'through' in 'default through 10.0.2.2' is not known here; known are: via, dev, src, metric, onlink",
        ),
        (
            "route/add",
            "default via 10.0.2.2 via 10.0.2.3",
            "'via' is given twice in 'default via 10.0.2.2 via 10.0.2.3'; once is allowed",
        ),
        ("route/add", "10.9.1.1/16 via 10.0.2.2", "'10.9.1.1/16' has host bits set; the network is 10.9.0.0/16"),
        (
            "ifaces/eth0/neighbors/add",
            "10.0.2.9",
            "'10.0.2.9' is not ADDRESS MAC, such as 10.0.2.2 52-55-0a-00-02-02",
        ),
        ("ifaces/eth0/dhcp", "maybe", "there is no DHCP command 'maybe'; there are: on, off, renew"),
    ],
)
def test_malformed_lines_get_a_sentence(path, line, sentence):
    assert fails(errno.EINVAL, Netcfg(), line, path) == sentence


def test_a_write_is_complete_commands():
    netcfg = Netcfg()
    netcfg.node("route/add").write(b"10.8.0.0/16 via 10.0.2.2\n\n10.9.0.0/16 via 10.0.2.2", ROOT, 1.0)
    assert len(netcfg.cat("route/list").splitlines()) == 5
    # A malformed line: nothing of the write is applied. A line that fails: earlier lines stay applied.
    fails(errno.EINVAL, netcfg, "10.7.0.0/16 via 10.0.2.2\nnonsense", "route/add")
    assert len(netcfg.cat("route/list").splitlines()) == 5
    fails(errno.EEXIST, netcfg, "10.7.0.0/16 via 10.0.2.2\n10.8.0.0/16 via 10.0.2.2", "route/add")
    assert len(netcfg.cat("route/list").splitlines()) == 6
    with pytest.raises(SchemeError) as caught:
        netcfg.node("route/add").write(b"\xff", ROOT, 1.0)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("path", ["iface/eth0/addr", "route/add", "route/rm", "resolv/hosts", "log/level"])
def test_other_users_may_read_but_not_write(path):
    netcfg = Netcfg()
    netcfg.cat(path, USER)
    fails(errno.EACCES, netcfg, "anything", path, USER)
    assert netcfg.node(path).mode == 0o644


def test_the_daemons_user_may_write_and_owns_the_files():
    netcfg = Netcfg(uid=1000)
    assert netcfg.node("ifaces/eth0/mtu").uid == 1000
    netcfg.echo("1400", "iface/eth0/mtu", USER)
    assert netcfg.cat("iface/eth0/mtu") == "1400\n"


@pytest.mark.parametrize("path", ["nothing", "ifaces/eth7", "iface/eth0/colour", "route/list2"])
def test_an_unknown_name_is_enoent(path):
    with pytest.raises(SchemeError) as caught:
        Netcfg().node(path)
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("text", "path", "changed"),
    [
        ("10.9.0.0/16 via 10.0.2.2", "route/add", {"route/list", "routes"}),
        ("10.0.2.99/24", "iface/eth0/addr", {"iface/eth0/addr", "ifaces/eth0/addr/list", "route/list", "routes"}),
        ("52-54-00-00-00-01", "ifaces/eth0/mac", {"iface/eth0/mac", "ifaces/eth0/mac"}),
        ("1400", "iface/eth0/mtu", {"iface/eth0/mtu", "ifaces/eth0/mtu"}),
        ("10.0.2.3", "resolv/nameserver", {"resolv/nameserver"}),
        ("10.0.2.3 dns", "resolv/hosts", {"resolv/hosts"}),
        ("example.org", "resolv/search", {"resolv/search"}),
        ("info", "log/level", {"log/level"}),
        ("1", "ip/forward", {"ip/forward"}),
    ],
)
def test_a_change_wakes_the_pollers_of_all_files_that_show_it(text, path, changed):
    netcfg = Netcfg()
    watched = [
        "route/list", "routes", "iface/eth0/addr", "ifaces/eth0/addr/list", "iface/eth0/mac", "ifaces/eth0/mac",
        "iface/eth0/mtu", "ifaces/eth0/mtu", "resolv/nameserver", "resolv/hosts", "iface/lo/addr",
        "resolv/search", "log/level", "ip/forward",
    ]  # fmt: skip
    before = {path: netcfg.node(path).version for path in [*watched, "config"]}
    netcfg.echo(text, path)
    assert netcfg.node("config").version > before["config"]  # every change is part of the configuration
    assert {path for path in watched if netcfg.node(path).version != before[path]} == changed


def test_connections_are_observed_from_on_to_off():
    netcfg = Netcfg()
    assert netcfg.cat("stats/flows") == "off\n"
    netcfg.echo("on", "stats/flows")
    assert netcfg.cat("stats/flows") == (
        "client=10.0.2.2:5000 server=10.1.0.2:80\nclient=10.0.2.2:5001 server=10.1.0.2:80\n"
    )
    netcfg.echo("off", "stats/flows")
    assert netcfg.cat("stats/flows") == "off\n"
    with pytest.raises(SchemeError, match="'yes' is not on or off"):
        netcfg.echo("yes", "stats/flows")
    with pytest.raises(SchemeError) as caught:
        netcfg.echo("on", "stats/flows", USER)
    assert caught.value.errno == errno.EACCES


def test_a_duplicate_address_is_in_a_file_of_its_own_and_in_err():
    netcfg = Netcfg(uid=1000)
    interface = netcfg.layer.interfaces["eth0"]
    watched = netcfg.node("ifaces/eth0/addr/duplicates")
    assert netcfg.cat("ifaces/eth0/addr/duplicates") == ""
    ours = interface.addresses[0]
    before = watched.version
    interface.duplicates = {ours[0]: b"\x52\x55\x0a\x00\x02\x02"}
    netcfg.layer.notify("ifaces/eth0/addr/duplicates")
    assert netcfg.cat("ifaces/eth0/addr/duplicates") == "10.0.2.15/24 52-55-0a-00-02-02\n"
    assert watched.version > before
    for caller in (ROOT, Caller(1000)):
        assert netcfg.cat("err", caller) == "10.0.2.15 on eth0 is no longer used; 52:55:0a:00:02:02 has it too\n"
    assert netcfg.cat("err", Caller(2000)) == ""


def test_an_interface_that_is_attached_again_has_new_files():
    netcfg = Netcfg()
    file = netcfg.node("iface/eth0/addr")
    assert netcfg.node("iface/eth0/addr") is file
    interface = netcfg.layer.interfaces.pop("eth0")
    with pytest.raises(SchemeError):
        netcfg.node("iface/eth0/addr")
    netcfg.layer.interfaces["eth0"] = interface
    assert netcfg.node("iface/eth0/addr") is not file
