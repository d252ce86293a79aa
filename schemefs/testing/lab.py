"""The fixture `lab`: a network of ordinary programs for one test, without root.

    def test_retries(lab):
        client, server = lab.hosts("client", "server")
        server.start(["python3", "-m", "http.server", "80"])
        server.wait_for_port(80)
        lab.link(client).impair("drop tcp synack 1")
        assert client.run(["curl", "-sS", "http://server/"]).returncode == 0

The lab starts at `hosts` or `start`, and ends with the test. docs/lab.md has the rules and the report.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from schemefs.command.mountpoint import check_fuse
from schemefs.errors import StartError
from schemefs.lab import report as reports
from schemefs.lab import way_out
from schemefs.lab.report import LabReport, LinkReport
from schemefs.lab.report_text import report_text
from schemefs.lab.requirements import ForbiddenError, check_tun
from schemefs.lab.router_files import Drops
from schemefs.lab.running import RunningLab
from schemefs.lab.settling import settle
from schemefs.lab.topology import Link, Topology, with_seeds
from schemefs.net.impairment import NOTHING
from schemefs.testing.mount_state import sections

COMMAND_TIMEOUT: Final = 30.0  # seconds for one command
_LISTENS: Final = "until grep -q '{port:04X} [0-9A-F:]* 0A' /proc/net/tcp /proc/net/tcp6; do sleep 0.01; done"


class LabHost:
    """One host: run and start programs in it."""

    def __init__(self, lab: RunningLab, name: str) -> None:
        self.name = name
        self.address = lab.topology.address(name)
        self.address6 = lab.topology.address6(name)  # "": it has none
        self._lab = lab
        self._started: list[subprocess.Popen[Any]] = []

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run *command* here as subprocess.run does; by default text, captured, and at most 30 s."""
        is_captured = "stdout" not in options and "stderr" not in options
        defaults = {"text": True, "timeout": COMMAND_TIMEOUT, "env": self._lab.environment(self.name), "check": False}
        options = {**defaults, "capture_output": is_captured, **options}
        return subprocess.run([*self._lab.words(self.name), *command], **options)  # noqa: PLW1510 - it is in defaults

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start *command* here as subprocess.Popen does, by default text; it ends with the lab."""
        options = {"text": True, "env": self._lab.environment(self.name), **options}
        child = subprocess.Popen([*self._lab.words(self.name), *command], **options)
        self._started.append(child)
        return child

    def wait_for_port(self, port: int, timeout: float = 10.0) -> None:
        """Return when a program here listens on a TCP port. TimeoutError: none does."""
        try:
            self.run(["sh", "-c", _LISTENS.format(port=port)], timeout=timeout)
        except subprocess.TimeoutExpired:
            message = f"no program on {self.name} listens on TCP port {port} after {timeout:g} s"
            raise TimeoutError(message) from None

    def close(self) -> None:
        """Wait for what was started, after the lab has ended."""
        for child in self._started:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


class LabLink:
    """The link between a host and its router, or any other one of the topology."""

    def __init__(self, trees: Mapping[str, Path], link: Link, before: Mapping[str, Drops], seed: int | None) -> None:
        self.name = link.name
        self._seed = seed
        self._link = link
        self._trees = trees
        self._before = before

    def impair(self, rules: str) -> None:
        """Replace the rules; "none" removes them. They have the seed of the link. ValueError: they do not parse."""
        self._file("impair").write_text(with_seeds(rules, self._seed) or NOTHING)

    def report(self) -> LinkReport:
        """Return what has passed and what the rules in force did. Replaced rules are not in it."""
        return reports.link_report(self._link, self._trees, reports.drops_since(self._before, self._trees))

    def _file(self, name: str) -> Path:
        end = self._link.impaired
        return self._trees[end.owner] / "netcfg/ifaces" / end.name / name


class Lab:
    """The fixture's value. `hosts` or `start` comes first."""

    def __init__(self) -> None:
        self._running: RunningLab | None = None
        self._hosts: dict[str, LabHost] = {}
        self._began = 0.0
        self._drops_before: Mapping[str, Drops] = {}

    def hosts(self, *names: str, seed: int | None = None, ipv6: bool = True) -> tuple[LabHost, ...]:
        """Start a lab in which one router joins the named hosts; return them."""
        self.start(Topology.from_options(names, seed=seed, ipv6=ipv6))
        return tuple(self._hosts[name] for name in names)

    def start(self, topology: Topology | str | Path) -> None:
        """Start a lab by a TOML file or a topology. ValueError, StartError: it can't be; the sentence says why.

        The test is skipped where this machine does not allow a lab.
        """
        if self._running is not None:
            message = "this lab has its hosts already; a test starts one lab"
            raise RuntimeError(message)
        if not isinstance(topology, Topology):
            topology = Topology.from_file(topology)
        running = RunningLab(topology)
        try:
            _check_machine(topology)
            running.start()
        except ForbiddenError as error:
            pytest.skip(f"no lab on this machine: {error}")
        self._running = running
        self._began = time.monotonic()
        self._hosts = {host.name: LabHost(running, host.name) for host in topology.hosts if not host.guest}
        self._drops_before = reports.observe(self.schemes)

    def host(self, name: str) -> LabHost:
        """Return a host of a lab that `start` has started. LookupError: there is no such host."""
        if name not in self._hosts:
            message = f"there is no host {name!r}; there are: {', '.join(self._hosts) or 'none yet'}"
            raise LookupError(message)
        return self._hosts[name]

    def link(self, which: LabHost | str) -> LabLink:
        """Return the first link of a host, or the link of this name. LookupError: there is none."""
        for number, link in enumerate(self.topology.links):
            owners = {end.owner for end in link.ends}
            if link.name == which or (isinstance(which, LabHost) and which.name in owners):
                seed = None if self.topology.seed is None else self.topology.seed + number
                return LabLink(self.schemes, link, self._drops_before, seed)
        names = ", ".join(link.name for link in self.topology.links)
        asked = which if isinstance(which, str) else which.name
        message = f"there is no link {asked!r}; there are: {names}"
        raise LookupError(message)

    @property
    def topology(self) -> Topology:
        """The topology of the lab."""
        return self._started.topology

    @property
    def scheme(self) -> Path:
        """The tree of the first router."""
        return self._started.scheme

    @property
    def schemes(self) -> dict[str, Path]:
        """The trees of all routers, by name."""
        return {router.name: self.scheme / router.name for router in self.topology.routers}

    def report(self) -> LabReport:
        """Return what all links, rules and TCP connections did, once no link holds a frame, or after 0.5 s."""
        seconds = time.monotonic() - self._began
        settle(self.topology, self.schemes)
        return reports.collect(self.topology, self.schemes, seconds, self._drops_before)

    def router_sections(self) -> list[tuple[str, str]]:
        """Return what the report of a failed test shows of the routers: `err`, drops, impairments with their counts."""
        trees = self.schemes if self._running is not None else {}
        return [
            (f"{title} of the router {name}", text) for name, tree in trees.items() for title, text in sections(tree)
        ]

    def failure_text(self) -> str:
        """Return what the report of a failed test shows; empty: the lab has not started."""
        if self._running is None:
            return ""
        try:
            return report_text(self.report())
        except OSError as error:
            return f"the lab has no report: {error}\n"

    def close(self) -> None:
        """End the lab and all that runs in it."""
        if self._running is not None:
            self._running.stop()
            self._running = None
        for host in self._hosts.values():
            host.close()

    @property
    def _started(self) -> RunningLab:
        if self._running is None:
            message = "this lab has no hosts yet: call lab.hosts('client', 'server') first"
            raise RuntimeError(message)
        return self._running


def _check_machine(topology: Topology) -> None:
    check_tun()
    try:
        check_fuse()
        if topology.internet:
            way_out.check()
    except StartError as error:
        raise ForbiddenError(str(error)) from None
