"""A network layer in memory for netcfg: the tables, without datagrams."""

import errno
import random
from dataclasses import dataclass
from types import SimpleNamespace

from drivers.tap import OPTIONS
from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import LogRings
from schemefs.names import Names
from schemefs.net.addresses import network_of, packed, presentation
from schemefs.net.frame_history import FrameHistory
from schemefs.scheme import Caller, SchemeContext
from schemefs.timers import Timers
from schemes.netcfg import NetcfgScheme

ROOT = Caller(0)
USER = Caller(1000)


@dataclass
class Rule:
    destination: bytes
    prefix_length: int
    via: bytes
    interface: str
    source: bytes = b""
    metric: int = 0
    connected: bool = False
    learned: bool = False
    onlink: bool = False


@dataclass
class Neighbor:
    address: bytes
    mac: bytes
    state: str


class MemoryRoutes:
    def __init__(self, network):
        self.rules = []
        self.network = network

    def list(self):
        return sorted(self.rules, key=lambda rule: rule.prefix_length)

    def add(self, destination, prefix_length, *, via=b"", interface="", metric=0, source=b"", onlink=False):
        if interface and interface not in self.network.interfaces:
            raise SchemeError(errno.ENODEV, f"no {interface}")
        if via and not onlink:
            found = self._interface_by_rule(via, interface) or self.network.interface_of(via)
            interface = interface or found
        if any((r.destination, r.prefix_length, r.metric) == (destination, prefix_length, metric) for r in self.rules):
            raise SchemeError(errno.EEXIST, "there is one already")
        self.rules.append(Rule(destination, prefix_length, via, interface, source, metric, onlink=onlink))
        self.network.notify("route/list")

    def _interface_by_rule(self, gateway, interface):
        near = (r for r in self.rules if not r.via and network_of(gateway, r.prefix_length) == r.destination)
        return next((rule.interface for rule in near if interface in ("", rule.interface)), "")

    def connect(self, destination, prefix_length, interface):
        rule = Rule(destination, prefix_length, b"", interface, connected=True)
        if rule not in self.rules:
            self.rules.append(rule)
            self.network.notify("route/list")

    def disconnect(self, interface):
        near = {(network_of(address, length), length) for address, length in interface.addresses}
        self.rules = [
            rule
            for rule in self.rules
            if not rule.connected or rule.interface != interface.name or (rule.destination, rule.prefix_length) in near
        ]
        self.network.notify("route/list")

    def remove(self, destination, prefix_length, *, via=b"", interface="", metric=None):
        kept = [
            r
            for r in self.rules
            if (r.destination, r.prefix_length) != (destination, prefix_length)
            or via not in (b"", r.via)
            or interface not in ("", r.interface)
            or metric not in (None, r.metric)
        ]
        if len(kept) == len(self.rules):
            raise SchemeError(errno.ESRCH, "no such rule")
        self.rules = kept
        self.network.notify("route/list")

    def explain(self, destination):
        for rule in reversed(self.list()):
            if network_of(destination, rule.prefix_length) == rule.destination:
                return f"{presentation(destination)} dev {rule.interface}"
        raise SchemeError(errno.ENETUNREACH, "no rule")


class MemoryAutoconfigured:
    def __init__(self):
        self.accepts, self.temporary, self.advertised = True, False, None

    def set_accepts(self, on, now):
        self.accepts = on

    def set_temporary(self, on, now):
        self.temporary = on

    def advertise(self, router, now):
        self.advertised = router

    def lines(self, now):
        return ["received 0"]

    def describe(self, address, now):
        return f"{presentation(address)} described"


