"""`schemefs lab --report FILE.html`: the closing report as a page, with the connections of all links in pictures."""

from __future__ import annotations

import os
import shlex
import tempfile
from typing import TYPE_CHECKING, Final

from schemefs.errors import StartError
from schemefs.lab.link_recorder import LinkRecorder

if TYPE_CHECKING:
    from schemefs.lab.closing_report import ClosingReport
    from schemefs.lab.topology import Topology

SNAP: Final = 128  # octets of each frame: all headers


class HtmlReport:
    """Opened before the lab is made, and finished after *report*, of which it is the picture."""

    def __init__(self, topology: Topology, path: str, report: ClosingReport, command: tuple[str, ...]) -> None:
        """StartError: the file can't be written."""
        self._topology = topology
        self._path = path
        self._report = report
        self._command = shlex.join(command)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._capture = tempfile.TemporaryFile(prefix="schemefs-lab-")  # noqa: SIM115 - open until the lab ends
        except OSError as error:
            raise StartError(f"--report {path}: {error.strerror}") from None
        self._recorder = LinkRecorder(topology, f"/proc/self/fd/{self._capture.fileno()}", snap=SNAP)

    def begin(self) -> None:
        """Capture every link from now on."""
        self._recorder.begin()

    def finish(self) -> None:
        """Write the page. StartError: the file can't be written."""
        self._recorder.finish()
        if self._report.result is None:
            return
        from schemefs.report.of_lab import report_of_lab  # noqa: PLC0415 - few labs need jinja2
        from schemefs.report.page import html  # noqa: PLC0415
        from schemefs.story.from_capture import read_stories  # noqa: PLC0415

        self._capture.seek(0)
        stories, _ = read_stories(self._capture, forwarded=True)
        text = html(report_of_lab(self._topology, self._report.result, stories, self._command))
        try:
            with open(self._file, "w", encoding="utf-8") as file:
                os.ftruncate(self._file, 0)
                file.write(text)
        except OSError as error:
            raise StartError(f"--report {self._path}: {error.strerror}") from None
