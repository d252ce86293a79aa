"""Any write into a file of netcfg is applied or a SchemeError, and the tables stay consistent."""

import errno
import logging
import random
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.loopback.link import LoopbackLink
from drivers.tap import OPTIONS
from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.scheme import Caller, SchemeContext, TextFile
from schemefs.timers import Timers
from schemes.ip import IpScheme
from schemes.netcfg import NetcfgScheme

ROOT = Caller(0)
WRITABLE = (
    "iface/lo/addr", "iface/lo/mac", "iface/lo/mtu", "iface/lo/state", "ifaces/lo/addr/set", "ifaces/lo/addr/add",
    "ifaces/lo/addr/rm", "ifaces/lo/neighbors/add", "ifaces/lo/neighbors/rm", "route/add", "route/rm",
    "resolv/nameserver", "resolv/hosts", "log/level", "resolv/search", "ip/forward", "config", "ifaces/lo/impair",
    "ifaces/lo/dhcp", "ifaces/add", "ifaces/add", "ifaces/rm",
)  # fmt: skip
WORDS = st.sampled_from(
    [
        *"default via dev src metric lo eth0 10.0.2.2 127.0.0.1 10.9.0.0/16 127.0.0.0/8 0.0.0.0/0".split(),
        *"255.255.255.255/32 10.0.2.15/24 fe80::1 ::/0 52-54-00-12-34-56 up down 5 99999999999 -1 trace tcp".split(),
        *"inherit # \x00 loopback loopback tap wire eth1 eth1 eth2 address address mtu 1400 state dhcp on".split(),
        *"loss 5% seed bad_id 1% none".split(),
    ]
)
INTERFACES = st.lists(st.tuples(st.sampled_from(["address", "mtu", "state", "colour"]), WORDS), max_size=3).map(
    lambda pairs: " ".join(("loopback", *(word for pair in pairs for word in pair)))
)
LINES = st.one_of(st.text(max_size=60), INTERFACES, st.lists(WORDS, max_size=8).map(" ".join))
WRITES = st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode()))


@pytest.fixture(autouse=True)
def log_levels():
    """Restore all levels: loggers outlive the scheme."""
    names = ("schemefs", *(name for name in logging.root.manager.loggerDict if name.startswith("schemefs.")))
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def stack():
    context = SchemeContext(
        Timers(), random.Random(1), Config(tables={"tap": OPTIONS, "loopback": ()}), Names(), LogRings(lambda: 0.0)
    )
    ip = IpScheme(context)
    context.services["ip"] = ip.provides
    netcfg = NetcfgScheme(context)
    ip.link_attached(LoopbackLink(), 0.0)
    links = {}

    def attach(config, now):
        if config.driver != "loopback":
            raise SchemeError(errno.ENODEV, "no such driver")
        links[config.name] = LoopbackLink(config.name)
        ip.link_attached(links[config.name], now)
        netcfg.link_attached(links[config.name], now)

    def detach(name, now):
        if name not in links:
            raise SchemeError(errno.ENODEV, "no such interface")
        for scheme in (netcfg, ip):
            scheme.link_detached(links[name], now)
        del links[name]

    context.attach, context.detach = attach, detach
    return netcfg


def texts(scheme, directory):
    for name, node in directory.list(ROOT):
        if isinstance(node, TextFile):
            yield name, node.read(ROOT, 1.0)
        elif hasattr(node, "list"):
            yield from texts(scheme, node)


@given(st.lists(st.tuples(st.sampled_from(WRITABLE), WRITES), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_write_is_applied_or_a_scheme_error(writes):
    netcfg = stack()
    for path, data in writes:
        with suppress(SchemeError):
            netcfg.lookup(path, ROOT).write(data, ROOT, 1.0)
    assert dict(texts(netcfg, netcfg.root))["list"] is not None
    routes = netcfg.lookup("route/list", ROOT).read(ROOT, 1.0).decode().splitlines()
    interfaces = netcfg.lookup("ifaces/list", ROOT).read(ROOT, 1.0).decode().splitlines()
    names = {"lo", *(line.split()[0] for line in interfaces)}
    assert all(line.partition(" dev ")[2].split()[0] in names for line in routes)
    config = netcfg.lookup("config", ROOT)
    text = config.read(ROOT, 1.0)
    config.write(text, ROOT, 1.0)  # the current configuration can always be written back
    assert config.read(ROOT, 1.0) == text


@given(st.text(max_size=40))
def test_any_name_is_a_node_or_a_scheme_error(name):
    netcfg = stack()
    for directory in ("", "iface", "ifaces", "route", "route/get", "ifaces/lo/addr"):
        with suppress(SchemeError):
            node = netcfg.lookup(directory, ROOT).lookup(name, ROOT)
            if isinstance(node, TextFile):
                node.read(ROOT, 1.0)
