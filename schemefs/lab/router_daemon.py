"""The daemon of one router: a child process of the lab with its own mount, started by fork from loaded plugins.

It writes one line to a pipe: `ready`, or `failed SENTENCE`. The import of trio and of the plugins precedes the fork, so
that the daemons of a lab share its cost; no event loop has run before.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from schemefs import daemon, document
from schemefs.config import Config, from_document
from schemefs.document import Document, InterfaceDocument
from schemefs.driver_option import read_options
from schemefs.errors import StartError
from schemefs.lab import namespaces

if TYPE_CHECKING:
    from schemefs.plugins import Plugins

READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class RouterInterface:
    """One interface of a router, as the configuration file of a mount describes it."""

    name: str
    driver: str
    options: dict[str, str | bool]
    addresses: tuple[str, ...]
    mtu: int
    impair: tuple[str, ...] = ()


@dataclass(slots=True)
class RouterDaemon:
    """What one daemon needs. `pid` is set by `start`."""

    name: str
    interfaces: list[RouterInterface]
    routes: tuple[str, ...]
    mount_point: str
    log: str
    directories: tuple[str, ...] = ()  # in its root, for the mounts of other routers
    pid: int = 0
    _reports: int = field(default=-1)

    def start(self, plugins: Plugins, *, allow_other: bool) -> None:
        """Fork the daemon. `wait_ready` follows."""
        config = self._config(plugins)
        reports, reports_of_daemon = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(config, plugins, reports_of_daemon, allow_other=allow_other)
        os.close(reports_of_daemon)
        self._reports = reports

    def wait_ready(self) -> None:
        """Wait until it is mounted. StartError: it failed."""
        with open(self._reports, encoding="utf-8", errors="replace") as lines:
            line = lines.readline().rstrip("\n")
        if line != READY:
            reason = line.partition(" ")[2] or self._last_words()
            raise StartError(f"the router {self.name} did not start: {reason}")

    def _config(self, plugins: Plugins) -> Config:
        tables = {name: driver.options for name, driver in plugins.drivers.items()}
        interfaces = {document.LOOPBACK: document.interface_document(document.LOOPBACK, {}, tables)}
        for one in self.interfaces:
            if one.driver not in tables:
                raise StartError(
                    f"there is no driver {one.driver!r}: {plugins.missing.get(one.driver, 'not installed')}"
                )
            interfaces[one.name] = InterfaceDocument(
                driver=one.driver,
                options=read_options(tables[one.driver], one.name, one.options),
                mtu=one.mtu,
                addresses=one.addresses,
                impair=one.impair,
            )
        config = from_document(Document(forward=True, routes=self.routes, interfaces=interfaces), tables)
        config.directories = self.directories
        config.detects_conflicts = False  # no address is given twice; a probed one could ask for no neighbor for 1 s
        return config

    def _run(self, config: Config, plugins: Plugins, reports: int, *, allow_other: bool) -> NoReturn:
        status = 1
        try:
            namespaces.end_with_parent(signal.SIGKILL)
            os.setsid()  # Ctrl-C is for the command
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            reports = self._leave_descriptors(reports)
            status = self._serve(config, plugins, reports, allow_other=allow_other)
        except BaseException:  # noqa: BLE001 - the last place that can print it; _exit follows
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _serve(self, config: Config, plugins: Plugins, reports: int, *, allow_other: bool) -> int:
        def report(line: str) -> None:
            os.write(reports, f"{line}\n".encode())

        try:
            return daemon.serve(
                config,
                Path(self.mount_point),
                allow_other=allow_other,
                report=lambda _line: report(READY),
                load=lambda: plugins,
            )
        except StartError as error:
            report(f"failed {' '.join(str(error).split())}")
            return 1

    def _leave_descriptors(self, reports: int) -> int:
        """Close all but the pipe, which becomes number 3; standard output and error go to the log."""
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in ((os.dup(nothing), 0), (os.dup(log), 1), (os.dup(log), 2), (os.dup(reports), 3)):
            os.dup2(descriptor, place)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        return 3

    def _last_words(self) -> str:
        lines = [line for line in Path(self.log).read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it ended before it was ready"
