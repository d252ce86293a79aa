"""The tree of netcfg, declared in the order of `ls`. It edits the ip scheme's objects and keeps no copy of them.

A change of a file's text wakes its pollers, whatever caused the change. The network layer reports a change by the name
of a file here (`route/list`); this module maps the name to all files that show the same state.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.document import LOOPBACK
from schemefs.errors import SchemeError
from schemefs.net.addresses import mac_text, parse_number, presentation
from schemefs.net.impairment import parse_impairments
from schemefs.net.network_layer import NetworkLayer
from schemefs.scheme import Caller, Scheme, SchemeContext, StaticDirectory, TextFile, WriteForm
from schemes.netcfg.commands import Command, CommandFile, check_privileged, each_line
from schemes.netcfg.configuration import Configuration
from schemes.netcfg.dhcp import Dhcp
from schemes.netcfg.dhcpv6 import AdvertisedNameServers
from schemes.netcfg.drops import DropsFile
from schemes.netcfg.flows import flows_file
from schemes.netcfg.grammar import parse_hostname
from schemes.netcfg.interface_lines import interface_line_files
from schemes.netcfg.interfaces import InterfaceDirectories, plain_directory, redox_directory
from schemes.netcfg.log_levels import levels_text, parse_level
from schemes.netcfg.rendering import counters_text, route_table
from schemes.netcfg.resolv import NONE, resolv_directory
from schemes.netcfg.routing import route_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemefs.driver import Link

README: Final = """\
netcfg: the configuration of the running network. Read a file to see it, write a line to change it. Only root writes.

iface/<if>/{addr,mac,mtu,state}   cat iface/eth0/addr; echo 10.0.2.15/24 >iface/eth0/addr; echo down >iface/eth0/state
ifaces/{list,add,rm}              echo 'tap lab1 host_address 10.1.0.2/24 address 10.1.0.1/24' >ifaces/add
                                  echo eth1 >ifaces/rm; more words: mac, mtu, offload, uplink on, state, dhcp on
ifaces/<if>/                      the same as in Redox: mac mtu state stats addr/{list,set,add,rm}
                                  addr/duplicates: addresses not used, because another host has them
                                  neighbors/{list,add,rm}   echo '10.0.2.9 52-55-0a-00-02-09' >neighbors/add
ifaces/<if>/impair                impairments: echo 'loss 1% delay 20ms jitter 5ms' >impair; echo none >impair
                                  loss burst delay jitter reorder detour duplicate corrupt rate queue mtu
                                  blackhole icmp, direction in|out|both, seed (a line for each direction, or one);
                                  drop|hold|duplicate|corrupt|reorder single packets: 'drop tcp syn 1; drop data 3..5',
                                  'hold synack 1 500ms', 'drop all from 10s for 2s'; a read shows what each rule did
ifaces/<if>/history               octets of recent frames for network/<if>/capture.pcapng,history: echo 1000000 >history
ifaces/<if>/ra                    what IPv6 routers advertise; echo 'accept off' >ra; echo 'temporary on' >ra
ifaces/<if>/advertise             echo 'prefix 2001:db8:1::/64 dns 2001:db8:1::53' >advertise; lifetime, valid, mtu,
                                  preferred, preference, search and other may follow; off
ifaces/<if>/dhcp                  an address by DHCP: echo on >dhcp; off, renew; read the lease
route/{list,add,rm}               echo 'default via 10.0.2.2' >route/add; dev, src, metric, onlink may follow
                                  echo default >route/rm
route/get/ADDRESS                 the rule that applies to an address, and why
routes                            the table, most specific rule first
resolv/{nameserver,search,hosts}  > replaces the text, >> adds to it: name servers, one per line; domains in which short
                                  names are looked up (or none); hosts, in the form of /etc/hosts
hostname                          the name that DHCP tells the server: echo lab1 >hostname; echo none >hostname
ip/forward                        1: forward datagrams to other hosts, as a router; 0: don't
log/level                         echo trace >log/level; echo 'tcp debug' >log/level; echo 'tcp inherit' >log/level
config                            the whole configuration as TOML: read, edit, write back; all of it applies or nothing
stats/drops                       counters of dropped frames by scheme and reason, with a sample: the last one
stats/flows                       echo on >stats/flows: the TCP connections that are forwarded from now on, a line each
stats/log                         log lines that the rate limit left out
stats/timers                      armed, fired, cancelled, pending, lateness in seconds, owners of late ones
err                               why the last call of your process here failed

