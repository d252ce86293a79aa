"""The first process of a lab: it makes the network, starts the routers and the command, and reaps every process.

It is number 1 of a process id namespace, so its end, in any way, ends all. It ends with its parent, `outer_process.py`.

    root directory ─> namespaces of hosts ─> daemons ─> TAPs into the hosts ─> commands of hosts ─> the command
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemefs.errors import StartError
from schemefs.lab import child, descendants, guests, host_files, listening, on_program, private_root, routers, wiring
from schemefs.lab.places import LOGS, PROGRAMS, SCHEME, network_of
from schemefs.lab.signals import FORWARDED, is_from_terminal
from schemefs.lab.topology import Host, Topology
from schemefs.lab.way_out import NAMESERVER, WayOut

if TYPE_CHECKING:
    from schemefs.lab.closing_report import ClosingReport
    from schemefs.lab.html_report import HtmlReport
    from schemefs.lab.link_recorder import LinkRecorder
    from schemefs.lab.router_daemon import RouterDaemon
    from schemefs.plugins import Plugins

PATIENCE: Final = 3.0  # seconds that a command has after SIGTERM or SIGHUP
LISTENS_WITHIN: Final = 5.0  # seconds that the command waits for the commands of hosts to listen
GRACE: Final = 1.0  # seconds that all others have at the end

_PAUSE: Final = 0.01  # seconds: that a socket listens can't be waited for
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class FirstProcess:
    """*own_processes*: this is number 1, with a /proc of its own."""

    topology: Topology
    command: tuple[str, ...]
    plugins: Plugins
    own_processes: bool = True
    alive: int = -1  # a pipe that ends when the parent ends
    is_root: bool = False  # of the machine: there is no user namespace
    report: ClosingReport | None = None
    recorder: LinkRecorder | None = None
    page: HtmlReport | None = None
    _daemons: dict[int, RouterDaemon] = field(default_factory=dict)
    _lab: str = ""

    def make_network(self) -> None:
        """Make the network, and start the commands of hosts. StartError: the reason why not."""
        hosts = [host for host in self.topology.hosts if not host.guest]
        outside = int(os.readlink("/proc/self"))
        private_root.enter(own_processes=self.own_processes)
        self._lab = private_root.make_lab_directory()
        on_program.install(hosts)
        private_root.overlay(host_files.texts(self._names(), NAMESERVER if self.topology.internet else ""))
        way_out = WayOut(is_root=self.is_root) if self.topology.internet else None
        wiring.make_networks(self.topology)
        plan = wiring.Wiring(self.topology, self._lab)
        daemons = routers.daemons(self.topology, plan, self.plugins)
        os.mkdir(LOGS)
        for one in daemons:
            one.start(self.plugins, allow_other=self.is_root)
            self._daemons[one.pid] = one
        for one in daemons:
            one.wait_ready()
        routers.show_trees(daemons)
        plan.connect()
        if way_out is not None:
            way_out.connect([network_of(host.name) for host in hosts])
        guests.wait_for_guests(self.topology, plan, outside)
        for observer in self._observers():
            observer.begin()
        self._start_commands([host for host in hosts if host.command])

    def run_command(self) -> int:
        """Run the command, and return its exit status. StartError: it can't be run, or a router has ended."""
        first = next(host for host in self.topology.hosts if not host.guest)
        try:
            command = self._start_in(first, self.command)
        except OSError as error:
            raise StartError(f"{self.command[0]} can't be run: {error.strerror}") from None
        status = self._wait(command)
        for observer in self._observers():
            observer.finish()
        return status

    def _observers(self) -> Iterator[ClosingReport | LinkRecorder | HtmlReport]:
        """Yield what begins when the network is there, and is finished when the command has ended."""
        yield from filter(None, (self.report, self.recorder, self.page))

    def _wait(self, command: int) -> int:
        """Return the exit status of the command; signals are passed on to it."""
        deadline = None
        while True:
            left = PATIENCE if deadline is None else deadline - time.monotonic()
            if deadline is not None and left <= 0:
                os.kill(command, signal.SIGKILL)
                deadline = None
                continue
            received = signal.sigwaitinfo(FORWARDED) if deadline is None else signal.sigtimedwait(FORWARDED, left)
            if received is None:
                continue
            if received.si_signo == signal.SIGCHLD:
                for pid, status in descendants.reaped():
                    if pid == command:
                        return child.exit_status(status)
                    self._check_daemon(pid, status)
                continue
            if not is_from_terminal(received):
                os.kill(command, received.si_signo)
            if received.si_signo in _ENDING:
                if self._is_orphan():
                    raise StartError("the outer process has ended")
                deadline = time.monotonic() + PATIENCE

    def end(self) -> None:
        """End all other processes but the routers' daemons: SIGTERM, then SIGKILL. Daemons end with this process."""
        descendants.end_all(self._daemons, GRACE)
        if not self.own_processes:
            descendants.kill_all()

    def _start_commands(self, hosts: Sequence[Host]) -> None:
        """Start the commands of hosts; wait until each listens, has ended, or has had its time.

        StartError: one failed.
        """
        waiting: dict[int, Host] = {}
        for host in hosts:
            try:
                waiting[self._start_in(host, ("/bin/sh", "-c", host.command), background=True)] = host
            except OSError as error:
                raise StartError(f"the command of host {host.name} can't be run: {error.strerror}") from None
        deadline = time.monotonic() + LISTENS_WITHIN
        while waiting and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, _PAUSE)
            for pid, status in descendants.reaped():
                self._check_daemon(pid, status)
                if pid in waiting:
                    ended, code = waiting.pop(pid), child.exit_status(status)
                    if code:
                        raise StartError(f"the command of host {ended.name} ended with status {code}: {ended.command}")
            for pid, host in list(waiting.items()):
                if listening.sockets(network_of(host.name)):
                    del waiting[pid]

    def _is_orphan(self) -> bool:
        return bool(select.select([self.alive], [], [], 0)[0])

    def _check_daemon(self, pid: int, status: int) -> None:
        if pid in self._daemons:
            name, code = self._daemons[pid].name, child.exit_status(status)
            raise StartError(f"the daemon of router {name} has ended with status {code}")

    def _start_in(self, host: Host, command: tuple[str, ...], *, background: bool = False) -> int:
        environment = self._environment(host)
        directory = host.directory if background else ""
        return child.start(command, network_of(host.name), environment, directory=directory, background=background)

    def _environment(self, host: Host) -> Mapping[str, str]:
        path = f"{PROGRAMS}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "LAB": self._lab, "SCHEME": SCHEME, **host.env}

    def _names(self) -> list[tuple[str, str]]:
        names = [owner.name for owners in (self.topology.hosts, self.topology.routers) for owner in owners]
        addresses = [
            (name, address(name)) for address in (self.topology.address, self.topology.address6) for name in names
        ]
        return [(name, address) for name, address in addresses if address]
