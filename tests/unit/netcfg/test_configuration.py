"""`netcfg/config` on tables in memory: what is read, what a write changes, and that one that fails changes nothing."""

import errno
import tomllib

import pytest

from drivers.tap import OPTIONS
from schemefs.config import Config, InterfaceConfig
from schemefs.document import parse
from schemefs.driver_option import read_options
from schemefs.errors import SchemeError
from schemefs.net.addresses import packed
from tests.support.memory_layer import ROOT, TABLES, USER, Netcfg

CONFIG = "config"


class Attaching(Netcfg):
    """A netcfg whose interfaces can come and go; what was asked for is remembered."""

    def __init__(self):
        super().__init__("127.0.0.1 localhost\n")
        self.asked = []
        self.context.config.interfaces.append(InterfaceConfig("eth0", options=read_options(OPTIONS, "eth0", {})))
        self.context.names.nameservers = (packed("10.0.2.3"),)
        self.context.attach = self._attach
        self.context.detach = self._detach

    def _attach(self, config, now):
        self.asked.append(f"attach {config.name} {config.options.get('tap')}")
        if config.options.get("tap") == "taken":
            raise SchemeError(errno.ENODEV, "the TAP taken is in use")
        self.layer.make(config.name)

    def _detach(self, name, now):
        self.asked.append(f"detach {name}")
        interface = self.layer.interfaces.pop(name)
        self.layer.routes.rules = [rule for rule in self.layer.routes.rules if rule.interface != name]
        self.scheme.link_detached(interface, now)

    def write(self, text, caller=ROOT):
        self.node(CONFIG).write(text.encode(), caller, 1.0)

    def edited(self, old, new):
        text = self.cat(CONFIG)
        assert old in text
        return text.replace(old, new)


def test_what_is_in_force_is_read_as_toml():
    table = tomllib.loads(Attaching().cat(CONFIG))
    assert table["routes"] == ["default via 10.0.2.2 dev eth0"]
    assert table["hosts"] == ["127.0.0.1 localhost"]
    assert table["nameservers"] == ["10.0.2.3"]
    assert table["interface"]["eth0"]["addresses"] == ["10.0.2.15/24"]
    assert table["interface"]["eth0"]["tap"] == "schemefs0"
    assert table["interface"]["eth0"]["host_address"] == "none"


def test_writing_what_was_read_changes_nothing():
    netcfg = Attaching()
    netcfg.echo("loss 1% seed 3; drop tcp syn 1; in hold synack 1 500ms", "ifaces/eth0/impair")
    rules = ["loss 1% seed 3", "drop tcp syn 1", "in hold synack 1 500ms"]
    assert tomllib.loads(netcfg.cat(CONFIG))["interface"]["eth0"]["impair"] == rules
    netcfg.echo("10.0.2.9 52-55-0a-00-02-09", "ifaces/eth0/neighbors/add")
    netcfg.echo("10.0.2.16/24", "ifaces/eth0/addr/add")
    told = []
    text = netcfg.cat(CONFIG)
    netcfg.layer.on_change.append(told.append)
    netcfg.write(text)
    assert told == ["ip/forward"]  # the memory layer says so each time
    assert netcfg.asked == []
    assert netcfg.cat(CONFIG) == text


def test_each_part_is_put_in_force():
    netcfg = Attaching()
    text = netcfg.edited('addresses = ["10.0.2.15/24"]', 'addresses = ["10.0.2.20/24", "10.0.2.15/24"]')
    text = text.replace("forward = false", "forward = true").replace("10.0.2.3", "10.0.2.4")
    text = text.replace('memory = "512M"', 'memory = "1G"')
    text = text.replace('["default via 10.0.2.2 dev eth0"]', '["default via 10.0.2.9 metric 7"]')
    text = text.replace("127.0.0.1 localhost", "10.0.2.2 gateway").replace("mtu = 1500", "mtu = 1280")
    text = text.replace('state = "up"\naddresses = ["10.0.2.20', 'state = "down"\naddresses = ["10.0.2.20')
    netcfg.write(text)
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.20/24\n10.0.2.15/24\n"
    assert netcfg.cat("ip/forward") == "1\n"
    assert netcfg.context.held.limit == 1 << 30
    assert netcfg.cat("resolv/nameserver") == "10.0.2.4\n"
    assert netcfg.cat("resolv/hosts") == "10.0.2.2 gateway\n"
    assert "default via 10.0.2.9 dev eth0 src 10.0.2.20 metric 7" in netcfg.cat("route/list")
    assert "default via 10.0.2.2" not in netcfg.cat("route/list")
    assert netcfg.cat("iface/eth0/mtu") == "1280\n"
    assert netcfg.cat("iface/eth0/state") == "down\n"
    assert netcfg.asked == []


