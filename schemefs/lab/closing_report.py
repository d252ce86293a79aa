"""The closing report of `schemefs lab`: begun when the network is there, written when the command has ended."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from schemefs.errors import StartError
from schemefs.lab.places import SCHEME
from schemefs.lab.report import LabReport, collect, observe
from schemefs.lab.report_text import report_text
from schemefs.lab.router_files import Drops
from schemefs.lab.settling import settle
from schemefs.lab.topology import Topology


class ClosingReport:
    """Lines on standard error, and a table in a file that is opened before the lab starts."""

    def __init__(self, topology: Topology, json_path: str | None) -> None:
        """StartError: the file can't be written."""
        self._topology = topology
        self._trees = {router.name: Path(SCHEME) / router.name for router in topology.routers}
        self._before: Mapping[str, Drops] = {}
        self._began = 0.0
        self.result: LabReport | None = None  # None: not finished, or a tree could not be read
        self._json: TextIO | None = None
        self._json_path = json_path
        if json_path is not None:
            try:
                descriptor = os.open(json_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
                self._json = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115 - open until the lab ends
            except OSError as error:
                raise StartError(f"--report-json {json_path}: {error.strerror}") from None

    def begin(self) -> None:
        """Observe the connections from now on. The routers run, and their trees are mounted."""
        self._before = observe(self._trees)
        self._began = time.monotonic()

    def finish(self) -> None:
        """Write the report, while the routers still run. StartError: the file can't be written."""
        seconds = time.monotonic() - self._began
        try:
            settle(self._topology, self._trees)
            self.result = report = collect(self._topology, self._trees, seconds, self._before)
        except OSError as error:
            print(f"the lab has no report: {error}", file=sys.stderr)  # noqa: T201
            return
        with suppress(OSError):  # full, or a pipe without a reader: there is no other place for the text
            sys.stderr.write(report_text(report))
        if self._json is not None:
            try:
                with self._json as file:
                    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                        os.ftruncate(file.fileno(), 0)  # a lab that fails has left it as it was
                    json.dump(report.as_json(), file, indent=2)
                    file.write("\n")
            except OSError as error:
                raise StartError(f"--report-json {self._json_path}: {error.strerror}") from None