A write(2) returns after the lines that it completes are applied, with their error. Close or fsync applies a last line
without newline, and config. Polling a file returns POLLPRI after a change of its text.
"""


class NetcfgScheme(Scheme):
    """Interfaces, addresses, routes, name servers and log levels as files."""

    name: ClassVar[str] = "netcfg"
    requires: ClassVar[tuple[str, ...]] = ("ip",)

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        network: NetworkLayer = context.service("ip", NetworkLayer)
        self._network = network
        self._dhcp = Dhcp(context, network)
        self._advertised_names = AdvertisedNameServers(context, network, self._dhcp.nameservers, self._dhcp.search)
        self._configuration = Configuration(context, network, self._dhcp, lambda: self._changed("log/level"))
        self._to_apply = context.config.document
        self._level = CommandFile(context, each_line(self._parse_level), levels_text)
        self._iface = InterfaceDirectories(context, network, plain_directory)
        self._ifaces = InterfaceDirectories(
            context,
            network,
            partial(redox_directory, dhcp=self._dhcp),
            interface_line_files(context, self._configuration),
        )
        self.root = StaticDirectory(
            {
                "README": TextFile(lambda: README),
                "iface": self._iface.described("interfaces, four files each"),
                "ifaces": self._ifaces.described("interfaces, as in Redox"),
                "route": route_directory(context, network).permanent(),
                "routes": TextFile(lambda: route_table(network.routes.list(), network.interfaces)),
                "resolv": resolv_directory(context, network).permanent(),
                "hostname": self._hostname_file().described("the name that DHCP tells the server; none: no name"),
                "ip": StaticDirectory(
                    {"forward": self._forward_file().described("1: forward datagrams to other hosts; 0: drop them")}
                ).described("settings of IP"),
                "log": StaticDirectory(
                    {"level": self._level.described("[SUBSYSTEM] LEVEL: trace, debug, info, warning, error")}
                ).described("log levels; the logs are in logging/"),
                "stats": self._stats_directory(),
                "config": TextFile(
                    self._configuration.text, self._write_configuration, uid=context.uid, form=WriteForm.DOCUMENT
                ),
                "err": self.err,
            }
        )
        network.on_change.append(self._changed)
        context.names.on_change.append(lambda what: self._changed(f"resolv/{what}"))

    def link_attached(self, link: Link, now: float) -> None:
        """Apply the daemon's configuration file once all its interfaces are attached, and `--impair`."""
        self._dhcp.links[link.name] = link
        self._impair_at_start(link.name, now)
        document = self._to_apply
        if document is not None and set(document.interfaces) <= set(self._network.interfaces):
            self._to_apply = None
            self._configuration.apply_document(document, now)

    def _impair_at_start(self, name: str, now: float) -> None:
        config = self.context.config
        if config.impair and name == (config.interfaces[0].name if config.interfaces else LOOPBACK):
            self._network.interfaces[name].impair(parse_impairments(config.impair.splitlines()), now)
            config.impair = ""  # an interface that is added later is another one

    def link_detached(self, link: Link, now: float) -> None:
        """Drop the interface's lease, files and configuration."""
        self._dhcp.switch_off(link.name, now)
        self._dhcp.links.pop(link.name, None)
        self._advertised_names.forget(link.name, now)
        for directory in (self._iface, self._ifaces):
            directory.forget(link.name)
        interfaces = self.context.config.interfaces
        interfaces[:] = [interface for interface in interfaces if interface.name != link.name]

    def _forward_file(self) -> TextFile:
        def parse(line: str) -> Command:
            on = bool(parse_number(line, 0, 1))
            return lambda now: self._network.set_forwarding(on, now)

        return CommandFile(self.context, each_line(parse), lambda: f"{int(self._network.forwarding)}\n")

    def _hostname_file(self) -> TextFile:
        def parse(line: str) -> Command:
            name = parse_hostname("" if line == NONE else line)
            return lambda _now: self._dhcp.set_hostname(name)

        return CommandFile(self.context, each_line(parse), lambda: f"{self._dhcp.hostname or NONE}\n")

    def _write_configuration(self, text: str, caller: Caller, now: float) -> None:
        check_privileged(self.context, caller)
        self._configuration.apply(text, now)

    def _changed(self, key: str) -> None:
        """Wake the pollers of the file *key*, and of all other files that show the same state."""
        if key.endswith("/addr/duplicates"):
            self._record_duplicates(key.split("/")[1])
        for path in _showing(key):
            try:
                node = self.lookup(path, Caller(0))
            except SchemeError:  # the interface is being attached or detached: no file of it is open
                continue
            if isinstance(node, TextFile):
                node.changed()

    def _record_duplicates(self, name: str) -> None:
        """Write the conflict into `err` of root and of the daemon's user, though no write of theirs has failed."""
        interface = self._network.interfaces.get(name)
        if interface is not None and interface.duplicates:
            sentence = "; ".join(
                f"{presentation(address)} on {name} is no longer used; {mac_text(mac)} has it too"
                for address, mac in interface.duplicates.items()
            )
            for uid in {0, self.context.uid}:
                self.err.notice(uid, sentence)

    def _parse_level(self, line: str) -> Command:
        command = parse_level(line)

        def apply(now: float) -> None:
            command(now)
            self._changed("log/level")

        return apply

    def _stats_directory(self) -> StaticDirectory:
        logs = self.context.logs
        return StaticDirectory(
            {
                "timers": TextFile(self._timers_text).described("armed, fired, cancelled, pending, latest lateness"),
                "drops": DropsFile(self.context, self._network).described(
                    "dropped frames by scheme and reason, with a sample; its octets for the privileged"
                ),
                "flows": flows_file(self.context, self._network),
                "log": TextFile(lambda: f"lines_left_out={logs.limit.suppressed}\n").described(
                    "log lines that the rate limit left out"
                ),
            }
        )

    def _timers_text(self) -> str:
        timers = self.context.timers
        return counters_text(
            {
                "armed": timers.armed,
                "fired": timers.fired,
                "cancelled": timers.cancelled,
                "pending": timers.pending,
                "failed": timers.failed,
                "latest_lateness": f"{timers.latest_lateness:.6f}",
                "late": timers.late,
                "late_owners": ", ".join(timers.late_owners),
            }
        )


def _showing(key: str) -> Iterator[str]:
    """Yield the paths of all files that change with *key*."""
    yield key
    if key.endswith(("/neighbors/list", "/ra")):  # what is learned is not part of the configuration
        return
    yield "config"
    parts = key.split("/")
    if parts[0] == "ifaces":
        yield "ifaces/list"
    if key == "route/list":
        yield "routes"
    elif parts[0] == "ifaces" and len(parts) > 2:
        # ifaces/eth0/addr/list is iface/eth0/addr. The rules show an interface's first address as their source.
        yield f"iface/{parts[1]}/{parts[2]}"
        if parts[2] == "addr":
            yield from ("route/list", "routes")