class MemoryInterface:
    def __init__(self, network, name, mac=b""):
        self.network, self.name, self.mac, self.device = network, name, mac, "memory"
        self.mtu = 1500
        self.bootstrap_port = 0
        self.is_up = True
        self.link = SimpleNamespace(fault="", history=FrameHistory([]))
        self.addresses = []
        self.table = {}
        self.impairments = ()
        self.duplicates = {}
        self.samples = {}
        self.autoconfigured = MemoryAutoconfigured()

    @property
    def configured(self):
        return self.addresses

    def set_mac(self, mac, now):
        if not self.mac:
            raise SchemeError(errno.EOPNOTSUPP, "no hardware address here")
        self.mac = mac
        self.network.notify(f"ifaces/{self.name}/mac")

    def set_mtu(self, mtu, now):
        self.mtu = mtu
        self.network.notify(f"ifaces/{self.name}/mtu")

    def set_up(self, up, now):
        self.is_up = up
        self.network.notify(f"ifaces/{self.name}/state")

    def add_address(self, address, prefix_length, now, *, is_leased=False):
        if any(address == other for other, _ in self.addresses):
            raise SchemeError(errno.EEXIST, "ours already")
        self.addresses.append((address, prefix_length))
        self.network.routes.connect(network_of(address, prefix_length), prefix_length, self.name)
        self.network.notify(f"ifaces/{self.name}/addr/list")

    def remove_address(self, address, prefix_length, now):
        if (address, prefix_length) not in self.addresses:
            raise SchemeError(errno.EADDRNOTAVAIL, "not on this interface")
        self.addresses.remove((address, prefix_length))
        self.network.routes.disconnect(self)
        self.network.notify(f"ifaces/{self.name}/addr/list")

    def set_addresses(self, addresses, now):
        for old in tuple(self.addresses):
            self.remove_address(*old, now)
        for address, prefix_length in addresses:
            self.add_address(address, prefix_length, now)

    def impair(self, impairments, now):
        self.impairments = tuple(impairments)
        self.network.notify(f"ifaces/{self.name}/impair")

    def impairment_effects(self):
        return [f"# {way}: frames=0" for one in self.impairments for way in one.directions]

    def neighbors(self):
        return tuple(self.table.values())

    def add_neighbor(self, address, mac, now):
        self.table[address] = Neighbor(address, mac, "PERMANENT" if mac else "INCOMPLETE")

    def remove_neighbor(self, address, now):
        if self.table.pop(address, None) is None:
            raise SchemeError(errno.ENOENT, "no such neighbor")

    def drop_samples(self):
        return self.samples

    def statistics(self):
        return {"received_frames": 3, "dropped_bad_checksum": 1}


class MemoryLayer:
    """lo, and eth0 as in QEMU's user network."""

    def __init__(self):
        self.on_change = []
        self.on_names = []
        self.on_other_configuration = []
        self.forwarding = False
        self.flows = None
        self.interfaces = {}
        self.routes = MemoryRoutes(self)
        for name, mac, cidr in (("lo", b"", "127.0.0.1/8"), ("eth0", bytes.fromhex("525400123456"), "10.0.2.15/24")):
            self.interfaces[name] = MemoryInterface(self, name, mac)
            address, _, length = cidr.partition("/")
            self.interfaces[name].add_address(packed(address), int(length), 0.0)
        self.routes.add(bytes(4), 0, via=packed("10.0.2.2"))

    def make(self, name):
        self.interfaces[name] = MemoryInterface(self, name, bytes.fromhex("525400123457"))

    def set_forwarding(self, on, now):
        self.forwarding = on
        self.notify("ip/forward")

    def observe_flows(self, on, now):
        self.flows = (
            ["client=10.0.2.2:5000 server=10.1.0.2:80", "client=10.0.2.2:5001 server=10.1.0.2:80"] if on else None
        )

    def interface_of(self, gateway):
        for name, interface in self.interfaces.items():
            if any(
                network_of(gateway, length) == network_of(address, length) for address, length in interface.addresses
            ):
                return name
        raise SchemeError(errno.ENETUNREACH, "on no network of ours")

    def notify(self, key):
        for callback in self.on_change:
            callback(key)


TABLES = {"tap": OPTIONS, "loopback": ()}


class Netcfg:
    """The netcfg scheme on a MemoryLayer, with the operations of a shell."""

    def __init__(self, hosts="", uid=0):
        self.layer = MemoryLayer()
        self.timers = Timers()
        self.context = SchemeContext(
            timers=self.timers,
            random=random.Random(1),
            config=Config(tables=TABLES),
            names=Names(hosts),
            logs=LogRings(lambda: 0.0),
            uid=uid,
            services={"ip": self.layer},
        )
        self.scheme = NetcfgScheme(self.context)

    def node(self, path):
        return self.scheme.lookup(path, ROOT)

    def cat(self, path, caller=ROOT, now=1.0):
        return self.node(path).read(caller, now).decode()

    def echo(self, text, path, caller=ROOT, now=1.0):
        """`printf '%s\\n' text >path`."""
        self.node(path).write(f"{text}\n".encode(), caller, now)

    def ls(self, path):
        return [name for name, _ in self.node(path).list(ROOT)]