def test_interfaces_come_and_go_and_another_device_is_another_interface():
    netcfg = Attaching()
    netcfg.write(netcfg.cat(CONFIG) + '\n[interface.eth1]\naddresses = ["10.1.0.1/24"]\n'.replace("\n[log]", ""))
    assert netcfg.asked == ["attach eth1 schemefs1"]
    assert netcfg.cat("iface/eth1/addr") == "10.1.0.1/24\n"
    netcfg.write(netcfg.edited('tap = "schemefs1"', 'tap = "other"'))
    assert netcfg.asked[1:] == ["detach eth1", "attach eth1 other"]
    netcfg.write('[interface.eth0]\naddresses = ["10.0.2.15/24"]\n')
    assert netcfg.asked[3:] == ["detach eth1"]
    assert "default" not in netcfg.cat("route/list")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("forward = false", "forward = 3", "forward must be true or false"),
        ("forward = false", "foreward = false", "there is no key foreward"),
        ('memory = "512M"', 'memory = "1M"', "1M is too little; at least 16M is needed"),
        ("10.0.2.15/24", "10.0.2.15", "10.0.2.15"),
        ('addresses = ["10.0.2.15/24"]', 'addresses = ["10.0.2.15/24", "127.0.0.1/8"]', "given twice"),
        ("default via 10.0.2.2 dev eth0", "default to 10.0.2.2", "'to'"),
        ("default via 10.0.2.2 dev eth0", "default via 10.77.0.1", "no network of ours"),
        ("127.0.0.1 localhost", "nonsense", "nonsense"),
        ('tap = "schemefs0"', 'tap = "taken"', "in use"),
        ("10.0.2.3", "name.server", "name.server"),
    ],
)
def test_a_write_that_fails_changes_nothing(old, new, words):
    netcfg = Attaching()
    before = netcfg.cat(CONFIG)
    text = netcfg.edited(old, new).replace("mtu = 1500", "mtu = 1400")
    with pytest.raises(SchemeError, match=r".") as caught:
        netcfg.write(text)
    assert words in caught.value.sentence
    assert netcfg.cat(CONFIG) == before


def test_only_the_privileged_write():
    netcfg = Attaching()
    with pytest.raises(SchemeError) as caught:
        netcfg.write(netcfg.cat(CONFIG), USER)
    assert caught.value.errno == errno.EACCES


def test_the_document_of_the_start_waits_until_its_interfaces_are_there():
    netcfg = Attaching()
    document = parse('forward = true\n[interface.eth0]\naddresses = ["10.0.2.99/24"]\n', TABLES)
    netcfg.scheme._to_apply = document
    lo = netcfg.layer.interfaces["lo"]
    eth0 = netcfg.layer.interfaces.pop("eth0")
    netcfg.scheme.link_attached(lo, 0.0)
    assert not netcfg.layer.forwarding
    netcfg.layer.interfaces["eth0"] = eth0
    netcfg.scheme.link_attached(eth0, 0.0)
    assert netcfg.layer.forwarding
    assert netcfg.cat("iface/eth0/addr") == "10.0.2.99/24\n"
    assert Config().document is None


def test_forward_is_0_or_1():
    netcfg = Netcfg()
    assert netcfg.cat("ip/forward") == "0\n"
    netcfg.echo("1", "ip/forward")
    assert netcfg.cat("ip/forward") == "1\n"
    with pytest.raises(SchemeError, match="not a number from 0 to 1"):
        netcfg.echo("yes", "ip/forward")


def test_who_polls_the_levels_or_the_names_is_told_of_what_a_document_changes():
    netcfg = Attaching()
    paths = ("log/level", "resolv/nameserver", "resolv/hosts")
    before = [netcfg.node(path).version for path in paths]
    netcfg.write(netcfg.edited('nameservers = ["10.0.2.3"]', 'nameservers = ["10.0.2.4"]') + 'netcfg = "debug"\n')
    assert [netcfg.node(path).version > old for path, old in zip(paths, before, strict=True)] == [True, True, False]
    netcfg.write(netcfg.edited('netcfg = "debug"\n', ""))
